"""The command line as a shell sees it: exit codes, standard output, standard error."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from door_scenarios import SCENARIO, write_scenario

from llmsim.cli import in_words, spread_goodput
from llmsim.errors import Problem, UserError

COMMAND = [sys.executable, "-m", "llmsim"]


def llmsim(*arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """The finished command."""
    return subprocess.run(
        [*COMMAND, *map(str, arguments)], cwd=cwd, capture_output=True, text=True, timeout=60
    )


BAD_FILES = {
    "empty file": ("", "is empty"),
    "not YAML": ("a: [1", "not YAML"),
    "text": ("hello", "is text"),
    "wrong type": (
        SCENARIO.replace("num_seqs: 64", "num_seqs: many"),
        "7:17: engine.max_num_seqs: Input should be",
    ),
    "unknown key": (
        SCENARIO.replace("max_num_seqs", "max_seqs"),
        "7:3: engine.max_seqs: unknown key; did you mean",
    ),
    "duplicate key": (SCENARIO + "slo: {}\n", "14:1: slo: given twice"),
    "wrong unit": (SCENARIO.replace("500", "5GB"), "13:16: slo.ttft_ms: Input should be a number of ms"),
    "NaN rate": (SCENARIO.replace("rate: 10", "rate: .nan"), "9:42: workload.arrival.request_rate: "),
    "negative rate": (SCENARIO.replace("rate: 10", "rate: -1"), "9:42: workload.arrival.request_rate: "),
    "zero rate": (SCENARIO.replace("rate: 10", "rate: 0"), "9:42: workload.arrival.request_rate: "),
    "unknown accelerator": (SCENARIO.replace("h100-sxm", "h100-sx"), "5:18: fleet.0.accelerator: unknown"),
    "does not fit": (
        SCENARIO.replace("h100-sxm", "h100-sxm\n    engine: {gpu_memory_utilization: 1e-3}"),
        "on h100-sxm",
    ),
}


@pytest.mark.parametrize(("text", "message"), BAD_FILES.values(), ids=BAD_FILES)
def test_bad_input_ends_with_2_one_message_and_nothing_written(
    tmp_path: Path, text: str, message: str
) -> None:
    """Words on standard error only, no traceback, no results directory (issue 2, "Bad input")."""
    path = write_scenario(tmp_path, text)
    done = llmsim("run", path.name, "--json", cwd=tmp_path)

    assert (2, "") == (done.returncode, done.stdout)
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert ["config.json", "tiny.yaml"] == sorted(os.listdir(tmp_path))


def test_several_problems_are_counted_after_them(tmp_path: Path) -> None:
    """The form of every message about a file, as the user guide shows it."""
    text = SCENARIO.replace("max_num_seqs", "max_num_seq").replace("500", "'12:30'")
    write_scenario(tmp_path, text)
    done = llmsim("run", "tiny.yaml", cwd=tmp_path)

    assert (
        "tiny.yaml:7:3: engine.max_num_seq: unknown key; did you mean 'max_num_seqs'?\n"
        "tiny.yaml:13:16: slo.ttft_ms: Input should be a number of ms, or one with a unit of time: "
        "s, ms, us, µs, ns, min, h, d (got '12:30')\n"
        "\n"
        "2 problems in 1 file. Nothing was run.\n"
        "hint: `llmsim schema slo` lists every key with its unit\n"
    ) == done.stderr


@pytest.mark.parametrize(
    ("message", "arguments"),
    [
        ("absent.yaml: no such file", ["run", "absent.yaml"]),
        (".: is a directory", ["run", "."]),
        ("No such command 'rum'", ["rum"]),
        ("No such option: --chek", ["run", "tiny.yaml", "--chek"]),
        ("Missing argument", ["run"]),
        ("unknown kind 'model'; did you mean 'models'?", ["list", "model"]),
        ("no section 'engin'; did you mean 'engine", ["schema", "engin"]),
        ("absent.py: no such plug-in file", ["list", "routers", "--plugin", "absent.py"]),
        ("absent.csv", ["trace", "info", "absent.csv"]),
        ("give --batch or --prefill", ["roofline", "tiny.yaml", "--batch", "0"]),
        ("which knows no operators", ["roofline", "tiny.yaml", "--set", "fleet.cost_model=linear"]),
        ("cannot be written", ["run", "tiny.yaml", "--out", "tiny.yaml/here"]),
    ],
)
def test_wrong_usage_ends_with_2(tmp_path: Path, message: str, arguments: list[str]) -> None:
    """One message, no traceback."""
    write_scenario(tmp_path)
    done = llmsim(*arguments, cwd=tmp_path)

    assert (2, "") == (done.returncode, done.stdout)
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_a_run_prints_the_report_and_writes_the_results(tmp_path: Path) -> None:
    """Results on standard output and in results/NAME-SHA8, words on standard error."""
    write_scenario(tmp_path)
    done = llmsim("run", "tiny.yaml", cwd=tmp_path)
    [directory] = (tmp_path / "results").iterdir()
    summary = json.loads((directory / "summary.json").read_text())

    assert 0 == done.returncode
    assert "tiny" in done.stdout
    assert f"results: results/tiny-{summary['scenario_sha256'][:8]}\n" == done.stderr
    assert f"tiny-{summary['scenario_sha256'][:8]}" == directory.name


def test_the_resolved_scenario_reruns_to_the_same_bytes(tmp_path: Path) -> None:
    """scenario.yaml of the results, run again from there, gives the summary again."""
    write_scenario(tmp_path)
    first = llmsim("run", "tiny.yaml", "--json", "--out", "first", "--seed", "3", cwd=tmp_path)
    again = llmsim("run", "first/scenario.yaml", "--json", "--out", "again", cwd=tmp_path)

    assert first.stdout == again.stdout
    assert (tmp_path / "first/summary.json").read_bytes() == (tmp_path / "again/summary.json").read_bytes()
    assert 30 == json.loads(first.stdout)["completed"]


def test_check_ends_with_1_when_a_target_is_missed(tmp_path: Path) -> None:
    """--goodput in milliseconds; without --check a missed target is no failure."""
    write_scenario(tmp_path)
    goodput = ["--goodput", "ttft:0.000001", "e2el:1e9"]
    checked = llmsim("run", "tiny.yaml", "--quiet", "--check", *goodput, cwd=tmp_path)
    unchecked = llmsim("run", "tiny.yaml", "--quiet", *goodput, cwd=tmp_path)
    met = llmsim("run", "tiny.yaml", "--quiet", "--check", "--goodput", "e2el:1e9", cwd=tmp_path)

    assert [1, 0, 0] == [checked.returncode, unchecked.returncode, met.returncode]
    assert "target missed: requests within all limits: 0.00% (target 100.00%)\n" == checked.stderr
    assert ("", "") == (unchecked.stdout, unchecked.stderr)


def test_ctrl_c_writes_what_is_finished_and_ends_with_130(tmp_path: Path) -> None:
    """A run that would take minutes, stopped after its simulation began."""
    path = write_scenario(tmp_path, old="num_requests: 30", new="num_requests: 50000000")
    command = [*COMMAND, "run", str(path), "--out", "out", "--set", "workload.arrival.request_rate=200"]
    process = subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    while not (tmp_path / "out").exists() and process.poll() is None:
        time.sleep(0.05)
    time.sleep(1.0)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)

    assert 130 == process.returncode
    assert "partial" in stderr
    assert json.loads((tmp_path / "out/run_info.json").read_text())["interrupted"]
    assert json.loads((tmp_path / "out/summary.json").read_text())["completed"] > 0


def test_a_reader_that_goes_away_is_no_error(tmp_path: Path) -> None:
    """`llmsim list models | head -1` says nothing on standard error."""
    command = f"{sys.executable} -m llmsim list models --json | head -1"
    done = subprocess.run(command, shell=True, cwd=tmp_path, capture_output=True, text=True, timeout=60)

    assert ("[\n", "") == (done.stdout, done.stderr)


def test_help_is_instant() -> None:
    """Under 0.3 s of CPU, without the packages that take long to import."""
    code = (
        "import sys, time, llmsim.cli\n"
        "sys.argv = ['llmsim', '--help']\n"
        "try: llmsim.cli.main()\n"
        "except SystemExit: pass\n"
        "heavy = {'numpy', 'pandas', 'pydantic', 'simpy', 'yaml', 'rich.console'} & set(sys.modules)\n"
        "print(sorted(heavy), time.process_time(), file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    heavy, cpu_s = done.stderr.rsplit(" ", 1)

    assert "[]" == heavy
    assert float(cpu_s) < 0.3
    assert ["run", "roofline", "list", "schema", "trace"] == [
        line.split()[0] for line in done.stdout.partition("Commands:\n")[2].splitlines()
    ]


def test_goodput_takes_several_values_as_vllm_does() -> None:
    """The option is repeated for the parser; what follows it otherwise is left alone."""
    given = ["run", "--goodput", "ttft:200", "tpot:50", "s.yaml", "--set", "a=b:c", "x:1"]
    expected = ["run", "--goodput", "ttft:200", "--goodput", "tpot:50", "s.yaml", "--set", "a=b:c", "x:1"]

    assert expected == spread_goodput(given)


def test_one_problem_without_a_place_is_one_line() -> None:
    """Nothing is counted where there is nothing to count."""
    assert "error: no\nhint: yes" == in_words(UserError("no", hint="yes"))
    assert "--set x: no\n\n1 problem. Nothing was run." == in_words(UserError(Problem("--set x", "no")))


@pytest.mark.parametrize(
    "kind", ["schedulers", "kv_caches", "routers", "cost_models", "accelerators", "links"]
)
def test_every_kind_is_listed_with_its_source(tmp_path: Path, kind: str) -> None:
    """--json prints the same rows for programs."""
    rows = json.loads(llmsim("list", kind, "--json", cwd=tmp_path).stdout)

    assert rows
    assert all(row["name"] and any(row[key] for key in row if "source" in key) for row in rows)


def test_roofline_shares_add_up(tmp_path: Path) -> None:
    """The shares of the operators' times make the whole iteration."""
    write_scenario(tmp_path)
    [pool] = json.loads(llmsim("roofline", "tiny.yaml", "--batch", "8", "--json", cwd=tmp_path).stdout)

    assert 1.0 == pytest.approx(sum(op["share"] for op in pool["ops"]))
    assert (8, "h100-sxm") == (pool["batch"], pool["accelerator"])


def test_a_converted_trace_holds_the_same_requests(tmp_path: Path) -> None:
    """Converting into the simulator's own format loses nothing that it reads."""
    trace = tmp_path / "azure.csv"
    trace.write_text(
        "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46.680,374,44\n2023-11-16 18:15:50.995,396,109\n"
    )
    llmsim("trace", "convert", trace, "own.jsonl", cwd=tmp_path)
    one, own = (
        json.loads(llmsim("trace", "info", file, "--json", cwd=tmp_path).stdout)
        for file in (trace, "own.jsonl")
    )

    assert (2, "azure", "llmsim") == (one["requests"], one["format"], own["format"])
    assert [one[key] for key in ("duration_s", "input_tokens", "output_tokens")] == [
        own[key] for key in ("duration_s", "input_tokens", "output_tokens")
    ]
