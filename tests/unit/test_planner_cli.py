"""``llmsim plan`` from the outside: answers, files, exit codes and mistakes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from llmsim.cli.app import app
from llmsim.errors import UserError
from llmsim.files.scenario_file import load_scenario
from llmsim.files.scenario_text import resolved_yaml, scenario_sha256

LINE = {"kind": "linear", "iteration_s": 0.01}
SCENARIO = {
    "model": "llama-3.1-8b",
    "fleet": {"accelerator": "h100-sxm", "cost_model": LINE, "usd_per_hour": 2.0},
    "engine": {"max_num_seqs": 10, "num_kv_tokens": 100_000, "max_model_len": 1000},
    "workload": {"arrival": {"kind": "burst"}, "input_tokens": 1, "output_tokens": 11, "num_requests": 100},
    "slo": {"e2el_ms": 500},
}
"""An iteration of 10 seats takes 10 ms: 100 requests of 11 tokens take 1.1 s of one replica, so three do."""


@pytest.fixture
def scenario(tmp_path: Path) -> Path:
    path = tmp_path / "a.yaml"
    path.write_text(yaml.safe_dump(SCENARIO))
    return path


def plan(*options: object) -> tuple[int, str, str]:
    """(exit code, standard output, standard error or the mistake) of ``llmsim plan``."""
    found = CliRunner().invoke(app, ["plan", *map(str, options), "--on", "here"])
    said = str(found.exception) if isinstance(found.exception, UserError) else found.stderr
    return (2 if isinstance(found.exception, UserError) else found.exit_code), found.stdout, said


def test_the_winner_is_ready_to_run(scenario, tmp_path):
    """Three replicas at $6; winner.yaml is the scenario with them, and plan.json says all."""
    code, text, _ = plan(scenario, "--out", tmp_path / "out")

    answer = json.loads((tmp_path / "out" / "plan.json").read_text())
    assert 0 == code
    assert "Cheapest fleet  a: $6.00 an hour for fleet.replicas=3" in text
    assert "nothing is varied but the number of replicas" in text
    assert {"fleet.replicas": 3} == answer["winner"]["settings"]
    assert [{"settings": {}, "replicas": [1, 2], "kind": "work"}] == [
        {key: one[key] for key in ("settings", "replicas", "kind")} for one in answer["pruned"]
    ]
    assert 3 == load_scenario(tmp_path / "out" / "winner.yaml").scenario.fleet[0].replicas
    assert "Cheapest fleet" in (tmp_path / "out" / "report.html").read_text()


def test_json_is_alone_on_standard_output(scenario, tmp_path):
    """And is what lies in plan.json."""
    code, text, _ = plan(scenario, "--json", "--out", tmp_path / "out")

    assert 0 == code
    assert json.loads((tmp_path / "out" / "plan.json").read_text()) == json.loads(text)


def test_a_dearer_but_faster_fleet_is_the_runner_up(scenario, tmp_path):
    """Prices vary like any key; what costs no less than the two best is not simulated."""
    code, text, _ = plan(scenario, "--vary", "fleet.usd_per_hour=2,3,9", "--out", tmp_path / "out")

    assert 0 == code
    assert "Runner-up   $9.00 an hour, 50% dearer: fleet.usd_per_hour=3, fleet.replicas=3" in text
    assert "cost no less than the two best" in text


def test_the_section_of_the_scenario_says_what_may_vary(tmp_path):
    """And the command line replaces what both say; it is no part of what a run depends on."""
    path = tmp_path / "a.yaml"
    section = {"vary": {"fleet.usd_per_hour": [2.0, 3.0]}, "max_replicas": 4, "replications": 2}
    path.write_text(yaml.safe_dump(SCENARIO | {"plan": section}))

    code, _, _ = plan(path, "--max-replicas", 3, "--out", tmp_path / "out")

    answer = json.loads((tmp_path / "out" / "plan.json").read_text())
    assert 0 == code
    assert (2, 3) == (answer["space"]["candidates"], answer["space"]["max_replicas"])
    loaded = load_scenario(path).scenario
    assert scenario_sha256(loaded) == scenario_sha256(loaded.model_copy(update={"plan": None}))
    assert "max_replicas" not in resolved_yaml(loaded)


def test_targets_nobody_can_meet(scenario, tmp_path):
    """How far the best was, what binds and what to do; exit code 1 with --check only."""
    asked = (scenario, "--max-replicas", 2, "--set", "router=round_robin", "--goodput", "e2el:540")
    code, text, _ = plan(*asked, "--out", tmp_path / "a")
    checked, _, _ = plan(*asked, "--check", "--out", tmp_path / "a")

    assert (0, 1) == (code, checked)
    assert "No fleet  a: nothing in the space meets the targets" in text
    assert "Nearest     the scenario: the work of the requests fills 2.0" in text
    assert not (tmp_path / "a" / "winner.yaml").exists()


def test_the_best_failure_and_what_binds(scenario, tmp_path):
    """Found by simulation where no bound tells: half of the requests wait for the other half."""
    keys = ("--set", "slo={ttft_ms: 60, percentile: 0.99}", "--max-replicas", 2)
    code, text, _ = plan(scenario, *keys, "--out", tmp_path / "a")

    assert 0 == code
    assert "Binds       TTFT ≤ 60 ms" in text
    assert "raise --max-replicas above 2" in text


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--vary", "fleet.replicsa=1,2"], "unknown key; did you mean 'replicas'"),
        (["--vary", "engine.scheduler="], "no values"),
        (["--vary", "fleet.tensor_parallel_size=3,5"], "3 does not divide the 32 attention heads"),
        (["--max-replicas", "0"], "a fleet has at least one replica"),
        (["--precision", "x"], "'x' is not a share"),
        (["--vary", "spot_share=0,1"], "needs one pool with a `spot` section"),
        (
            ["--set", "model=llama-3.1-405b", "--set", "engine.num_kv_tokens=null"],
            "memory: fleet pool 'main'",
        ),
        (
            ["--set", "fleet.usd_per_hour=null", "--vary", "fleet.accelerator=h100-sxm,tpu-v3"],
            "no price is known for tpu-v3",
        ),
    ],
)
def test_mistakes_are_told_and_nothing_is_run(scenario, tmp_path, options, words):
    """Where, what, and what to do; exit code 2, nothing written."""
    code, text, said = plan(scenario, *options, "--out", tmp_path / "out")

    assert 2 == code
    assert words in said
    assert not text
    assert not (tmp_path / "out").exists() or not any((tmp_path / "out").iterdir())


def test_without_targets_there_is_nothing_to_plan(tmp_path):
    """A scenario without ``slo``."""
    path = tmp_path / "a.yaml"
    path.write_text(yaml.safe_dump({key: value for key, value in SCENARIO.items() if key != "slo"}))

    code, _, said = plan(path, "--out", tmp_path / "out")

    assert 2 == code
    assert "there are no targets" in said


def test_without_prices_accelerators_of_one_kind_count(tmp_path):
    """And the report says so."""
    path = tmp_path / "a.yaml"
    fleet = {"accelerator": "tpu-v3", "cost_model": LINE}
    path.write_text(yaml.safe_dump(SCENARIO | {"fleet": fleet}))

    code, text, _ = plan(path, "--out", tmp_path / "out")

    assert 0 == code
    assert "3 accelerators for fleet.replicas=3" in text
    assert "no price is known: fleets are ranked by their number of accelerators" in text


def test_fronts_of_everything_in_the_space(scenario, tmp_path):
    """Tokens/s/GPU and tokens/s/user of a closed loop: 1/TPOT is the line's 10 ms."""
    code, text, _ = plan(
        scenario,
        "--find", "pareto",
        "--set", "workload.arrival={kind: closed, max_concurrency: 1}",
        "--vary", "workload.arrival.max_concurrency=1,5,10",
        "--replications", 1,
        "--out", tmp_path / "out",
    )  # fmt: skip

    data = json.loads((tmp_path / "out" / "pareto.json").read_text())
    assert 0 == code
    assert "tokens/s/GPU against tokens/s/user" in text
    assert [pytest.approx(100.0)] * 3 == [one["tokens_per_s_per_user"] for one in data["measured"]]
    assert [2] == data["fronts"]["tokens/s/GPU against tokens/s/user"]
    assert {"find", "measured", "fronts", "failed"} == set(data)


def test_shares_of_spot_instances(tmp_path):
    """A pool with a market, all on demand or all on spot: the cheaper one wins, and is split in winner.yaml."""
    path = tmp_path / "a.yaml"
    spot = {
        "hazard": {"reclaims_per_instance_hour": 0.001, "mean_outage_s": 60},
        "price": 0.5,
        "notice_s": 30,
    }
    fleet = SCENARIO["fleet"] | {"spot": spot, "provisioning": {"startup_delay_s": 1}}
    path.write_text(yaml.safe_dump(SCENARIO | {"fleet": fleet}))

    code, text, said = plan(path, "--vary", "spot_share=0,1", "--max-replicas", 3, "--out", tmp_path / "out")

    assert 0 == code, said
    assert "for spot_share=1, fleet.replicas=3" in text
    (pool,) = load_scenario(tmp_path / "out" / "winner.yaml").scenario.fleet
    assert ("main-spot", 3) == (pool.name, pool.replicas)
