"""Crashes at given times: who is hit, when the node is back, and what is paid."""

from __future__ import annotations

from pathlib import Path

import pytest

from llmsim.files.scenario_file import load_scenario
from llmsim.measure.records import RunRecord
from llmsim.sim.run import simulate

SCENARIO = """\
model: llama-3.1-8b
fleet:
  instance: p4d.24xlarge
  replicas: 16
  cost_model: {kind: linear, iteration_s: 0.01}
  provisioning: {startup_delay_s: 20}
  failures: [{at_s: 30, repair_s: 40}]
engine: {num_kv_tokens: 4000}
workload: {arrival: {kind: constant, request_rate: 8}, input_tokens: 10, output_tokens: 300, num_requests: 1600}
"""


def run(tmp_path: Path, *sets: str) -> RunRecord:
    """16 replicas on two nodes of eight, for 200 s; a node crashes at 30 s."""
    path = tmp_path / "crash.yaml"
    path.write_text(SCENARIO)
    return simulate(load_scenario(path, sets))


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> RunRecord:
    """The run as written."""
    return run(tmp_path_factory.mktemp("crash"))


def test_a_node_takes_all_its_replicas_with_it(record: RunRecord) -> None:
    """Eight of sixteen at once, no notice; every request is served in the end."""
    assert record.fleet is not None
    assert [30.0] == record.fleet.losses_s("crashed")
    assert 8 == sum(replica.end_s == 30.0 for replica in record.replicas)
    assert {"completed"} == {request.status for request in record.requests}


def test_requests_hit_had_begun(record: RunRecord) -> None:
    """3 s each at 8 a second: 24 in all, dealt in turn, so 8 or 16 of a node; each computes anew what it had."""
    assert record.fleet is not None
    hit = [request for request in record.requests if request.moves]
    [crash] = [event for event in record.fleet.events if event.kind == "crashed"]

    assert len(hit) == crash.requests
    assert crash.requests in (8, 16)
    assert crash.lost_tokens == sum(request.lost_tokens for request in hit) > 10 * len(hit)


def test_the_node_is_back_after_its_repair_and_its_start(record: RunRecord) -> None:
    """Down at 30 s, repaired at 70 s, started at 90 s, weights read by eight replicas from one disk."""
    assert record.fleet is not None
    back_s = [time_s for time_s, serving in record.fleet.serving("main") if time_s > 30 and serving == 16]
    weights_s = 8 * 16.06e9 / 3.5e9

    assert back_s == [pytest.approx(30 + 40 + 20 + weights_s, rel=0.01)]


def test_a_broken_node_is_paid_for(record: RunRecord) -> None:
    """Two nodes are held from 0 s to the end, whatever breaks."""
    assert sum(each.devices * each.held_s for each in record.holdings) == pytest.approx(16 * record.end_s)


def test_without_failures_nothing_is_logged(tmp_path: Path) -> None:
    """A pool that cannot change is the one it always was."""
    assert run(tmp_path, "fleet.failures=[]").fleet is None


def test_a_storm_ends_with_every_request_served(tmp_path: Path) -> None:
    """Every node crashes at once, again and again, some while they are starting."""
    storm = (
        "fleet.failures=["
        + ", ".join(f"{{at_s: {t}, repair_s: 5, instances: 2}}" for t in (20, 40, 50))
        + "]"
    )
    record = run(tmp_path, storm)

    assert record.fleet is not None
    assert 6 == len(record.fleet.losses_s("crashed"))
    assert {"completed"} == {request.status for request in record.requests}
    assert record.fleet.summary(0.0, record.end_s)["downtime_s"] > 30
