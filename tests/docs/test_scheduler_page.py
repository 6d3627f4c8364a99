"""docs/write-a-scheduler.md: its file runs, is compared, and keeps the contract."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[2] / "docs" / "write-a-scheduler.md").read_text()
SCHEDULER, PROOF, OPTIONS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the reader has put the page's files."""
    (tmp_path / "my_sched.py").write_text(SCHEDULER)
    (tmp_path / "test_my_sched.py").write_text(PROOF)
    return tmp_path


def test_it_is_thirty_lines_of_code() -> None:
    """Imports, blank lines and all: a page promises what it shows."""
    assert 40 >= len(SCHEDULER.splitlines())


@pytest.mark.parametrize("command", re.findall(r"^\$ llmsim (.*)$", PAGE, re.MULTILINE))
def test_its_commands_run(command: str, folder: Path) -> None:
    """As typed, from the folder of the file; --plugin reaches the pool's processes."""
    arguments = [sys.executable, "-m", "llmsim", *shlex.split(command), "--quiet", "--out", "results"]
    done = subprocess.run(arguments, cwd=folder, capture_output=True, text=True, check=False)

    assert (0, "") == (done.returncode, done.stderr)
    assert (folder / "results" / "report.html").exists()


def test_it_keeps_the_contract(folder: Path) -> None:
    """The page's own test file passes."""
    arguments = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_my_sched.py"]
    done = subprocess.run(arguments, cwd=folder, capture_output=True, text=True, check=False)

    assert 0 == done.returncode, done.stdout
    assert re.search(r"[5-9] passed|\d\d passed", done.stdout)


def test_its_options_are_checked() -> None:
    """The class of the last block is one."""
    names: dict[str, type] = {}
    exec(OPTIONS, names)
    assert 2.5 == names["ShortestPromptOptions"](aging=2.5).aging  # type: ignore[attr-defined]
