"""README, CONTRIBUTING and the scenarios say nothing that does not work."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import llmsim

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text()


def section(title: str, text: str = README) -> str:
    """What stands below a heading."""
    return text.split(f"## {title}\n", 1)[1].split("\n## ", 1)[0]


def blocks(language: str, text: str) -> list[str]:
    """The fenced blocks of a language."""
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def llmsim_command(command: str, tmp_path: Path) -> subprocess.CompletedProcess[str]:
    """Run ``llmsim …`` as a user would, in the checkout, with results elsewhere."""
    words = shlex.split(command)
    if words[1] == "run":
        words += ["--out", str(tmp_path / "out")]
    return subprocess.run(
        [sys.executable, "-m", *words],
        cwd=ROOT,
        env=os.environ | {"COLUMNS": "100"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize(
    "command", re.findall(r"^\$ (llmsim .*)$", section("Ask something else"), re.MULTILINE)
)
def test_every_command_of_the_readme_runs(command, tmp_path):
    """Exit code 0 and something on stdout."""
    trace = tmp_path / "my_trace.csv"
    trace.write_text("arrival_s,input_tokens,output_tokens\n0.0,100,20\n0.5,300,40\n")
    done = llmsim_command(command.replace("my_trace.csv", str(trace)), tmp_path)

    assert (0, "") == (done.returncode, "" if done.stdout else done.stderr)


def test_the_report_in_the_readme_is_what_run_prints(tmp_path):
    """The block below the first command, line by line."""
    done = llmsim_command("llmsim run scenarios/chatbot.yaml", tmp_path)
    shown = blocks("text", section("Start"))[0]

    printed = [line.rstrip() for line in done.stdout.strip().splitlines()]
    assert [line.rstrip() for line in shown.strip().splitlines()] == printed


def test_the_scenario_of_the_readme_runs(tmp_path):
    """The example a reader copies."""
    path = tmp_path / "mine.yaml"
    path.write_text(blocks("yaml", section("Write a scenario"))[0])

    assert 10000 == llmsim.run(path).summary["completed"]


def test_the_python_of_the_readme_runs(monkeypatch, capsys):
    """The library's front door, as shown."""
    monkeypatch.chdir(ROOT)
    exec(blocks("python", section("In Python"))[0], {})

    assert "stable" in capsys.readouterr().out


def test_the_scheduler_of_contributing_runs_and_keeps_the_contract(tmp_path):
    """The recipe's two blocks, as a plug-in file and as a contract suite."""
    scheduler, contract = blocks("python", CONTRIBUTING)
    plugin = tmp_path / "my_scheduler.py"
    plugin.write_text(scheduler)
    (tmp_path / "test_mine.py").write_text(
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\nfrom my_scheduler import ShortestPrompt\n{contract}"
    )
    run = llmsim_command(
        f"llmsim run scenarios/chatbot.yaml --json --plugin {plugin} --set engine.scheduler=shortest_prompt"
        " --set workload.num_requests=300",
        tmp_path,
    )
    proof = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-n0", "-c", "/dev/null", str(tmp_path / "test_mine.py")],
        cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip

    assert 300 == json.loads(run.stdout)["completed"], run.stderr
    assert 0 == proof.returncode, proof.stdout


@pytest.mark.parametrize("path", sorted((ROOT / "scenarios").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_shipped_scenario_runs(path):
    """Every request is completed, and the first line asks a question."""
    result = llmsim.run(path)

    assert path.read_text().splitlines()[0].endswith("?") or "?" in path.read_text().splitlines()[0]
    assert result.summary["offered"] == result.summary["completed"] > 0
