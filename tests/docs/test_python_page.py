"""docs/python.md and docs/formats.md: their code runs, and their tables name what there is."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

import llmsim
from llmsim import plugins
from llmsim.cli.app import app
from llmsim.cli.bench_flags import OPTIONS

DOCS = Path(__file__).parents[2] / "docs"
PYTHON, FORMATS = ((DOCS / name).read_text() for name in ("python.md", "formats.md"))


def table(head: str, page: str) -> set[str]:
    """The names in the first column of the table under ``head``."""
    rows = page.split(f"| {head} |", 1)[1].split("\n\n", 1)[0].splitlines()[2:]
    return {name for row in rows for name in re.findall(r"`([^`]+)`", row.split(" | ")[0])}


def test_the_blocks_of_the_page_run_in_order(tmp_path, monkeypatch, capsys):
    """As a reader would paste them into a notebook."""
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for block in re.findall(r"```python\n(.*?)```", PYTHON, re.DOTALL):
        exec(block, names)

    assert "<Result chatbot: " in capsys.readouterr().out
    assert {"vllm-bench.json", "report.html"} <= {path.name for path in (tmp_path / "my-results").iterdir()}
    assert (tmp_path / "report.yaml").exists()


def test_the_tables_of_the_page_name_every_column():
    """Of a fleet that changes, so that every series is there."""
    result = llmsim.run("chatbot-on-spot", {"workload.duration_s": 60})

    assert set(result.requests.columns) == table("`requests` | unit", PYTHON)
    assert set(result.steps.columns) == table("`steps` | unit", PYTHON)
    assert set(result.series.columns) == table("`series` | unit", PYTHON)


@pytest.mark.parametrize("command", re.findall(r"^\$ llmsim (.*)$", FORMATS, re.MULTILINE))
def test_the_commands_of_the_formats_page_run(command, tmp_path, monkeypatch):
    monkeypatch.chdir(DOCS.parent)
    app([*shlex.split(command), "--out", str(tmp_path / "out"), "--quiet"], standalone_mode=False)

    assert (tmp_path / "out" / "summary.json").exists()


def test_the_formats_page_names_every_option_and_format():
    named = {f"--{name.replace('_', '-')}" for name in OPTIONS}
    assert named <= set(re.findall(r"--[a-z-]+", FORMATS))
    assert set(plugins.EXPORTS.names()) == table("format | file", FORMATS)
    files = {plugins.EXPORTS.get(name).file_name for name in plugins.EXPORTS.names()}
    assert all(f"| `{file}` |" in FORMATS for file in files)
