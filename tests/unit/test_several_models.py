"""Several models behind one front door, and what a router lacks: runs of whole scenarios."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from door_scenarios import CONFIG

from llmsim.errors import ScenarioError
from llmsim.files.scenario_file import load_scenario
from llmsim.files.scenario_text import resolved_yaml
from llmsim.report.assumptions import assumptions
from llmsim.sim.run import simulate

POOLS = [
    {"name": "one", "accelerator": "h100-sxm", "replicas": 2},
    {"name": "two", "accelerator": "h100-sxm", "model": "./other"},
]


def write(tmp_path: Path, **keys: Any) -> Path:
    """A scenario of a tiny model, with another one beside it, and ``keys`` changed."""
    for name, layers in (("tiny", 4), ("other", 2)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(json.dumps(CONFIG | {"num_hidden_layers": layers}))
    workload = {
        "arrival": {"kind": "poisson", "request_rate": 50},
        "input_tokens": 100,
        "output_tokens": 20,
        "num_requests": 200,
    }
    content = {"model": "./tiny", "fleet": POOLS, "workload": workload}
    for key, value in keys.items():
        content[key] = workload | value if key == "workload" else value
    path = tmp_path / "scenario.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def problem_of(path: Path) -> str:
    """The one problem of a scenario that cannot be run."""
    with pytest.raises(ScenarioError) as caught:
        simulate(load_scenario(path))
    (problem,) = caught.value.problems
    return str(problem).replace(str(path), "")


@pytest.mark.parametrize(
    "router", ["round_robin", "random", "least_requests", "least_tokens", "central_queue"]
)
def test_requests_go_to_pools_of_their_model(tmp_path: Path, router: str) -> None:
    """And only there; the report names both models, and the scenario reads back as it was."""
    path = write(tmp_path, router=router, workload={"models": {"tiny": 1, "other": 1}})
    loaded = load_scenario(path)
    record = simulate(loaded)

    assert {("tiny", 0), ("tiny", 1), ("other", 2)} == {(req.model, req.replica) for req in record.requests}
    assert [4, 2] == [loaded.model_of(pool).num_layers for pool in loaded.scenario.fleet]
    facts = {fact.label: fact.value for fact in assumptions(record, loaded)}
    assert facts["one: Model"].startswith("tiny, ")
    assert facts["two: Model"].startswith("other, ")
    (tmp_path / "again.yaml").write_text(resolved_yaml(loaded.scenario))
    assert loaded.scenario == load_scenario(tmp_path / "again.yaml").scenario


def test_the_scenario_s_model_is_for_requests_that_name_none(tmp_path: Path) -> None:
    """The other pool stays idle."""
    record = simulate(load_scenario(write(tmp_path)))

    assert {0, 1} == {req.replica for req in record.requests}


def test_a_trace_may_name_the_model_of_each_row(tmp_path: Path) -> None:
    """An empty cell asks for the scenario's."""
    rows = ["arrival_s,input_tokens,output_tokens,model", "0,10,1,other", "1,10,1,", "2,10,1,tiny"]
    (tmp_path / "trace.csv").write_text("\n".join(rows) + "\n")
    path = write(tmp_path)
    record = simulate(load_scenario(path, ["workload={trace: trace.csv}"]))

    assert [2, 0, 1] == [req.replica for req in record.requests]


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"workload": {"models": {"tinny": 1}}}, "workload.models.tinny: no pool serves 'tinny'; did you mean 'tiny'"),
        ({"router": "session_affinity"}, "session_affinity goes by sessions, and the workload has none; write"),
        ({"router": "prefix_affinity"}, "prefix_affinity goes by shared prefixes, and the workload has none"),
        (
            {"router": {"kind": "weighted", "weights": {"one": 1, "tow": 1, "two": 1}}},
            "router.weights.tow: no pool is called 'tow'; did you mean 'two'",
        ),
        ({"router": {"kind": "weighted", "weights": {"one": 1}}}, "has a weight; add 'two'"),
        (
            {"router": {"kind": "weighted", "weights": {"one": 1, "two": 1}, "within": "session_affinity"}},
            "goes by sessions, and the workload has none",
        ),
        ({"router": {"kind": "weighted", "weights": {"one": 0}}}, "every weight is 0"),
        (
            {"router": {"kind": "weighted", "weights": {"one": 1, "two": 1}, "within": "central_queue"}},
            "central_queue cannot be inside of a pool",
        ),
        (
            {"router": "central_queue", "admission": {"max_queued_requests_per_replica": 3}},
            "central_queue has one queue for all replicas; write max_queued_requests",
        ),
        ({"admission": {"max_queue": 3}}, "admission.max_queue: unknown key"),
    ],
)  # fmt: skip
def test_what_cannot_work_is_one_message(tmp_path: Path, keys: dict[str, Any], message: str) -> None:
    """At its place, with what to do."""
    assert message in problem_of(write(tmp_path, **keys))


def test_a_trace_without_what_the_router_needs(tmp_path: Path) -> None:
    """It is known when the trace is read, before anything runs."""
    (tmp_path / "trace.csv").write_text("arrival_s,input_tokens,output_tokens\n0,10,1\n")
    path = write(tmp_path, router="session_affinity")
    with pytest.raises(ScenarioError, match="session_affinity goes by sessions"):
        simulate(load_scenario(path, ["workload={trace: trace.csv}"]))


def test_a_model_that_nobody_serves(tmp_path: Path) -> None:
    """Named in a trace; or the scenario's own, where every pool has another."""
    (tmp_path / "trace.csv").write_text("arrival_s,input_tokens,output_tokens,model\n0,10,1,othr\n")
    path = write(tmp_path)
    with pytest.raises(ScenarioError, match="the model 'othr', which no pool serves; did you mean 'other'"):
        simulate(load_scenario(path, ["workload={trace: trace.csv}"]))
    with pytest.raises(ScenarioError, match="requests that name no model ask for it"):
        simulate(load_scenario(path, ["fleet={accelerator: h100-sxm, model: ./other}"]))
