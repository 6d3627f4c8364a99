"""``llmsim plan --find limit``: what it prints, writes, and refuses."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import yaml

from llmsim import cli

RATE = "workload.arrival.request_rate"
SCENARIO = {
    "name": "small",
    "model": "llama-3.1-8b",
    "fleet": {
        "accelerator": "h100-sxm",
        "cost_model": {"kind": "linear", "iteration_s": 0.01, "per_token_s": 5e-5, "per_sequence_s": 2e-4},
    },
    "engine": {"max_num_seqs": 16, "max_num_batched_tokens": 256, "num_kv_tokens": 8000},
    "workload": {
        "arrival": {"kind": "poisson", "request_rate": 20},
        "input_tokens": {"kind": "uniform", "min": 20, "max": 400},
        "output_tokens": {"kind": "uniform", "min": 5, "max": 40},
        "num_requests": 100,
    },
    "slo": {"ttft_ms": 150, "percentile": 0.9},
}


@pytest.fixture
def scenario(tmp_path: Path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "small.yaml"
    path.write_text(yaml.safe_dump(SCENARIO))
    return path


def llmsim(monkeypatch, *arguments) -> int:
    monkeypatch.setattr(sys, "argv", ["llmsim", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return ended.value.code or 0


def plan(monkeypatch, scenario, *arguments) -> int:
    few = ("--workers", 1, "--replications", 1, "--out", "out")
    return llmsim(monkeypatch, "plan", scenario, "--find", "limit", *few, *arguments)


def test_the_answer_is_told_written_and_ready_to_run(scenario, monkeypatch, capsys):
    assert plan(monkeypatch, scenario, "--over", f"{RATE}=4:40:4", "--check") == 0
    told = " ".join(capsys.readouterr().out.split())
    answer = json.loads(Path("out/limit.json").read_text())
    at, beyond = answer["at"], answer["beyond"]
    assert f"{answer['limit']} req/s within all targets" in told
    assert f"{beyond['load']:g} is too much" in told and "TTFT" in told
    assert answer["margin"] == pytest.approx(answer["limit"] / 20) and answer["holds"]
    assert beyond["load"] - at["load"] == answer["step"] == 4

    assert llmsim(monkeypatch, "run", "out/limit.yaml", "--check", "--quiet", "--json", "--out", "run") == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["slo_attainment"] == at["attainment"]
    assert summary["offered"] == at["settings"].get("workload.num_requests", 100)


def test_the_answer_does_not_depend_on_who_runs(scenario, monkeypatch, capsys):
    for name, workers in (("one", 1), ("two", 2)):
        code = llmsim(monkeypatch, "plan", scenario, "--find", "limit", "--replications", 2, "--quiet",
                      "--over", f"{RATE}=5:40:5", "--workers", workers, "--out", name)  # fmt: skip
        assert code == 0
    assert Path("one/limit.json").read_bytes() == Path("two/limit.json").read_bytes()


def test_without_a_range_it_brackets_the_limit_itself(scenario, monkeypatch, capsys):
    assert plan(monkeypatch, scenario, "--resolution", "10%", "--json") == 0
    answer = json.loads(capsys.readouterr().out)
    assert 0 < answer["step"] <= 0.1 * answer["limit"]
    assert all(one["passes"] == (one["load"] <= answer["limit"]) for one in answer["tried"][:3])
    assert "notes" in answer and answer["runs"] >= len(answer["tried"])


def test_a_load_beyond_the_limit_fails_the_check(scenario, monkeypatch, capsys):
    asked = ("--over", f"{RATE}=5:40:5", "--set", f"{RATE}=38", "--quiet")
    assert plan(monkeypatch, scenario, *asked) == 0
    assert plan(monkeypatch, scenario, *asked, "--check") == 1


def test_targets_that_nobody_meets_say_which_and_how_far(scenario, monkeypatch, capsys):
    assert plan(monkeypatch, scenario, "--set", "slo.ttft_ms=11", "--check") == 1
    told = " ".join(capsys.readouterr().out.split())
    assert "zero: even requests that come one at a time miss their targets" in told
    assert "within 11.0 ms, P90" in told and "times that" in told
    assert not Path("out/limit.yaml").exists()


def test_a_range_that_breaks_nothing_says_so(scenario, monkeypatch, capsys):
    assert plan(monkeypatch, scenario, "--over", f"{RATE}=1:3:1", "--set", "slo.ttft_ms=60000") == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "nothing tried is too much, up to 3 req/s" in told and "--over" in told


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--over", "workload.arrival.request_rat=1:9:1"], "did you mean 'request_rate'"),
        (["--over", f"{RATE}=1:9:-1"], "never ends"),
        (["--over", f"{RATE}="], "no values"),
        (["--over", "engine.scheduler=orca,vllm"], "not a number"),
        (["--over", f"{RATE}=1:9:1", "--over", "workload.num_requests=1:9:1"], "one key"),
        (["--over", f"{RATE}=1:9:1", "--resolution", "5%"], "step of its own"),
        (["--resolution", "none"], "--resolution: 'none' is not a share"),
        (["--set", "workload.arrival={kind: closed, max_concurrency: 2}", "--over", f"{RATE}=1:9:1"], "unknown key"),
        (["--set", "slo.ttft_ms=null"], "no latency targets"),
        (["--vary", "engine.scheduler=orca,vllm"], "--vary: not for --find limit"),
    ],
)  # fmt: skip
def test_mistakes_are_told_before_anything_is_run(arguments, message, scenario, monkeypatch, capsys):
    assert plan(monkeypatch, scenario, *arguments) == 2
    assert message in " ".join(capsys.readouterr().err.replace("│", " ").split())
    assert not Path("out").exists()
