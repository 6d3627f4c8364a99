"""Scripts that ask questions of many runs, however Python is given them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from llmsim.errors import UserError

SCRIPT = """
import llmsim

small = {"workload": {"arrival": {"kind": "poisson", "request_rate": 8}, "input_tokens": 100, "output_tokens": 5,
                      "num_requests": 10}}
where = llmsim.Where(workers=2)
print(llmsim.sweep("chatbot", {"workload.arrival.request_rate": [4, 8]}, small, where=where))
"""
ANSWER = "<SweepResult chatbot: 2 settings, 2 runs>"


def python(*arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
    """What a Python of its own says to ``arguments``, with ``given`` on its standard input."""
    return subprocess.run(
        [sys.executable, *arguments], input=given, capture_output=True, text=True, timeout=120, check=False
    )


@pytest.mark.parametrize("way", ["command", "pipe"])
def test_a_script_without_a_file_may_use_a_pool(way: str) -> None:
    """There is nothing that workers could import, so that there is nothing to guard."""
    said = python("-c", SCRIPT) if way == "command" else python("-", given=SCRIPT)
    assert said.stdout.strip() == ANSWER, said.stderr


def test_a_script_without_a_guard_is_told_what_to_do(tmp_path: Path) -> None:
    """Its workers would start workers: the script ends, with what to write, and never answers with failed runs."""
    script = tmp_path / "study.py"
    script.write_text(SCRIPT)
    said = python(str(script))
    assert said.returncode != 0
    assert said.stdout == ""
    last = said.stderr.strip().splitlines()[-2:]
    assert "worker processes end as soon as they start" in last[0]
    assert "if __name__ == '__main__':" in last[1]


def test_a_hint_is_part_of_a_traceback() -> None:
    """Those who ask from Python see what to do, as those at the terminal do."""
    assert UserError("no such place", hint="go there").__notes__ == ["hint: go there"]
    assert not hasattr(UserError("no such place"), "__notes__")
