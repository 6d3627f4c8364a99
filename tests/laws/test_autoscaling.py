"""Autoscalers against closed forms, and what becomes of requests while a pool changes."""

from __future__ import annotations

from itertools import pairwise
from math import ceil

import numpy as np
import pytest
from autoscaling_runs import play_scaled, poisson
from scipy.stats import poisson as poisson_law

from llmsim.engine.request import Request
from llmsim.sim.autoscalers import Forecast, PoolView, Scheduled, Setting, TargetTracking
from llmsim.sim.routers import CentralQueue, LeastRequests, RoundRobin
from llmsim.spec.admission import Admission

QUICK = {"upscale_delay_s": 0.0, "downscale_delay_s": 0.0}


def tracking(target, **options):
    return {"kind": "target_tracking", "target_ongoing_requests": target} | options


def steps(run):
    """Target over time: (since, replicas), the first at 0 s."""
    return [(0.0, run.serving[0][1]), *run.wants]


def mean_target(run, start_s, end_s):
    """Time average of the target."""
    edges = [*steps(run), (end_s, 0)]
    spent = [(max(0.0, min(b, end_s) - max(a, start_s)), n) for (a, n), (b, _) in pairwise(edges)]
    return sum(seconds * n for seconds, n in spent) / (end_s - start_s)


def test_target_tracking_settles_at_the_closed_form():
    """20 requests a second, evenly spaced, of 9.6 s each: 192 ongoing (Little), so ceil(192/10) = 20 replicas."""
    requests = [Request(i, i * 0.05, 1, 96) for i in range(4000)]
    run = play_scaled(requests, {"policy": tracking(10.0, tolerance=0.0), "interval_s": 5.0} | QUICK)

    late = [replicas for time_s, replicas in run.serving if 100 < time_s < 195]
    assert {20} == set(late)


def test_target_tracking_carries_poisson_load():
    """Poisson, 10 a second of 10 s each: 100 ongoing on average, 5 per replica: about 20 replicas; the most of a
    minute's averages is a little more, never fewer, and at most two standard deviations of them (3.5 requests)."""
    run = play_scaled(
        poisson(11, 10.0, 6000),
        {"policy": tracking(5.0, look_back_period_s=60.0), "downscale_delay_s": 60.0, "interval_s": 5.0},
    )

    assert 20.0 <= mean_target(run, 150.0, 550.0) <= 20.0 + 2 * 2 * 3.5 / 5.0 + 1


def test_unfiltered_target_tracking_is_ceil_of_a_poisson_number():
    """Without averaging or delays, and with nothing lost to draining, the target's mean is E⌈N/T⌉, N ~ Poisson(λS)."""
    numbers = np.random.default_rng(5).poisson(12.0, 4000).tolist()
    policy = TargetTracking(
        TargetTracking.Options(target_ongoing_requests=4.0, look_back_period_s=0.0, tolerance=0.0)
    )
    wanted = np.array([policy.desired(PoolView(i, 1.0, 3, 3, running=n)) for i, n in enumerate(numbers)])

    tail = poisson_law.sf(4 * np.arange(15), 12.0)  # E⌈N/4⌉ = Σ_k P(N > 4k)
    assert sum(tail) == pytest.approx(wanted.mean(), abs=4 * wanted.std() / np.sqrt(4000))


def test_tolerance_holds_a_pool_near_its_target():
    """40 to 44 ongoing on ten replicas at 4 each change nothing; 45 do."""
    policy = TargetTracking(TargetTracking.Options(target_ongoing_requests=4.0, look_back_period_s=0.0))

    assert [10, 10, 10, 12, 9] == [
        policy.desired(PoolView(0.0, 1.0, 10, 10, running=n)) for n in (40, 36, 44, 45, 35)
    ]


def test_scheduled_follows_the_clock():
    """A timetable is kept to the look, day after day; before its first time, yesterday's last holds."""
    policy = Scheduled(
        Scheduled.Options.model_validate(
            {"schedule": [{"at": "06:30", "replicas": 8}, {"at": "20:00", "replicas": 2}]}
        )
    )
    hours = {0.0: 2, 6.49: 2, 6.5: 8, 19.99: 8, 20.0: 2, 24.0: 2, 30.5: 8, 44.0: 2}

    assert list(hours.values()) == [policy.desired(PoolView(3600 * hour, 60.0, 1, 1)) for hour in hours]


@pytest.mark.parametrize("interval_s", [10.0, 0.1])
def test_a_timetable_waits_for_no_delay(interval_s):
    """Entries of a 100 s day take effect at their times, whatever the delays, and whatever 0.1 adds up to."""
    policy = {
        "kind": "scheduled",
        "period_s": 100.0,
        "schedule": [{"at": 30.0, "replicas": 3}, {"at": 60.0, "replicas": 1}],
    }
    run = play_scaled(poisson(2, 1.0, 200, output=5), {"policy": policy, "interval_s": interval_s})

    expected = [(30.0, 3), (60.0, 1), (130.0, 3), (160.0, 1)]
    assert [n for _, n in expected] == [n for _, n in run.wants][:4]
    assert [t for t, _ in expected] == pytest.approx([t for t, _ in run.wants][:4])


def ramp(policy, slope, service_s=10.0, seconds=1200, interval_s=10.0):
    """When the target first reaches 10 on a rate that rises by ``slope`` a second, seen without noise."""
    target = 1
    for number in range(1, int(seconds / interval_s) + 1):
        now_s = number * interval_s
        ongoing = round(slope * service_s * (now_s - service_s / 2)) if now_s > service_s else 0
        arrivals = round(slope * interval_s * (now_s - interval_s / 2))
        completions = round(slope * interval_s * max(0.0, now_s - service_s - interval_s / 2))
        view = PoolView(
            now_s, interval_s, target, target, running=ongoing, arrivals=arrivals, completions=completions
        )
        target = max(1, policy.desired(view))
        if target >= 10:
            return now_s
    raise AssertionError("ten replicas were never wanted")


@pytest.mark.parametrize("carries", [{"target_ongoing_requests": 5.0}, {"target_qps_per_replica": 0.5}])
def test_a_forecast_leads_on_a_ramp_by_its_horizon(carries):
    """On a rising load a forecast wants the tenth replica about its horizon of 180 s before a reactive policy."""
    reactive = TargetTracking(TargetTracking.Options(target_ongoing_requests=5.0, look_back_period_s=0.0))
    forecast = Forecast(Forecast.Options(**carries, look_back_period_s=200.0), Setting(startup_s=180.0))

    lead_s = ramp(reactive, 0.01) - ramp(forecast, 0.01)
    assert 130.0 <= lead_s <= 230.0


def test_a_linear_forecast_is_exact_on_a_line():
    """Rates on a straight line are continued, not before one look-back; looks at odd moments do not matter; it
    never goes below zero."""
    policy = Forecast(Forecast.Options(target_qps_per_replica=1.0, look_back_period_s=40.0))
    last_s = 0.0
    for now_s in (10.0, 20.0, 23.0, 30.0, 40.0):
        if last_s == 30.0:
            assert 1000 * (100 - 30 / 2) == pytest.approx(policy.rate(50.0))
        arrivals = round(1000 * (100 * (now_s - last_s) - (now_s**2 - last_s**2) / 2))
        policy.desired(PoolView(now_s, now_s - last_s, 1, 1, arrivals=arrivals))
        last_s = now_s

    assert 1000 * 50.0 == pytest.approx(policy.rate(50.0))
    assert policy.rate(500.0) == 0.0


def test_a_seasonal_forecast_says_what_was_a_day_ago():
    """With a day on record, the rate expected is the one of the same time yesterday; before that, the trend."""
    day_s = 1000.0
    policy = Forecast(
        Forecast.Options(
            method="seasonal_naive", target_qps_per_replica=1.0, look_back_period_s=20.0, period_s=day_s
        ),
        Setting(startup_s=50.0),
    )
    rates = [10 if 300 <= second % 1000 < 600 else 2 for second in range(0, 2000, 10)]
    wanted = {}
    for number, rate in enumerate(rates):
        now_s = 10.0 * (number + 1)
        wanted[now_s] = policy.desired(PoolView(now_s, 10.0, 1, 1, arrivals=10 * rate))

    assert [2, 10, 10, 2] == [wanted[now_s] for now_s in (1200.0, 1270.0, 1530.0, 1570.0)]
    assert 10 == wanted[500.0]  # the first day: no yesterday, but 10 a second for a while


@pytest.mark.parametrize("router", [LeastRequests, RoundRobin, CentralQueue])
@pytest.mark.parametrize("admission", [Admission(), Admission(queue_timeout_s=1000.0)])
def test_an_idle_pool_goes_and_the_next_request_brings_it_back_at_once(router, admission):
    """After 60 s without requests nobody serves; one at 300 s calls for a replica in that moment, and starts when it
    is there, 5 s later. Those that come meanwhile wait with it."""
    requests = [Request(0, 0.0, 1, 10), Request(1, 300.0, 1, 10), Request(2, 303.0, 1, 10)]
    run = play_scaled(
        requests,
        {"policy": tracking(2.0), "min_replicas": 0, "interval_s": 20.0, "downscale_delay_s": 60.0},
        router=router,
        admission=admission,
    )

    assert (300.0, 1) in run.wants
    assert 0 in dict(run.wants).values()
    assert [300.0 + 5.0, 303.0 + 2.0] == [req.scheduled_s for req in run.record.requests[1:]]


def test_a_pool_with_requests_is_never_let_go():
    """A timetable of nobody at all still leaves one for the requests there are, and none is stuck."""
    policy = {"kind": "scheduled", "schedule": [{"at": 0.0, "replicas": 0}]}
    run = play_scaled(
        poisson(4, 0.2, 40, output=50), {"policy": policy, "min_replicas": 0, "interval_s": 1.0}
    )

    assert {"completed"} == {req.status for req in run.record.requests}
    assert {0, 1} == {replicas for _, replicas in run.wants}


def test_a_pool_that_never_comes_does_not_keep_the_run_alive():
    """Where no replica ever starts, the run ends by itself and says that requests are unfinished."""
    requests = [Request(0, 0.0, 1, 10), Request(1, 400.0, 1, 10)]
    autoscale = {"policy": tracking(2.0), "min_replicas": 0, "interval_s": 20.0, "downscale_delay_s": 60.0}
    run = play_scaled(requests, autoscale, startup_s=float("inf"))

    assert ["completed", "unfinished"] == [req.status for req in run.record.requests]
    assert run.record.end_s < 1000.0


def test_a_closed_loop_is_scaled_to_its_users():
    """48 users who always ask again, 8 for each replica: six replicas."""
    requests = [Request(i, 0.0, 1, 40) for i in range(2000)]
    run = play_scaled(requests, {"policy": tracking(8.0), "interval_s": 5.0} | QUICK, max_concurrency=48)

    assert 6 == run.wants[-1][1]
    assert {"completed"} == {req.status for req in run.record.requests}


def test_late_first_tokens_add_replicas_until_none_is_late():
    """Four at a time of 4 s each: a replica carries one a second; under three a second the pool grows to at least
    three, and once it has, nobody is late until it tries with fewer."""
    requests = [Request(i, i / 3, 1, 40) for i in range(900)]
    autoscale = {"policy": {"kind": "slo"}, "interval_s": 5.0, "upscale_delay_s": 0.0}
    run = play_scaled(requests, autoscale, seats=4, slo={"ttft_ms": 1000.0})

    in_time = [req.first_token_s - req.arrival_s <= 1.0 for req in run.record.requests]
    assert max(replicas for _, replicas in run.serving) >= 3
    assert not all(in_time[:60])
    assert all(in_time[-300:])


def test_requests_that_can_never_run_do_not_scale_a_pool():
    """Prompts longer than the limit are refused at once; they are nobody's late first tokens."""
    requests = [Request(i, i * 1.0, 20_000 if i % 2 else 1, 5) for i in range(120)]
    autoscale = {"policy": {"kind": "slo"}, "interval_s": 5.0, "upscale_delay_s": 0.0}
    run = play_scaled(requests, autoscale, slo={"ttft_ms": 1000.0})

    assert 60 == sum(req.status == "rejected" for req in run.record.requests)
    assert not run.wants


@pytest.mark.parametrize("stages", [1, 2])
@pytest.mark.parametrize("fast_forward", [True, False])
def test_a_look_sees_the_blocks_of_this_moment(fast_forward, stages):
    """One request of 1 + 300 tokens holds nine of 32 blocks, 28% of the pool, from token 129 on, which iteration 128
    writes; the first look after its start sees that, in the middle of a run of iterations as if each were stepped."""
    policy = {"kind": "kv_usage", "target_kv_usage": 0.25, "tolerance": 0.0}
    run = play_scaled(
        [Request(0, 0.0, 1, 300)], {"policy": policy, "interval_s": 1.0} | QUICK, tokens=512, stages=stages,
        fast_forward=fast_forward,
    )  # fmt: skip

    assert (ceil(128 * 0.1 * stages), 2) == pytest.approx(run.wants[0])
