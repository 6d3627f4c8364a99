"""What holds of every autoscaler, whatever it goes by."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from autoscaling_runs import play_scaled, poisson
from hypothesis import given, settings
from hypothesis import strategies as st

from llmsim import plugins
from llmsim.contracts import outcome, require_same
from llmsim.cost.linear import LinearCost, LinearOptions
from llmsim.engine.request import Request
from llmsim.sim.autoscalers import PoolView, Setting
from llmsim.sim.autoscaling import Delays
from llmsim.sim.routers import CentralQueue, LeastRequests

POLICIES = {
    "queue": {"kind": "queue", "upscale_threshold": 2.0},
    "kv_usage": {"kind": "kv_usage", "target_kv_usage": 0.5},
    "slo": {"kind": "slo", "target_attainment": 0.9},
    "target_tracking": {"kind": "target_tracking", "target_ongoing_requests": 4.0},
    "scheduled": {
        "kind": "scheduled",
        "period_s": 60.0,
        "schedule": [{"at": 10.0, "replicas": 3}, {"at": 40.0, "replicas": 1}],
    },
    "linear": {"kind": "forecast", "target_ongoing_requests": 4.0, "look_back_period_s": 60.0},
    "seasonal": {
        "kind": "forecast",
        "method": "seasonal_naive",
        "target_qps_per_replica": 1.0,
        "look_back_period_s": 20.0,
        "period_s": 60.0,
    },
}
SLO = {"ttft_ms": 500.0}


SLOW = LinearCost(
    LinearOptions(iteration_s=0.06, per_token_s=2e-4, per_sequence_s=2e-5, per_decode_kv_token_s=4e-7)
)
"""Six sequences at a time finish 1.3 requests of a wave a second."""


def bursty(seed, count=200, rate=1.0):
    """Requests in waves: half of the time at four times the rate."""
    rng = np.random.default_rng(seed)
    times, now_s = [], 0.0
    for _ in range(count):
        now_s += rng.exponential(1 / (rate * (4 if now_s % 40 < 20 else 1)))
        times.append(now_s)
    lengths = zip(rng.integers(1, 600, count).tolist(), rng.integers(1, 150, count).tolist(), strict=True)
    return [Request(i, times[i], prompt, output) for i, (prompt, output) in enumerate(lengths)]


def make(name, **setting):
    """A fresh policy."""
    keys = dict(POLICIES[name])
    policy_class = plugins.AUTOSCALERS.get(keys.pop("kind"))
    return policy_class(policy_class.Options.model_validate(keys), Setting(**setting))


counts = st.integers(0, 500)
shares = st.floats(0, 1)


@given(
    loads=st.lists(st.tuples(counts, counts, counts, shares, counts, shares), min_size=2, max_size=2),
    target=st.integers(0, 20),
    serving=st.integers(0, 20),
)
@pytest.mark.parametrize("name", POLICIES)
def test_more_load_never_wants_fewer(name, loads, target, serving):
    """Of two pools that differ in load alone, the one with more of everything wants at least as many."""
    less, more = (tuple(map(choose, *loads)) for choose in (min, max))
    wanted = []
    for running, waiting, held, usage, arrivals, late in (less, more):
        policy = make(name, attainment=0.9, startup_s=30.0)
        policy.desired(PoolView(10.0, 10.0, target, serving, running=8, arrivals=20, completions=20))
        view = PoolView(
            20.0, 10.0, target, serving, 0, 0, running, waiting, held, usage, usage, arrivals,
            completions=running, ttft_attainment=1 - late,
        )  # fmt: skip
        wanted.append(policy.desired(view))

    # A forecast's rate per replica is measured, and here the busier pool also completes more.
    if name == "linear" and less[0] != more[0]:
        return
    assert wanted[0] <= wanted[1]


@settings(max_examples=60)
@given(
    wishes=st.lists(st.integers(0, 12), min_size=1, max_size=60),
    up=st.integers(0, 6),
    down=st.integers(0, 6),
    start=st.integers(1, 12),
)
def test_a_pool_follows_only_what_lasts(wishes, up, down, start):
    """A pool grows to the least, and shrinks to the most, that was wanted over the whole delay."""
    delays, current, seen = Delays(10.0 * up, 10.0 * down, 0.0, start), start, [start]
    for number, wanted in enumerate(wishes, start=1):
        seen.append(wanted)
        settled = delays.settle(10.0 * number, wanted, current)
        if current and settled > current:
            assert settled == min(seen[-up - 1 :])
        if settled < current:
            assert settled == max(seen[-down - 1 :])
        if current and settled == current:
            assert min(seen[-up - 1 :]) <= current <= max(seen[-down - 1 :])
        current = settled


@pytest.mark.parametrize("name", POLICIES)
def test_wants_stay_within_limits_and_never_turn_at_once(name):
    """Under waves of load the target stays in its range, and never shrinks within the delay after it grew."""
    limits = {"min_replicas": 1, "max_replicas": 4, "interval_s": 2.0, "upscale_delay_s": 2.0}
    autoscale = {"policy": POLICIES[name], "downscale_delay_s": 12.0} | limits
    wants = []
    for seed in range(3):
        wants = play_scaled(bursty(seed), autoscale, seats=6, tokens=2000, cost=SLOW, slo=SLO).wants
        assert all(1 <= replicas <= 4 for _, replicas in wants)
        if name != "scheduled":
            history = [(0.0, 1), *wants]
            grew_s = -100.0
            for (_, before), (time_s, after) in pairwise(history):
                assert after > before or time_s >= grew_s + 12.0 - 1e-6
                grew_s = time_s if after > before else grew_s
    assert wants


@pytest.mark.parametrize("name", ["kv_usage", "target_tracking", "linear"])
def test_steady_load_does_not_flap(name):
    """Evenly spaced requests: after the first two minutes the target never changes again."""
    requests = [Request(i, i * 0.1, 160, 60) for i in range(4000)]
    autoscale = {
        "policy": POLICIES[name],
        "interval_s": 5.0,
        "upscale_delay_s": 5.0,
        "downscale_delay_s": 20.0,
    }
    run = play_scaled(requests, autoscale, tokens=8000)

    assert run.wants
    assert all(time_s < 120.0 for time_s, _ in run.wants)


@pytest.mark.parametrize("stages", [1, 2])
@pytest.mark.parametrize("router", [LeastRequests, CentralQueue])
@pytest.mark.parametrize("name", POLICIES)
def test_fast_forward_equals_stepping(name, router, stages):
    """Skipping ahead changes no decision: not a request's, not the autoscaler's."""
    fewest = 0 if name == "target_tracking" else 1
    autoscale = {"policy": POLICIES[name], "min_replicas": fewest, "interval_s": 3.0, "upscale_delay_s": 3.0}
    fast, slow = (
        play_scaled(
            bursty(7), autoscale | {"downscale_delay_s": 9.0}, seats=6, tokens=2000, cost=SLOW,
            stages=stages, router=router, fast_forward=fast_forward, slo=SLO,
        )
        for fast_forward in (True, False)
    )  # fmt: skip

    require_same(outcome(fast.record), outcome(slow.record), "fast-forward")
    assert [n for _, n in fast.wants] == [n for _, n in slow.wants]
    assert [t for t, _ in fast.wants] == pytest.approx([t for t, _ in slow.wants])
    assert fast.wants


@pytest.mark.parametrize("name", POLICIES)
def test_same_run_same_decisions(name):
    """Two runs of the same requests want the same at the same times, to the bit."""
    autoscale = {
        "policy": POLICIES[name],
        "interval_s": 2.0,
        "upscale_delay_s": 0.0,
        "downscale_delay_s": 8.0,
    }
    first, second = (
        play_scaled(bursty(3), autoscale, seats=6, tokens=2000, cost=SLOW, slo=SLO) for _ in range(2)
    )

    assert (first.wants, outcome(first.record)) == (second.wants, outcome(second.record))


@pytest.mark.parametrize("name", POLICIES)
def test_looking_does_not_keep_a_run_alive(name):
    """The run ends with its last request, and so does one that is never scaled."""
    autoscale = {"policy": POLICIES[name], "interval_s": 7.0}
    record = play_scaled(poisson(1, 2.0, 50), autoscale, slo=SLO).record

    assert record.end_s == max(req.finish_s for req in record.requests)
