"""What the shell gives and takes away: output directories, closed streams, Ctrl-C, plug-ins."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from door_scenarios import SCENARIO, write_scenario

from llmsim import plugins, registry
from llmsim.cli import main
from llmsim.errors import CatalogError
from llmsim.registry import Registry, nearest

COMMAND = [sys.executable, "-m", "llmsim"]
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs ``llmsim ARGUMENTS`` in a folder that holds tiny.yaml; exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)
    write_scenario(tmp_path)

    def llmsim(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["llmsim", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capsys.readouterr()
        return int(ended.value.code or 0), captured.out, captured.err

    return llmsim


@pytest.mark.parametrize(
    ("message", "arguments"),
    [
        ("cannot be written: File name too long", ["run", "tiny.yaml", "--out", "x" * 300]),
        ("it is a file, not a directory", ["run", "tiny.yaml", "--out", "config.json"]),
        ("there are no targets to check", ["run", "tiny.yaml", "--check", "--set", "slo={}"]),
        ("no such file; unknown scenario 'chatbo'; did you mean 'chatbot'?", ["run", "chatbo"]),
        ("timestamp_unit is for JSONL", ["trace", "info", "t.csv", "--timestamp-unit", "s"]),
        ("'us' is not one of 's', 'ms'", ["trace", "convert", "t.csv", "o.csv", "--timestamp-unit", "us"]),
    ],
)
def test_wrong_usage_ends_with_2(run: Run, tmp_path: Path, message: str, arguments: list[str]) -> None:
    """One message on standard error, nothing on standard output, and nothing written."""
    (tmp_path / "t.csv").write_text("arrival_s,input_tokens,output_tokens\n0,1,1\n")
    code, out, err = run(*arguments)

    assert (2, "") == (code, out)
    assert message in err
    assert ["config.json", "t.csv", "tiny.yaml"] == sorted(os.listdir(tmp_path))


def test_a_home_directory_may_be_written_as_a_tilde(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the shell leaves it, as in --out=~/results."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))

    assert 0 == run("run", "tiny.yaml", "--quiet", "--out", "~/results")[0]
    assert (tmp_path / "home/results/summary.json").is_file()


def test_a_shipped_scenario_runs_by_name(run: Run) -> None:
    """Wherever one is; a file of that name goes before it."""
    code, out, _ = run(
        "run",
        "chatbot",
        "--json",
        "--out",
        "o",
        "--set",
        "workload={profile: azure-2023-code, duration_s: 20}",
    )

    assert 0 == code
    assert 0 < json.loads(out)["offered"]

    Path("chatbot").write_text("")
    code, _, err = run("run", "chatbot")

    assert 2 == code
    assert "chatbot: is empty" in err


def test_shipped_scenarios_are_listed_with_their_question(run: Run) -> None:
    """The question is the comment each starts with."""
    rows = json.loads(run("list", "scenarios", "--json")[1])

    assert "chatbot" in [row["name"] for row in rows]
    assert all("?" in row["question"] for row in rows)


def test_the_timestamp_unit_reaches_the_trace(run: Run, tmp_path: Path) -> None:
    """Ten seconds, not ten milliseconds."""
    row = '{"timestamp": %d, "input_length": 10, "output_length": 5}\n'
    (tmp_path / "t.jsonl").write_text(row % 0 + row % 10)
    durations = [
        json.loads(run("trace", "info", "t.jsonl", "--json", *unit)[1])["duration_s"]
        for unit in ([], ["--timestamp-unit", "s"])
    ]

    assert [0.01, 10.0] == durations


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("mine.py:1: SyntaxError", "def f(:"),
        ("mine.py:2: ValueError: boom", "x = 1\nraise ValueError('boom')"),
        ("mine.py:1: SystemExit: 3", "raise SystemExit(3)"),
        ("mine.py:1: ModuleNotFoundError", "import no_such_module"),
        ("mine.py:2: CatalogError: router 'round_robin' is already registered",
         "from llmsim import ROUTERS\nROUTERS.register('round_robin')(int)"),
        ("mine.py:2: CatalogError: router 'mine' should be a class, but is 5",
         "from llmsim import ROUTERS\nROUTERS.register('mine')(5)"),
        ("mine.py:2: CatalogError: scheduler 'mine': class Mine does not define plan",
         "from llmsim import SCHEDULERS, Scheduler\n"
         "SCHEDULERS.register('mine')(type('Mine', (Scheduler,), {}))"),
        ("router 'mine': its Options should be a class",
         "from llmsim import ROUTERS\nROUTERS.register('mine')(type('Mine', (), {'Options': 5}))"),
    ],
)  # fmt: skip
def test_a_broken_plugin_file_is_told_with_its_line(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, message: str, code: str
) -> None:
    """Before anything is simulated."""
    for kind in (plugins.ROUTERS, plugins.SCHEDULERS):
        monkeypatch.setattr(kind, "_loaded", dict(kind._loaded))
    (tmp_path / "mine.py").write_text(code)
    number, out, err = run("run", "tiny.yaml", "--plugin", "mine.py", "--set", "router=mine")

    assert (2, "") == (number, out)
    assert message in err
    assert not (tmp_path / "results").exists()


def test_a_package_that_cannot_be_imported_is_named(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An entry point is a problem of the scenario that names it, and of nothing else."""
    broken = EntryPoint("theirs", "no_such_package.module:Class", plugins.ROUTERS.group)

    def entry_points(group: str, name: str | None = None) -> list[EntryPoint]:
        return [broken] if group == broken.group and name in (None, broken.name) else []

    monkeypatch.setattr(registry, "entry_points", entry_points)
    code, _, err = run("run", "tiny.yaml", "--set", "router=theirs")

    assert 2 == code
    assert (
        "--set router=theirs: router: router 'theirs' cannot be loaded from no_such_package.module:Class: "
        "ModuleNotFoundError: No module named 'no_such_package'; mend or uninstall it"
    ) in err

    code, out, _ = run("list", "routers", "--json")

    assert 0 == code
    assert ["cannot be loaded"] == [row["source"] for row in json.loads(out) if row["name"] == "theirs"]
    assert "unknown key; did you mean 'slo'" in run("run", "tiny.yaml", "--set", "sloo=1")[2]


def test_a_long_list_of_names_is_cut() -> None:
    """A hundred models in a message help nobody."""
    assert nearest("zzz", [f"n{index:03}" for index in range(50)]).endswith(", n039 and 10 more")


def test_a_registry_takes_classes_only() -> None:
    """Anything else would fail only when it is used."""
    with pytest.raises(CatalogError, match="should be a class"):
        Registry("thing", {}, group="llmsim.things").register("x")(print)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "arguments", ["run tiny.yaml", "run tiny.yaml --json", "list models", "schema --json"]
)
@pytest.mark.parametrize(("redirection", "code"), [("| true", 0), (">&-", 0), ("> /dev/full", 2)])
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_stream_that_takes_nothing_is_no_bug(
    tmp_path: Path, arguments: str, redirection: str, code: int
) -> None:
    """A reader that is gone, a closed standard output, a full disk behind it: no traceback."""
    write_scenario(tmp_path)
    line = f"set -o pipefail; {sys.executable} -m llmsim {arguments} {redirection}"
    done = subprocess.run(["bash", "-c", line], cwd=tmp_path, capture_output=True, text=True, check=False)

    assert code == done.returncode
    assert "Traceback" not in done.stderr
    assert code != 2 or "error: [Errno 28] No space left on device" in done.stderr


def test_letters_beyond_the_terminals_encoding_are_printed(tmp_path: Path) -> None:
    """Python may take the terminal for ASCII; ≤ is no reason to fail."""
    write_scenario(tmp_path)
    ascii_only = os.environ | {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    command = [*COMMAND, "run", "tiny.yaml"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, env=ascii_only, check=True)

    assert "≤" in done.stdout.decode()


def press_ctrl_c(folder: Path, *, when: Callable[[Path], bool], again_after_s: tuple[float, ...] = ()) -> int:
    """The exit code of a run into ``folder``/out, interrupted as soon as ``when`` is true of that path."""
    process = subprocess.Popen(
        [*COMMAND, "run", "tiny.yaml", "--out", "out", "--json"],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    while not when(folder / "out") and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.001)
    for wait_s in (0.0, *again_after_s):
        time.sleep(wait_s)
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)

    assert "Traceback" not in err
    assert process.returncode == 0 or out == "" or json.loads(out)["offered"]
    return process.returncode


def writes(out: Path) -> bool:
    """Whether a first file has been begun in ``out``."""
    return out.is_dir() and any(out.iterdir())


def test_ctrl_c_while_writing_waits_for_whole_files(tmp_path: Path) -> None:
    """The run is over: all its results are written, none of them partial."""
    write_scenario(tmp_path, SCENARIO, old="num_requests: 30", new="num_requests: 20000")

    assert 130 == press_ctrl_c(tmp_path, when=writes)
    assert [] == list((tmp_path / "out").glob("*.partial"))
    assert not json.loads((tmp_path / "out/run_info.json").read_text())["interrupted"]


def test_a_second_ctrl_c_leaves_nothing(tmp_path: Path) -> None:
    """Neither half a file nor an empty directory."""
    write_scenario(tmp_path, SCENARIO, old="num_requests: 30", new="num_requests: 100000")

    assert 130 == press_ctrl_c(tmp_path, when=writes, again_after_s=(0.05,))
    assert ["config.json", "tiny.yaml"] == sorted(os.listdir(tmp_path))
