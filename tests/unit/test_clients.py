"""What a scenario may say of its clients, and what a broken file of them is told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from llmsim.errors import ScenarioError, TraceError
from llmsim.files.scenario_file import load_scenario
from llmsim.files.scenario_text import resolved_yaml
from llmsim.planning.bounds import draw_offered
from llmsim.planning.limit.run_length import RunLength
from llmsim.sim.run import simulate
from llmsim.spec.workload import Workload
from llmsim.workload.stream import open_stream

POISSON = {"kind": "poisson", "request_rate": 10}
ASKS = {"input_tokens": 10, "output_tokens": 5}
CLIENT = {
    "client": "c",
    "trace": [[0, 1, 1, "Gamma", 1, 1], [600, 2, 1, "", None, None]],
    "lengths": {"0": {"input_tokens": [1, 2], "output_tokens": [1, 2]}},
}


def traced(*rows: list[Any]) -> dict[str, Any]:
    """A file of one client with these rows."""
    return {"q": [0, 1], "categories": {"a": {"clients": [CLIENT | {"trace": list(rows)}]}}}


def faults(**keys: Any) -> str:
    with pytest.raises(ValidationError) as caught:
        Workload.model_validate({"num_requests": 10} | keys)
    return str(caught.value)


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"clients": []}, "describe one client at least"),
        ({"clients": [{"name": "a", **ASKS}]}, "needs a `share`"),
        ({"clients": [{"name": "a", "share": 1, "arrival": POISSON, **ASKS}]}, "one of the two"),
        ({"clients": [{"name": "a", "share": 1, **ASKS}]}, "no `arrival` beside `clients`"),
        ({"arrival": POISSON, "clients": [{"name": "a", "arrival": POISSON, **ASKS}]}, "write a share"),
        ({"arrival": POISSON, "clients": [{"name": "a", "share": 1}]}, "clients.0.output_tokens"),
        (
            {"arrival": POISSON, "clients": [{"name": "a", "share": 1, **ASKS}] * 2},
            "2 clients are called 'a'",
        ),
        ({"clients": [{"name": "a", "arrival": {"kind": "burst"}, **ASKS}]}, "give the burst a `size`"),
        ({"clients": [{"name": "a", "arrival": {"kind": "closed", "max_concurrency": 2}, **ASKS}]}, "closed"),
        (
            {"arrival": POISSON, "clients": [{"name": "a", "share": 1, **ASKS}], "num_sessions": 3},
            "cannot go with",
        ),
        (
            {
                "arrival": POISSON,
                "clients": [{"name": "a", "share": 1, **ASKS}],
                "shared_prefix": {"tokens": 5},
            },
            "say it under `clients`",
        ),
        ({"clients": "f.json", "arrival": POISSON}, "the clients' file says when"),
        ({"clients": "f.json", "input_tokens": 5}, "the clients' file says lengths"),
        ({"arrival": {"kind": "clients"}, **ASKS}, "kind clients needs `clients:`"),
    ],
)
def test_contradictions_are_named(keys: dict[str, Any], words: str) -> None:
    """Where, and what to do."""
    assert words in faults(**keys)


@pytest.mark.parametrize(
    ("document", "category", "words"),
    [
        ("[1, 2", None, "cannot be read as JSON"),
        ({"q": [0, 1]}, None, "holds no `categories`"),
        ({"q": [0.5, 1], "categories": {"a": {"clients": [CLIENT]}}}, None, "rising from 0 to 1"),
        ({"q": [0, 1], "categories": {"a": {"clients": []}}}, None, "at least 1 item"),
        ({"q": [0, 1], "categories": {"a": {}, "b": {}}}, None, "category: NAME} of a, b"),
        ({"q": [0, 1], "categories": {"abc": {}}}, "abd", "did you mean 'abc'?"),
        (traced([0, "x", 1, "", 1, 1], [9, 1, 1, "", 1, 1]), None, "trace.0.1"),
        (traced([5, 1, 1, "", 1, 1], [9, 1, 1, "", 1, 1]), None, "rise from 0"),
        (traced([0, 1, 1, "Gamma", 0, 1], [9, 1, 1, "", 1, 1]), None, "shape above 0"),
        (traced([0, 0, 1, "", 1, 1], [9, 0, 1, "", 1, 1]), None, "ever sends"),
        ({"q": [0, 0.5, 1], "categories": {"a": {"clients": [CLIENT]}}}, None, "should be 3 values"),
    ],
)  # fmt: skip
def test_a_broken_file_says_where(tmp_path: Path, document: Any, category: str | None, words: str) -> None:
    """The file, the client and the cell."""
    path = tmp_path / "f.json"
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    workload = Workload.model_validate({"clients": {"file": "f.json", "category": category}})
    with pytest.raises(TraceError) as caught:
        open_stream(workload, 0, tmp_path)

    assert words in str(caught.value)
    assert "f.json" in str(caught.value)


def scenario(folder: Path, workload: dict[str, Any], **keys: Any) -> Path:
    """A scenario of one replica with a hand-made cost."""
    content = {
        "model": "llama-3.1-8b",
        "fleet": {"accelerator": "h100-sxm", "cost_model": {"kind": "linear", "iteration_s": 0.01}},
        "workload": workload,
    }
    path = folder / "s.yaml"
    path.write_text(yaml.safe_dump(content | keys))
    return path


TALK = {"turns": 4, "think_time_s": 1}
MIX = {
    "arrival": POISSON,
    "num_requests": 300,
    "output_tokens": 20,
    "clients": [
        {"name": "chat", "share": 2, "input_tokens": 50, "slo_class": "fast", "sessions": TALK},
        {"name": "batch", "share": 1, "input_tokens": 500},
    ],
}  # fmt: skip


def test_a_mix_runs_as_it_is_written_and_as_it_is_resolved(tmp_path: Path) -> None:
    """The same requests from the scenario that a run writes; classes and owners are known."""
    loaded = load_scenario(scenario(tmp_path, MIX))
    again = tmp_path / "again"
    again.mkdir()
    (again / "resolved.yaml").write_text(resolved_yaml(loaded.scenario))
    runs = [simulate(one).requests for one in (loaded, load_scenario(again / "resolved.yaml"))]

    asked = [
        [(req.id, req.arrival_s, req.finish_s, req.tenant, req.class_name) for req in run] for run in runs
    ]
    assert asked[0] == asked[1]
    assert 300 == len(asked[0])
    assert {("chat", "fast"), ("batch", "default")} == {row[-2:] for row in asked[0]}
    assert "2 of them: chat 67%, batch 33%" in simulate(loaded).workload


def test_a_file_beside_the_scenario_is_found_from_anywhere(tmp_path: Path) -> None:
    """`clients: FILE` is relative to the scenario; the resolved one names it whole."""
    (tmp_path / "f.json").write_text(json.dumps({"q": [0, 1], "categories": {"a": {"clients": [CLIENT]}}}))
    loaded = load_scenario(scenario(tmp_path, {"clients": "f.json", "duration_s": 60}))

    assert f"file: {tmp_path}/f.json" in resolved_yaml(loaded.scenario)
    assert {"c"} == {req.tenant for req in simulate(loaded).requests}
    with pytest.raises(ScenarioError, match="no such file"):
        load_scenario(scenario(tmp_path, {"clients": "absent.json"}))


def test_a_client_asks_for_a_model_that_is_served(tmp_path: Path) -> None:
    """Or its line is named."""
    mix = MIX | {"clients": [{"name": "a", "share": 1, "input_tokens": 5, "model": "llama-3.1-70b"}]}
    with pytest.raises(ScenarioError, match=r"clients.0.model: no pool serves 'llama-3.1-70b'"):
        load_scenario(scenario(tmp_path, mix))


def test_requests_that_wait_for_others_are_not_known_ahead(tmp_path: Path) -> None:
    """A planner's bounds need every request's time; clients without sessions have them."""
    free = MIX | {"clients": [{"name": "a", "share": 1, "input_tokens": 5}]}

    assert draw_offered(load_scenario(scenario(tmp_path, MIX)).scenario) is None
    assert 300 == len(draw_offered(load_scenario(scenario(tmp_path, free)).scenario) or ())


def test_a_limit_is_looked_for_over_whole_sessions(tmp_path: Path) -> None:
    """Requests arrive for longer than a session lasts: four of 2 s each and three pauses of a second are 11 s."""
    loaded = load_scenario(scenario(tmp_path, MIX))

    assert 11.0 == RunLength.for_targets(loaded, 2.0, 1.0).window_s
    assert 110.0 == pytest.approx(RunLength.for_targets(loaded, 2.0, 0.1).window_s)
