"""Replicas that are loaded and idle: they stand in at once, and are paid for."""

from __future__ import annotations

from pathlib import Path

import pytest

from llmsim.files.scenario_file import load_scenario
from llmsim.measure.records import RunRecord
from llmsim.sim.run import simulate

SCENARIO = """
name: warm
model: llama-3.1-8b
fleet:
  accelerator: h100-sxm
  replicas: 1
  usd_per_hour: 3.6
  provisioning: {{startup_delay_s: 30, warm_replicas: {warm}}}
  failures: [{{at_s: 10, repair_s: 0}}]
  cost_model: {{kind: linear, iteration_s: 0.006, per_token_s: 2.2e-5}}
engine: {{num_kv_tokens: 100000}}
workload: {{arrival: {{kind: constant, request_rate: 2}}, input_tokens: 100, output_tokens: 20, num_requests: 200}}
"""


def run(path: Path, warm: int) -> RunRecord:
    """A hundred seconds of one replica that crashes after ten."""
    file = path / "warm.yaml"
    file.write_text(SCENARIO.format(warm=warm))
    return simulate(load_scenario(file))


def test_a_warm_replica_stands_in_at_once(tmp_path: Path) -> None:
    """Without one, nobody serves from the crash until a new instance has started and has its weights."""
    cold, warm = run(tmp_path, 0), run(tmp_path, 1)

    assert 30 < cold.fleet.summary(0.0, cold.end_s)["downtime_s"] < 60
    assert 0 == warm.fleet.summary(0.0, warm.end_s)["downtime_s"]
    assert max(req.finish_s - req.arrival_s for req in warm.requests) < 1
    assert {"completed"} == {req.status for req in (*cold.requests, *warm.requests)}


def test_a_warm_replica_is_paid_for(tmp_path: Path) -> None:
    """Two instances but for the repair; a broken one is paid for while it is repaired."""
    held = sum(each.held_s for each in run(tmp_path, 1).holdings)
    end_s = run(tmp_path, 1).end_s

    assert 2 * end_s == pytest.approx(held, rel=1e-6)
