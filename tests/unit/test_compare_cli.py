"""``llmsim compare`` as it is typed."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pandas as pd
import pytest
from sweep_scenarios import small

from llmsim.cli import main
from llmsim.files.scenario_file import load_scenario
from llmsim.files.scenario_text import scenario_sha256

VARY = ("--vary", "engine.scheduler=orca,chunked_prefill")
QUICK = ("--on", "here", "--replications", "3")


@pytest.fixture
def compare(tmp_path, monkeypatch, capsys):
    """Runs ``llmsim compare ARGUMENTS`` beside small.yaml; gives exit code, standard output and error."""
    monkeypatch.chdir(tmp_path)
    small(tmp_path)

    def run(*arguments: str):
        monkeypatch.setattr(sys, "argv", ["llmsim", "compare", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        return (int(ended.value.code or 0), *capsys.readouterr())

    return run


def test_json_has_every_run_every_estimate_and_every_difference(compare):
    code, stdout, _ = compare("small.yaml", *VARY, *QUICK, "--json", "--seed", "5")
    found = json.loads(stdout)
    assert code == 0
    assert (found["baseline"], found["replications"], found["seeds"]) == ("scheduler=orca", 3, [5, 6, 7])
    for scenario in found["scenarios"]:
        assert [run["summary"]["offered"] for run in scenario["runs"]] == [60, 60, 60]
        assert scenario["estimates"]["p99_ttft_ms"]["name"] == "mean over 3 seeds of p99_ttft_ms"
        assert [each["rate_factor"] for each in scenario["rates"]] == [0.5, 0.75, 1.0, 1.25, 1.5]
    (difference,) = found["differences"]
    ours, theirs = (each["estimates"]["mean_ttft_ms"]["mean"] for each in found["scenarios"])
    assert difference["metrics"]["mean_ttft_ms"]["mean"] == pytest.approx(theirs - ours)


def test_the_same_command_gives_the_same_bytes_on_a_pool(compare):
    here = compare("small.yaml", *VARY, *QUICK, "--json", "--out", "a")
    pool = compare("small.yaml", *VARY, "--replications", "3", "--workers", "2", "--json", "--out", "b")
    assert here[:2] == pool[:2]
    assert Path("a/summary.json").read_bytes() == Path("b/summary.json").read_bytes()


def test_the_report_has_verdict_table_and_how_to_read_it(compare):
    code, stdout, stderr = compare("small.yaml", *VARY, *QUICK)
    assert code == 0
    first, verdict, *rest = stdout.splitlines()
    assert first == "scheduler=chunked_prefill against scheduler=orca"
    assert verdict.startswith("  scheduler=chunked_prefill: ")
    text = " ".join(" ".join(rest).split())
    for wanted in (
        "mean over 3 seeds of",
        "TTFT P99, ms",
        "cost per M",
        "Fieller",
        "paired by seed",
    ):
        assert wanted in text
    assert "results: results/small-compare-" in stderr


def test_what_the_directory_holds_reruns(compare):
    compare("small.yaml", *VARY, *QUICK, "--out", "here", "--no-curves")
    names = {path.name for path in Path("here").iterdir()}
    assert {
        "summary.json",
        "report.html",
        "0-scheduler-orca.yaml",
        "1-scheduler-chunked_prefill.yaml",
    } < names
    (path,) = Path("here").glob("runs.*")
    table = pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path)
    assert sorted(table["seed"]) == [0, 0, 1, 1, 2, 2]
    assert {"scenario", "rate_factor", "p99_ttft_ms", "saturation"} < set(table.columns)
    written = json.loads(Path("here/summary.json").read_text())["scenarios"][1]
    again = load_scenario("here/1-scheduler-chunked_prefill.yaml").scenario
    assert scenario_sha256(again) == written["scenario_sha256"]


def test_two_files_and_their_targets(compare):
    Path("slow.yaml").write_text(
        Path("small.yaml").read_text().replace("0.005", "0.02").replace("small", "slow")
    )
    two = ("small.yaml", "slow.yaml", *QUICK, "--no-curves")
    assert compare(*two, "--check", "--goodput", "ttft:2000")[0] == 0
    code, stdout, stderr = compare(*two, "--check", "--goodput", "ttft:30", "--out", "b")
    assert code == 1
    assert "target missed: slow, seed 0" in stderr
    assert "slow against small" in stdout


def test_precision_says_what_ended_it(compare):
    _, stdout, _ = compare(
        "small.yaml", *VARY, "--on", "here", "--precision", "2%", "--replications", "6", "--no-curves"
    )
    assert "6 replications, the most allowed, leave" in stdout


BAD = {
    "one": (("small.yaml",), "nothing varied"),
    "nearest key": (("small.yaml", "--vary", "engine.schedular=orca,vllm"), "scheduler"),
    "twice": (("small.yaml", "small.yaml"), "given twice"),
    "same values": (("small.yaml", "--vary", "slo.ttft_ms=500,500.0"), "the same scenario"),
    "bad value": (("small.yaml", "--vary", "engine.max_num_seqs=8,many"), "many"),
    "no values": (("small.yaml", "--vary", "engine.scheduler="), "no values"),
    "precision": (("small.yaml", *VARY, "--precision", "tight"), "tight"),
    "too few": (("small.yaml", *VARY, "--precision", "5%", "--replications", "2"), "at least 3"),
    "where": (("small.yaml", *VARY, "--on", "moon"), "--on moon"),
    "no file": (("small.yaml", "none.yaml"), "none.yaml"),
}


@pytest.mark.parametrize("arguments, words", BAD.values(), ids=BAD)
def test_mistakes_are_told_and_nothing_is_run_or_written(compare, arguments, words):
    code, stdout, stderr = compare(*arguments)
    assert (code, stdout) == (2, "")
    assert words in stderr
    assert "Traceback" not in stderr
    assert not Path("results").exists()


def test_check_without_targets_is_refused(compare):
    code, _, stderr = compare("small.yaml", *VARY, "--check", "--set", "slo={}")
    assert code == 2
    assert "no targets" in stderr


def test_a_directory_of_something_else_is_refused(compare):
    assert compare("small.yaml", *VARY, *QUICK, "--no-curves", "--out", "here")[0] == 0
    assert compare("small.yaml", *VARY, *QUICK, "--no-curves", "--out", "here")[0] == 0
    code, _, stderr = compare("small.yaml", "--vary", "engine.max_num_seqs=1,2", *QUICK, "--out", "here")
    assert code == 2
    assert "something else" in stderr


def test_a_failed_run_is_told_and_the_others_stand(compare):
    Path("fails.py").write_text(
        "from llmsim import SCHEDULERS\n"
        "from llmsim.engine.schedulers.chunked_prefill import ChunkedPrefill\n\n\n"
        "@SCHEDULERS.register('fails')\n"
        "class Fails(ChunkedPrefill):\n"
        "    def plan(self, batch, now_s):\n"
        "        raise ValueError('as written')\n"
    )
    vary = ("--vary", "engine.scheduler=orca,fails")
    code, stdout, stderr = compare("small.yaml", *vary, *QUICK, "--plugin", "fails.py")
    assert code == 2
    assert "as written" in stderr
    assert "ran to its end" in stdout
    assert "TTFT P99" in stdout
