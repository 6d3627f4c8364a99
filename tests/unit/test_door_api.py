"""The library's front door."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from door_scenarios import write_scenario

import llmsim


def test_a_scenario_file_runs_to_a_result(tmp_path: Path) -> None:
    """Nothing is written; the figures are those of summary.json."""
    result = llmsim.run(write_scenario(tmp_path))

    assert 30 == result.summary["completed"] == len(result.record.requests)
    assert ["config.json", "tiny.yaml"] == sorted(path.name for path in tmp_path.iterdir())


def test_a_loaded_scenario_runs_to_the_same_result(tmp_path: Path) -> None:
    """``run`` takes what ``load`` returns."""
    path = write_scenario(tmp_path)

    assert llmsim.run(path).summary == llmsim.run(llmsim.load(path)).summary


def test_an_unknown_name_is_an_attribute_error() -> None:
    """As in any module."""
    with pytest.raises(AttributeError, match="nothing"):
        llmsim.nothing  # noqa: B018


def test_importing_the_package_imports_nothing_else() -> None:
    """``import llmsim`` is free; its names cost when they are used."""
    code = "import sys, llmsim; print({'numpy', 'pydantic', 'llmsim.api'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert "set()\n" == done.stdout
