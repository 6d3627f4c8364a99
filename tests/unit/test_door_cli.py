"""The command line as a shell sees it: exit codes, standard output, standard error."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from door_scenarios import SCENARIO, write_scenario

from llmsim.cli import in_words, main, spread_goodput
from llmsim.errors import Problem, UserError

COMMAND = [sys.executable, "-m", "llmsim"]


class Shell:
    """Runs commands in this process, in a folder of its own that holds a scenario."""

    def __init__(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        self.folder = folder
        self.stdout = self.stderr = ""
        self._monkeypatch = monkeypatch
        self._capsys = capsys
        monkeypatch.chdir(folder)
        write_scenario(folder)

    def run(self, *arguments: str) -> int:
        """The exit code of ``llmsim ARGUMENTS``; what it wrote is in ``stdout`` and ``stderr``."""
        self._monkeypatch.setattr(sys, "argv", ["llmsim", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        self.stdout, self.stderr = self._capsys.readouterr()
        return int(ended.value.code or 0)

    def json(self, *arguments: str) -> Any:
        """What the command prints with --json."""
        assert 0 == self.run(*arguments, "--json")
        return json.loads(self.stdout)


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shell:
    """A shell in a folder with nothing but tiny.yaml and its model."""
    return Shell(tmp_path, monkeypatch, capsys)


BAD_FILES = {
    "empty file": ("", "is empty"),
    "not YAML": ("a: [1", "not YAML"),
    "text": ("hello", "is text"),
    "wrong type": (SCENARIO.replace("seqs: 64", "seqs: many"), "7:17: engine.max_num_seqs: Input should be"),
    "unknown key": (
        SCENARIO.replace("max_num_seqs", "max_seqs"),
        "7:3: engine.max_seqs: unknown key; did you",
    ),
    "duplicate key": (SCENARIO + "slo: {}\n", "14:1: slo: given twice"),
    "wrong unit": (SCENARIO.replace("500", "5GB"), "13:16: slo.ttft_ms: Input should be a number of ms"),
    "NaN rate": (SCENARIO.replace("rate: 10", "rate: .nan"), "9:42: workload.arrival.request_rate: "),
    "negative rate": (SCENARIO.replace("rate: 10", "rate: -1"), "9:42: workload.arrival.request_rate: "),
    "zero rate": (SCENARIO.replace("rate: 10", "rate: 0"), "9:42: workload.arrival.request_rate: "),
    "unknown name": (SCENARIO.replace("h100-sxm", "h100-sx"), "5:18: fleet.0.accelerator: unknown"),
    "does not fit": (SCENARIO.replace("engine:", "engine:\n  gpu_memory_utilization: 0.1%"), "on h100-sxm"),
}


@pytest.mark.parametrize(("text", "message"), BAD_FILES.values(), ids=BAD_FILES)
def test_bad_input_ends_with_2_and_nothing_written(tmp_path: Path, text: str, message: str) -> None:
    """Words on standard error only, no traceback, no results directory (issue 2, "Bad input")."""
    write_scenario(tmp_path, text)
    command = [*COMMAND, "run", "tiny.yaml", "--json"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    assert (2, "") == (done.returncode, done.stdout)
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert ["config.json", "tiny.yaml"] == sorted(os.listdir(tmp_path))


def test_several_problems_are_counted_after_them(shell: Shell) -> None:
    """The form of every message about a file."""
    write_scenario(shell.folder, SCENARIO.replace("max_num_seqs", "max_num_seq").replace("500", "'12:30'"))
    shell.run("run", "tiny.yaml")

    assert (
        "tiny.yaml:7:3: engine.max_num_seq: unknown key; did you mean 'max_num_seqs'?\n"
        "tiny.yaml:13:16: slo.ttft_ms: Input should be a number of ms, or one with a unit of time: "
        "s, ms, us, µs, ns, min, h, d (got '12:30')\n"
        "\n"
        "2 problems in 1 file. Nothing was run.\n"
        "hint: `llmsim schema slo` lists every key with its unit\n"
    ) == shell.stderr


@pytest.mark.parametrize(
    ("message", "arguments"),
    [
        ("absent.yaml: no such file", ["run", "absent.yaml"]),
        (".: is a directory", ["run", "."]),
        ("No such command 'rum'", ["rum"]),
        ("No such option: --chek", ["run", "tiny.yaml", "--chek"]),
        ("Missing argument", ["run"]),
        ("unknown kind 'model'; did you mean 'models'", ["list", "model"]),
        ("no section 'engin'; did you mean 'engine", ["schema", "engin"]),
        ("absent.py: no such plug-in file", ["list", "routers", "--plugin", "absent.py"]),
        ("absent.csv", ["trace", "info", "absent.csv"]),
        ("give --batch or --prefill", ["roofline", "tiny.yaml", "--batch", "0"]),
        ("which knows no operators", ["roofline", "tiny.yaml", "--set", "fleet.cost_model=linear"]),
        ("cannot be written", ["run", "tiny.yaml", "--out", "tiny.yaml/here"]),
        ("not empty, and not a results directory", ["run", "tiny.yaml", "--out", "."]),
    ],
)
def test_wrong_usage_ends_with_2(shell: Shell, message: str, arguments: list[str]) -> None:
    """One message on standard error, and nothing written."""
    assert 2 == shell.run(*arguments)
    assert "" == shell.stdout
    assert message in shell.stderr
    assert ["config.json", "tiny.yaml"] == sorted(os.listdir(shell.folder))


def test_a_run_prints_the_report_and_writes_the_results(shell: Shell) -> None:
    """Report on standard output, files in results/NAME-SHA8; a missed target alone is no failure."""
    assert 0 == shell.run("run", "tiny.yaml", "--goodput", "ttft:0.000001")
    [directory] = (shell.folder / "results").iterdir()
    summary = json.loads((directory / "summary.json").read_text())

    assert "tiny" in shell.stdout
    assert f"results: results/tiny-{summary['scenario_sha256'][:8]}\n" == shell.stderr
    assert f"tiny-{summary['scenario_sha256'][:8]}" == directory.name


def test_the_resolved_scenario_reruns_to_the_same_bytes(shell: Shell) -> None:
    """scenario.yaml of the results, run again from there, gives the summary again."""
    first = shell.json("run", "tiny.yaml", "--out", "first", "--seed", "3")
    shell.json("run", "first/scenario.yaml", "--out", "again")
    written = [(shell.folder / name / "summary.json").read_bytes() for name in ("first", "again")]

    assert written[0] == written[1]
    assert 30 == first["completed"]


def test_check_ends_with_1_when_a_target_is_missed(shell: Shell) -> None:
    """--goodput is in milliseconds; --quiet says no more than what was missed."""
    run = ["run", "tiny.yaml", "--quiet", "--check", "--goodput"]
    missed = "target missed: requests within all limits: 0.00% (target 100.00%)\n"

    assert 1 == shell.run(*run, "ttft:0.000001", "e2el:1e9")
    assert ("", missed) == (shell.stdout, shell.stderr)
    assert 0 == shell.run(*run, "ttft:1e9", "e2el:1e9")
    assert ("", "") == (shell.stdout, shell.stderr)


def test_ctrl_c_writes_what_is_finished_and_ends_with_130(tmp_path: Path) -> None:
    """A run that would take minutes, stopped after its simulation began."""
    write_scenario(tmp_path, old="num_requests: 30", new="num_requests: 3000000")
    command = [*COMMAND, "run", "tiny.yaml", "--out", "out"]
    process = subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    while not (tmp_path / "out").exists() and process.poll() is None:
        time.sleep(0.05)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)

    assert 130 == process.returncode
    assert "partial" in stderr
    assert json.loads((tmp_path / "out/run_info.json").read_text())["interrupted"]


def test_a_reader_that_goes_away_is_no_error(tmp_path: Path) -> None:
    """`llmsim list models | head -1` says nothing on standard error."""
    command = f"{sys.executable} -m llmsim list models --json | head -1"
    done = subprocess.run(command, shell=True, cwd=tmp_path, capture_output=True, text=True, check=True)

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
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy, cpu_s = done.stderr.rsplit(" ", 1)
    listed = done.stdout.partition("Commands:\n")[2].splitlines()

    assert "[]" == heavy
    assert float(cpu_s) < 0.3
    commands = [
        "run",
        "compare",
        "sweep",
        "plan",
        "roofline",
        "calibrate",
        "validate",
        "list",
        "schema",
        "trace",
    ]
    assert commands == [line.split()[0] for line in listed]


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
    "kind",
    [
        "schedulers",
        "arrivals",
        "kv_caches",
        "routers",
        "autoscalers",
        "reclaim_policies",
        "cost_models",
        "accelerators",
        "instances",
        "links",
        "nodes",
    ],
)
def test_every_kind_is_listed_with_its_source(shell: Shell, kind: str) -> None:
    """--json prints the same rows for programs."""
    rows = shell.json("list", kind)

    assert rows
    assert all(row["name"] and any(row[key] for key in row if "source" in key) for row in rows)


def test_roofline_shares_add_up(shell: Shell) -> None:
    """The shares of the operators' times make the whole iteration."""
    [pool] = shell.json("roofline", "tiny.yaml", "--batch", "8")

    assert 1.0 == pytest.approx(sum(op["share"] for op in pool["ops"]))
    assert (8, "h100-sxm") == (pool["batch"], pool["accelerator"])


def test_roofline_prints_every_operator(shell: Shell) -> None:
    """The table holds what --json holds."""
    [pool] = shell.json("roofline", "tiny.yaml", "--prefill", "64")
    shell.run("roofline", "tiny.yaml", "--prefill", "64")

    assert [] == [op["op"] for op in pool["ops"] if op["op"] not in shell.stdout]


def test_a_converted_trace_holds_the_same_requests(shell: Shell) -> None:
    """Converting into the simulator's own format loses nothing that it reads."""
    rows = "2023-11-16 18:15:46.680,374,44\n2023-11-16 18:15:50.995,396,109\n"
    (shell.folder / "azure.csv").write_text(f"TIMESTAMP,ContextTokens,GeneratedTokens\n{rows}")
    assert 0 == shell.run("trace", "convert", "azure.csv", "own.jsonl")
    one, own = (shell.json("trace", "info", name) for name in ("azure.csv", "own.jsonl"))
    told = ("duration_s", "input_tokens", "output_tokens")

    assert (2, "azure", "llmsim") == (one["requests"], one["format"], own["format"])
    assert [one[key] for key in told] == [own[key] for key in told]


def test_a_plugins_policy_runs(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """--plugin FILE.py registers a router, the scenario names it."""
    from llmsim import plugins

    monkeypatch.setattr(plugins.ROUTERS, "_loaded", dict(plugins.ROUTERS._loaded))
    (shell.folder / "mine.py").write_text(
        "from llmsim.plugins import ROUTERS\n"
        "from llmsim.sim.routers import RoundRobin\n\n"
        "ROUTERS.register('mine')(type('Mine', (RoundRobin,), {}))\n"
    )

    assert 30 == shell.json("run", "tiny.yaml", "--set", "router=mine", "--plugin", "mine.py")["completed"]
