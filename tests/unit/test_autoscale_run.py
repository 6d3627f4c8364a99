"""Scenarios whose pools are scaled, from the file to the record."""

from __future__ import annotations

import numpy as np
import pytest
from door_scenarios import SCENARIO, write_scenario

from llmsim.contracts import outcome, require_same
from llmsim.files.scenario_file import load_scenario
from llmsim.sim.run import simulate

DAY = """\
  arrival: {kind: diurnal, request_rate: 1.5, shape: [1, 1, 4, 8, 4, 1], period_s: 600}
  input_tokens: 100
  output_tokens: {kind: uniform, min: 20, max: 100}
  duration_s: 900
"""
POOL = "    accelerator: h100-sxm\n"
TENTH = "cost_model: {kind: linear, iteration_s: 0.1}"


def run(
    folder, autoscale, *, pool="provisioning: {startup_delay_s: 20}", workload=DAY, changes=(), device=POOL
):
    """The record of the tiny scenario with ``autoscale``."""
    start, end = SCENARIO.index("  arrival"), SCENARIO.index("slo")
    text = SCENARIO[:start] + workload + SCENARIO[end:]
    section = (
        f"{device}    {pool}\n    {TENTH}\n    autoscale: {{interval_s: 5, max_replicas: 12, {autoscale}}}\n"
    )
    return simulate(load_scenario(write_scenario(folder, text, old=POOL, new=section), changes))


def serving(record):
    """(time, replicas serving) of every change."""
    return [(event.time_s, event.serving) for event in record.fleet.events]


@pytest.mark.parametrize(
    "policy",
    [
        "policy: {kind: target_tracking, target_ongoing_requests: 3}, downscale_delay_s: 60",
        "policy: {kind: forecast, target_ongoing_requests: 3, look_back_period_s: 60}, downscale_delay_s: 30",
        "policy: {kind: scheduled, period_s: 600, schedule: [{at: 200, replicas: 6}, {at: 500, replicas: 1}]}",
        "policy: {kind: kv_usage, target_kv_usage: 0.1}, downscale_delay_s: 60",
    ],
)
def test_a_day_is_served_by_a_pool_that_follows_it(tmp_path, policy):
    """Every request is served, the pool grows and shrinks, less is paid than for its peak throughout, and stepping
    every iteration comes to the same."""
    fast, slow = (
        run(tmp_path, policy, changes=[f"simulation.fast_forward={ff}", "engine.num_kv_tokens=4096"])
        for ff in ("true", "false")
    )

    require_same(outcome(fast), outcome(slow), "fast-forward")
    assert np.array(serving(slow)) == pytest.approx(np.array(serving(fast)))
    assert {"completed"} == {req.status for req in fast.requests}
    sizes = [replicas for _, replicas in serving(fast)]
    assert max(sizes) > 2
    assert min(sizes[sizes.index(max(sizes)) :]) < max(sizes)
    paid_s = sum(holding.end_s - holding.start_s for holding in fast.holdings)
    assert paid_s < 0.8 * max(sizes) * fast.end_s


@pytest.mark.parametrize("router", ["least_requests", "central_queue"])
def test_the_first_request_after_an_idle_time_waits_for_a_whole_start(tmp_path, router):
    """20 s of start and the weights' way: the first token after an idle hour comes no sooner, and nothing is paid
    for in between."""
    (tmp_path / "t.csv").write_text(
        "arrival_s,input_tokens,output_tokens\n0,100,10\n3600,100,10\n3601,100,10\n"
    )
    policy = "policy: {kind: target_tracking, target_ongoing_requests: 3}, min_replicas: 0"
    record = run(tmp_path, policy, workload="  trace: t.csv\n", changes=[f"router={router}"])

    assert {"completed"} == {req.status for req in record.requests}
    assert 3620.0 < record.requests[1].scheduled_s < 3622.0
    first, second = sorted((holding.start_s, holding.end_s) for holding in record.holdings)
    assert 600.0 < first[1] < 650.0
    assert 3600.0 == second[0]


def test_the_free_half_of_a_running_instance_is_taken_at_once_and_not_in_its_past(tmp_path):
    """Four devices, two a replica: the second replica needs no new instance, and serves when its weights are there."""
    pool = "tensor_parallel_size: 2\n    provisioning: {startup_delay_s: 20}"
    policy = "policy: {kind: scheduled, schedule: [{at: 0, replicas: 1}, {at: 100, replicas: 2}]}"
    lengths = "  input_tokens: 9\n  output_tokens: 9\n  num_requests: 200\n"
    workload = "  arrival: {kind: constant, request_rate: 1}\n" + lengths
    record = run(tmp_path, policy, pool=pool, workload=workload, device="    instance: g6.24xlarge\n")

    assert [0.0] == [holding.start_s for holding in record.holdings]
    (grown_s,) = [time_s for time_s, replicas in serving(record) if replicas == 2]
    assert 100.0 < grown_s < 110.0


APART = """\
name: apart
model: llama-3.1-8b
fleet:
  - {name: prefill, role: prefill, accelerator: h100-sxm}
  - name: decode
    role: decode
    accelerator: h100-sxm
    provisioning: {startup_delay_s: 20}
    autoscale: {policy: POLICY, min_replicas: 0, max_replicas: 2, interval_s: 5, downscale_delay_s: 30}
workload: {trace: t.csv}
"""


@pytest.mark.parametrize(
    "policy", ["kv_usage", "queue", "{kind: target_tracking, target_ongoing_requests: 3}"]
)
def test_a_decode_pool_scaled_to_zero_is_called_by_a_prompt_that_is_computed(tmp_path, policy):
    """The second request comes when nobody decodes: its first token is there at once, the others after a start."""
    (tmp_path / "t.csv").write_text("arrival_s,input_tokens,output_tokens\n0,100,10\n600,100,10\n")
    (tmp_path / "apart.yaml").write_text(APART.replace("POLICY", policy))
    record = simulate(load_scenario(tmp_path / "apart.yaml"))

    _, second = record.requests
    assert ("completed", 10) == (second.status, second.generated)
    assert 600.0 < second.first_token_s < 601.0
    assert 620.0 < second.finish_s < 630.0
