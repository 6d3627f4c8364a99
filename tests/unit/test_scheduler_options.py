"""What a scenario may ask of the ordering schedulers, and what it is told where that does not fit together."""

from __future__ import annotations

import pytest

from llmsim.errors import UserError
from llmsim.files.scenario_file import load_scenario
from llmsim.sim.run import simulate

POISSON = "{kind: poisson, request_rate: 60}"
CLOSED = "{kind: closed, max_concurrency: 60}"
LOADED = ("engine.max_num_seqs=8", "slo={ttft_ms: 400, tpot_ms: 100}")


def workload(arrival):
    """400 requests, more than a replica with eight seats can keep up with."""
    lengths = "input_tokens: 600, output_tokens: {kind: uniform, min: 10, max: 200}"
    return f"workload={{arrival: {arrival}, {lengths}, num_requests: 400}}"


def load(*changes):
    return load_scenario("chatbot", changes)


@pytest.mark.parametrize("kind", ["edf", "slo_drop"])
def test_deadlines_need_a_target(kind):
    with pytest.raises(UserError, match="no class has one: write `ttft_ms` under `slo`"):
        load(f"engine.scheduler={kind}", "slo={tpot_ms: 30}")
    load(f"engine.scheduler={kind}", "slo={classes: {chat: {ttft_ms: 300}}}")
    with pytest.raises(UserError, match="write `e2el_ms`"):
        load(f"engine.scheduler={{kind: {kind}, deadline: e2el}}", "slo={ttft_ms: 300}")


def test_one_queue_for_all_replicas_has_no_other_order():
    with pytest.raises(UserError, match="serves in order of arrival, and scheduler 'srpt'"):
        load("engine.scheduler=srpt", "router=central_queue")


def test_predictors_and_their_options_are_named_in_full():
    resolved = load("engine.predictor={kind: buckets, preset: s3-pile}").scenario
    assert resolved.engine.predictor.options["num_buckets"] == 10
    with pytest.raises(UserError, match="unknown predictor 'bucket'; did you mean 'buckets'"):
        load("engine.predictor=bucket")
    with pytest.raises(UserError, match=r"engine\.predictor\.spred: unknown key"):
        load("engine.predictor={kind: regression, spred: 1.0}")


@pytest.mark.parametrize("router", ["round_robin", "least_requests", "power_of_two"])
@pytest.mark.parametrize("arrival", [POISSON, CLOSED])
def test_dropped_requests_leave_router_and_client_in_order(router, arrival):
    """Every one ends in one bucket; a closed loop goes on after a drop; the run's own laws are checked."""
    changes = (workload(arrival), *LOADED, f"router={router}", "fleet.replicas=2")
    record = simulate(load(*changes, "engine.scheduler=slo_drop"))

    ends = [req.status for req in record.requests]
    assert len(ends) == 400
    assert {"completed", "dropped"} == set(ends)
    late = [r for r in record.requests if r.status == "completed" and r.scheduled_s - r.arrival_s > 0.4]
    assert not late


@pytest.mark.parametrize("kind", ["sjf", "srpt", "edf", "mlfq", "s3", "vtc"])
def test_a_scenario_steps_and_forwards_alike(kind):
    """The whole way from a scenario, on two pipelines: stepping says the same."""
    changes = (workload(POISSON), *LOADED, "fleet.replicas=2", "fleet.pipeline_parallel_size=2")
    changes += (f"engine.scheduler={kind}", "engine.predictor={kind: regression, spread: 0.7}")
    fast, slow = (simulate(load(*changes, f"simulation.fast_forward={way}")) for way in ("true", "false"))

    assert {"completed"} == {req.status for req in fast.requests}
    for one, other in zip(fast.requests, slow.requests, strict=True):
        assert one.finish_s == pytest.approx(other.finish_s, rel=1e-9)
        assert one.preemptions == other.preemptions
