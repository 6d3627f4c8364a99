"""``llmsim validate``: measured runs against the simulation."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path

from rich.console import Console

from llmsim.calibrate.runs import read_runs
from llmsim.calibrate.validate import validate
from llmsim.calibrate.validate_summary import as_json
from llmsim.report.validate import render

WIDTH = 150
"""Columns of a report that no terminal limits."""


def print_validation(
    path: Path, *, context: Mapping[str, str], limit: int | None, workers: int | None, json_wanted: bool
) -> None:
    """Prints how far the simulation of the runs in ``path`` is off."""
    runs = read_runs(path, context)[:limit]
    print(f"simulating {len(runs)} runs", file=sys.stderr)
    validated = validate(runs, workers)
    if json_wanted:
        print(json.dumps(as_json(validated), indent=2, ensure_ascii=False))
        return
    Console(width=None if sys.stdout.isatty() else WIDTH, highlight=False).print(render(validated))
