"""Planning as people meet it on the command line: mistakes, interrupts, narrow terminals, broken settings."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest
from rich.console import Console
from sweep_scenarios import small
from typer.testing import CliRunner

from llmsim.cli import in_words
from llmsim.cli.app import app
from llmsim.errors import UserError
from llmsim.planning.outcome import Outcome
from llmsim.report.headings import WIDTH, heading
from llmsim.report.sweep import sweep_table

BROKEN = """
from llmsim import SCHEDULERS
from llmsim.engine.schedulers.orca import Orca

class Broken(Orca):
    def plan(self, batch, now_s):
        raise RuntimeError("boom")

if "broken_{name}" not in SCHEDULERS.names():
    SCHEDULERS.register("broken_{name}")(Broken)
"""


def ask(*options: object) -> tuple[int, str, str]:
    """(exit code, standard output, standard error or the mistake) of ``llmsim`` in this process."""
    found = CliRunner().invoke(app, [*map(str, options), "--on", "here"])
    if isinstance(found.exception, UserError):
        return 2, found.stdout, in_words(found.exception)
    if found.exception is not None and not isinstance(found.exception, SystemExit):
        raise found.exception
    return found.exit_code, found.stdout, found.stderr


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["sweep", "--over", "fleet.replicas=1:4"], "a range needs a step"),
        (["plan", "--find", "limit", "--vary", "a=b"], "--set may change"),
        (["plan", "--over", "a=1:2:1"], "--find limit"),
        (
            ["plan", "--find", "pareto", "--check", "--precision", "5%"],
            "--precision and --check: not for",
        ),
    ],
)
def test_a_mistake_says_what_to_do(tmp_path, options, words):
    command, *rest = options

    code, stdout, said = ask(command, small(tmp_path), *rest, "--out", tmp_path / "out")

    assert (2, "") == (code, stdout)
    assert words in said
    assert not (tmp_path / "out").exists()


def test_a_key_that_does_not_exist_is_one_problem_whatever_its_values(tmp_path):
    """Not one for each value."""
    _, _, said = ask("sweep", small(tmp_path), "--over", "engine.schedulr=orca,vllm,static")

    assert 1 == said.count("unknown key; did you mean 'scheduler'?")
    assert "1 problem. Nothing was run." in said


@pytest.mark.parametrize(("command", "section"), [("sweep", "sweep: {over"), ("plan", "plan: {vary")])
def test_mistakes_in_a_section_name_the_file(tmp_path, command, section):
    """And count it once."""
    file = small(tmp_path, section + ": {fleet.acc: [a], engine.scheduler: [vlm]}}")

    code, _, said = ask(command, file)

    assert 2 == code
    assert said.startswith(f"{file}: {section.replace(': {', '.')}")
    assert "2 problems in 1 file" in said


def test_a_name_with_spaces_is_refused_in_words(tmp_path):
    file = small(tmp_path)
    file.write_text(file.read_text().replace("name: small", "name: my chat"))

    _, _, said = ask("sweep", file, "--replications", "2")

    assert "letters, digits and . _ + - without spaces (got 'my chat')" in said


def test_what_cannot_be_built_is_refused_before_anything_is_compared(tmp_path):
    """Under the name of the setting, and nothing is run or left."""
    code, _, said = ask(
        "compare", small(tmp_path), "--set", "fleet.cost_model=roofline", "--set", "engine.num_kv_tokens=null",
        "--vary", "fleet.accelerator=t4,h100-sxm", "--no-curves", "--out", tmp_path / "out",
    )  # fmt: skip

    assert 2 == code
    assert said.startswith("accelerator=t4: ")
    assert "does not fit" in said
    assert not (tmp_path / "out").exists()


@pytest.fixture
def broken(tmp_path: Path) -> tuple[str, Path]:
    """The name of a scheduler whose first iteration raises, and its file."""
    name = tmp_path.name.replace("-", "_")
    (tmp_path / "broken.py").write_text(BROKEN.format(name=name))
    return f"broken_{name}", tmp_path / "broken.py"


def test_a_broken_baseline_leaves_a_comparison(tmp_path, broken):
    """The other's figures and the page stand, and what broke is told."""
    scheduler, file = broken

    code, stdout, said = ask(
        "compare", small(tmp_path), "--vary", f"engine.scheduler={scheduler},vllm", "--replications", "2",
        "--no-curves", "--plugin", file, "--out", tmp_path / "out",
    )  # fmt: skip

    assert 2 == code
    assert "RuntimeError: boom" in said
    assert "TTFT mean" in stdout
    assert "cannot be run: boom" in (tmp_path / "out" / "report.html").read_text()


def test_a_plan_tells_of_runs_that_broke(tmp_path, broken):
    """A fleet that fails for a bug must not look like one that is too slow."""
    scheduler, file = broken

    code, stdout, _ = ask(
        "plan", small(tmp_path), "--vary", f"engine.scheduler={scheduler},vllm", "--max-replicas", "2",
        "--plugin", file, "--out", tmp_path / "out",
    )  # fmt: skip

    assert 0 == code
    assert f"failed, and the fleets count as failed; the first, engine.scheduler={scheduler}" in " ".join(
        stdout.split()
    )


def test_no_limit_where_every_run_broke(tmp_path, broken):
    scheduler, file = broken

    code, _, said = ask(
        "plan", small(tmp_path), "--find", "limit", "--set", f"engine.scheduler={scheduler}", "--plugin", file,
        "--out", tmp_path / "out",
    )  # fmt: skip

    assert 2 == code
    assert "every run failed; the first with: " in said
    assert "RuntimeError: boom" in said
    assert not (tmp_path / "out").exists()


def test_a_sweep_says_what_ended_its_replications(tmp_path):
    """The precision that was not reached, and how far it was; not under --quiet."""
    options = [
        "sweep",
        small(tmp_path),
        "--precision",
        "0.1%",
        "--replications",
        3,
        "--out",
        tmp_path / "out",
    ]

    _, _, said = ask(*options)
    _, _, quiet = ask(*options, "--quiet")

    assert "3 replications, the most allowed, leave " in said
    assert "±0.1% was asked for" in said
    assert "" == quiet


@pytest.mark.parametrize(
    "key", ["fleet.tensor_parallel_size", "engine.max_num_batched_tokens", "a.time_scale"]
)
def test_long_headings_break_at_underscores(key):
    """And say all of the key's last part."""
    lines = heading(key).split("\n")

    assert key.rpartition(".")[2] == "".join(lines)
    assert all(len(line) <= WIDTH for line in lines)


@pytest.mark.parametrize("width", [60, 100])
def test_no_cell_of_a_sweep_is_cut(width):
    """A column named like another, or half a figure, says nothing: what does not fit goes on below."""
    summary = {
        "saturation": "stable", "completed": 5000, "offered": 5000, "notes": [],
        "request_throughput": 123.456, "output_throughput": 98765.4,
        "p50_ttft_ms": 12345.6, "p99_ttft_ms": 98765.4, "p50_tpot_ms": 123.4, "p99_tpot_ms": 567.8,
        "slo_attainment": 0.123, "usd_per_million_output_tokens": 1234.5,
    }  # fmt: skip
    settings = {
        "fleet.tensor_parallel_size": 4,
        "engine.scheduler": "chunked_prefill",
        "fleet.accelerator": "h100-sxm",
    }
    console = Console(file=io.StringIO(), width=width)

    console.print(sweep_table([Outcome(settings, 0, "", summary)]))

    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= width


PATIENCE_S = 60
HEED_CTRL_C = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
"""What a shell starts in the background ignores it, and so would the tests' own processes."""


@pytest.mark.skipif(sys.platform == "win32", reason="sends signals to a process group")
@pytest.mark.parametrize(
    "options",
    [
        ["plan", "--vary", "fleet.accelerator=h100-sxm,l40s"],
        ["plan", "--find", "pareto", "--vary", "fleet.replicas=1,2"],
        ["compare", "--vary", "engine.scheduler=orca,vllm", "--no-curves"],
    ],
)
def test_ctrl_c_ends_quickly_without_a_trace(tmp_path, options):
    """The whole group gets it, as from a terminal: one line, code 130, no traceback, no empty directory."""
    command, *rest = options
    out = tmp_path / "out"
    program = [sys.executable, "-m", "llmsim", command, str(small(tmp_path)), *rest, "--set",
               "workload.num_requests=3000000", "--workers", "2", "--out", str(out)]  # fmt: skip
    with subprocess.Popen(
        program, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        preexec_fn=HEED_CTRL_C,  # noqa: PLW1509  it takes no lock
    ) as running:  # fmt: skip
        start_s = time.monotonic()
        while not out.exists() and time.monotonic() - start_s < PATIENCE_S:
            time.sleep(0.05)
        time.sleep(0.7)  # workers are starting: the moment at which they have no handler of their own
        os.killpg(running.pid, signal.SIGINT)
        stdout, said = running.communicate(timeout=PATIENCE_S)

    assert 130 == running.returncode
    assert "" == stdout
    assert "Traceback" not in said
    assert said.endswith("Interrupted.\n")
    assert not out.exists()


def test_requests_of_a_replay_are_counted_once(tmp_path):
    """The same requests under three seeds are no three samples: one run a load, and nothing to repeat for certainty."""
    lines = "".join(f"{i / 4 + i % 3 / 10:g},64,{4 + i % 9}\n" for i in range(60))
    (tmp_path / "t.csv").write_text("arrival_s,input_tokens,output_tokens\n" + lines)
    file = small(tmp_path)
    head, _, _ = file.read_text().partition("workload:")
    file.write_text(head + "workload: {trace: t.csv}\nslo: {ttft_ms: 50, percentile: 0.9}\n")

    code, stdout, _ = ask("plan", file, "--find", "limit", "--json", "--out", tmp_path / "out")

    found = json.loads(stdout)
    assert 0 == code
    assert found["at"] is not None
    assert {1} == {len(one["seeds"]) for one in found["tried"]}
    assert found["surely"] is None
    assert any("nothing is drawn at random" in note for note in found["notes"])
