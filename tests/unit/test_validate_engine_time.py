"""Host work that hides, front ends, iterations planned ahead, cached prefixes: exact, and free when absent."""

from __future__ import annotations

import random

import pytest

from llmsim.contracts import outcome, require_same
from llmsim.cost.engines import engine_profile
from llmsim.cost.linear import LinearCost, LinearOptions
from llmsim.cost.roofline import RooflineOptions, build_stages
from llmsim.engine.core import Engine
from llmsim.engine.kv.paged import Paged
from llmsim.engine.request import Request
from llmsim.engine.scheduler import Limits
from llmsim.engine.schedulers.chunked_prefill import ChunkedPrefill, ChunkedPrefillOptions
from llmsim.engine.schedulers.orca import Orca
from llmsim.engine.schedulers.vllm import VllmPrefillFirst
from llmsim.errors import CatalogError
from llmsim.files import catalog
from llmsim.measure.laws import check
from llmsim.measure.records import ReplicaRecord, RunRecord, StepLog
from llmsim.sim.clock import Clock
from llmsim.sim.fleet import Fleet
from llmsim.sim.play import RequestList
from llmsim.sim.replica import FrontEnd
from llmsim.sim.routers import LeastRequests, Setting

LINE = LinearOptions(
    iteration_s=2e-3,
    per_token_s=2e-5,
    per_sequence_s=1e-5,
    per_prefill_pair_s=1e-9,
    per_decode_kv_token_s=2e-7,
)


def served(
    requests,
    *,
    fast_forward=True,
    front_end=FrontEnd(),  # noqa: B008 (a tuple: it cannot change)
    ahead=False,
    hidden=None,
    scheduler=ChunkedPrefill,
    tokens=20_000,
    users=None,
    replicas=1,
):
    clock, log = Clock(), StepLog()
    limits = Limits(8, 64, 2000)
    engines = []
    for index in range(replicas):
        kv, stage = Paged(tokens, 16, limits.max_model_len), LinearCost(LINE)
        stage.hidden_host_s = hidden
        engines.append(
            Engine(
                index, scheduler(limits, kv), kv, [stage], add_row=log.add, add_gap=log.extra_gaps.append,
                fast_forward=fast_forward, schedules_ahead=ahead,
            )
        )  # fmt: skip
    fleet = Fleet(clock, engines, RequestList(requests, users), [front_end] * replicas)
    fleet.open({"": LeastRequests(fleet.replicas, None, Setting(clock))})
    clock.run_all()
    fleet.close()
    parts = [ReplicaRecord(e.index, "p", "none", 1, e.kv.num_blocks, 16, e.stages) for e in engines]
    record = RunRecord(fleet.requests, log, parts, clock.now, events=clock.events)
    check(record)
    return record


def some_requests(seed, count=40):
    rng = random.Random(seed)
    time_s, requests = 0.0, []
    for i in range(count):
        time_s += rng.choice((0.0, 0.001, 0.01, 0.05, 0.4)) * rng.random()
        req = Request(i, time_s, rng.randint(1, 150), rng.randint(1, 90))
        req.cached_tokens = req.computed = rng.randint(0, req.input_tokens - 1) if rng.random() < 0.5 else 0
        requests.append(req)
    return requests


@pytest.mark.parametrize("scheduler", [ChunkedPrefill, VllmPrefillFirst, Orca])
@pytest.mark.parametrize("tokens", [20_000, 2_000])
@pytest.mark.parametrize("users", [None, 5])
def test_fast_forward_equals_stepping(scheduler, tokens, users):
    for seed in range(12):
        kind = {
            "front_end": FrontEnd(0.004, 1e-5) if seed % 2 else FrontEnd(),
            "ahead": seed % 3 != 0,
            "hidden": (4e-3, 1e-5) if seed % 4 < 2 else None,
            "scheduler": scheduler,
            "tokens": tokens,
            "users": users,
            "replicas": 1 + seed % 2,
        }
        fast, slow = (served(some_requests(seed), fast_forward=ff, **kind) for ff in (True, False))
        require_same(outcome(fast), outcome(slow), f"seed {seed}: {kind}")


def test_a_front_end_shifts_a_lone_request():
    plain = served([Request(0, 1.0, 100, 5)]).requests[0]
    late = served([Request(0, 1.0, 100, 5)], front_end=FrontEnd(0.004, 1e-5)).requests[0]

    assert 1.0 == late.arrival_s
    assert plain.first_token_s + 0.005 == pytest.approx(late.first_token_s, rel=1e-12)
    assert plain.finish_s + 0.005 == pytest.approx(late.finish_s, rel=1e-12)


def test_no_front_end_is_no_event():
    assert served(some_requests(1)).events == served(some_requests(1), front_end=FrontEnd(0.0, 0.0)).events


def test_a_request_in_the_front_end_counts_for_the_router():
    requests = [Request(0, 0.0, 10, 2), Request(1, 0.001, 10, 2)]
    record = served(requests, front_end=FrontEnd(0.1), replicas=2)

    assert [0, 1] == [req.replica for req in record.requests]


def test_planned_ahead_an_arrival_waits_one_iteration_more():
    """0.5 iterations until the boundary, one that was planned already, and its own."""
    requests = [Request(0, 0.0, 10, 400), Request(1, 0.4, 10, 2)]
    own, ahead = (served([*map(_copy, requests)], ahead=flag).requests[1] for flag in (False, True))
    step_s = (own.first_token_s - own.scheduled_s) / 1.1

    assert 0.8 * step_s < ahead.first_token_s - own.first_token_s < 1.2 * step_s


def test_planned_ahead_an_idle_server_starts_at_once():
    assert 0.25 == served([Request(0, 0.25, 10, 3)], ahead=True).requests[0].scheduled_s


def _copy(req):
    return Request(req.id, req.arrival_s, req.input_tokens, req.output_tokens)


def test_hidden_host_work_is_a_floor():
    """Iterations take the longer of device and host, also where attention grows past the host."""
    free = served([Request(0, 0.0, 10, 1500)]).requests[0]
    bound = served([Request(0, 0.0, 10, 1500)], hidden=(2.1e-3, 0.0)).requests[0]
    # an iteration with c tokens of context: 2 ms + 30 us + 0.2 us * (c + 1); the host's 2.1 ms until c = 349
    first = 2e-3 + 10 * 2e-5 + 1e-5 + 55e-9
    lost = sum(max(0.0, 2.1e-3 - (2.03e-3 + 2e-7 * (c + 1))) for c in range(10, 1509)) + max(
        0.0, 2.1e-3 - first
    )

    assert lost > 0.01
    assert free.finish_s + lost == pytest.approx(bound.finish_s, rel=1e-9)


def test_a_cached_prefix_is_not_computed_but_attended_to():
    cold, warm = Request(0, 0.0, 100, 2), Request(0, 0.0, 100, 2)
    warm.cached_tokens = warm.computed = 90
    slow, fast = (served([req]) for req in (cold, warm))
    prefilled = [float(record.steps.column("prefill_tokens").sum()) for record in (slow, fast)]
    read = [float(record.steps.column("decode_kv_tokens").sum()) for record in (slow, fast)]
    blocks = [float(record.steps.column("kv_blocks").max()) for record in (slow, fast)]

    assert [100.0, 10.0] == prefilled
    assert read[0] == read[1] > 0
    assert blocks[0] == blocks[1]


def test_whole_prompts_wait_for_the_budget():
    def whole(limits, kv):
        return ChunkedPrefill(limits, kv, ChunkedPrefillOptions(whole_prompts=True))

    requests = [Request(i, 0.0, 40, 3) for i in range(3)]
    record = served(requests, scheduler=whole)

    assert {40.0} == {n for n in record.steps.column("prefill_tokens") if n}


def test_profiles_are_complete():
    for name, version in (("vllm", "0.6.0"), ("vllm", "0.10.2"), ("vllm", "0.23.0"), ("sglang", None)):
        profile = engine_profile(name, version)
        coefficients = [profile.host.iteration_s, profile.host.sequence_s]
        coefficients += [profile.front_end.request_s, profile.front_end.prompt_token_s]
        assert all(item.source in profile.sources and item.spread > 0 for item in coefficients)


def test_graphs_shorten_the_floors_of_kernels_only():
    model, accelerator, profile = (
        catalog.model("llama-3.1-8b"),
        catalog.accelerator("h100-sxm"),
        engine_profile("vllm"),
    )

    def stage(share, *, eager=False):
        options = RooflineOptions(kernel_floor=share)
        return build_stages(model, accelerator, options=options, enforce_eager=eager, profile=profile)[0]

    whole, half, eager = stage(1.0), stage(0.5), stage(0.5, eager=True)
    floors, unchanged = (sum(op.layers * op.floor_s for op in one.table.ops) for one in (whole, eager))

    assert whole.tokens_s(8, 8, 8) - half.tokens_s(8, 8, 8) == pytest.approx(floors / 2, rel=0.1)
    assert floors == pytest.approx(unchanged)


def test_generations_of_vllm_get_faster():
    v0, v1, ahead = (engine_profile("vllm", version) for version in ("0.6.0", "0.11.0", "0.23.0"))

    assert v0.host.iteration_s.value > v1.host.iteration_s.value
    assert (False, False, True) == (v0.asynchronous, v1.asynchronous, ahead.asynchronous)
    assert ("prior", "measured", "measured") == (v0.kind, v1.kind, ahead.kind)


def test_an_unknown_engine_or_version_is_named():
    with pytest.raises(CatalogError, match="no profile of the engine 'vlm'; did you mean 'vllm'"):
        engine_profile("vlm")
    with pytest.raises(CatalogError, match="does not begin with a number"):
        engine_profile("vllm", "latest")
