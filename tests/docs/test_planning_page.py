"""docs/planning.md: its commands run, and its section of a scenario is one."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import yaml

from llmsim.cli.app import app
from llmsim.spec.sweep import Sweep

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "planning.md").read_text()


@pytest.mark.parametrize("command", re.findall(r"^\$ llmsim (.*)$", PAGE, re.MULTILINE))
def test_the_commands_of_the_page_run(command: str, tmp_path: Path) -> None:
    """To their end, and leave a page."""
    out = tmp_path / "out"
    arguments = [*shlex.split(command), "--out", str(out), "--quiet", "--on", "here"]
    assert not app(arguments, standalone_mode=False)
    assert (out / "report.html").exists()


def test_the_section_of_the_page_is_one() -> None:
    """With the keys that the page names."""
    (block,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    section = Sweep.model_validate(yaml.safe_load(block)["sweep"])

    assert 3 == section.replications
    assert "1:20:1" == section.over["workload.arrival.request_rate"]
