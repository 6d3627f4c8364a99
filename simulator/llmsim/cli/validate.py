"""``llmsim validate``: measured runs against the simulation."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console

from llmsim.calibrate.runs import read_runs
from llmsim.calibrate.validate import Validated, validate
from llmsim.calibrate.validate_summary import as_json
from llmsim.errors import LlmsimError, UserError
from llmsim.report.validate import render

WIDTH = 150
"""Columns of a report that no terminal limits."""


def print_validation(
    path: Path,
    *,
    context: Mapping[str, str],
    limit: int | None,
    workers: int | None,
    json_wanted: bool,
    quiet: bool = False,
) -> int:
    """Prints how far the simulation of the runs in ``path`` is off.

    Returns:
        The exit code: 2 when a row was refused or none could be simulated, 70 when one failed by our fault.
    """
    runs = read_runs(path, context)[:limit]
    if not quiet and sys.stderr.isatty():
        print(f"simulating {len(runs)} run{'' if len(runs) == 1 else 's'}", file=sys.stderr)
    validated = validate(runs, workers)
    if json_wanted:
        print(json.dumps(as_json(validated), indent=2, ensure_ascii=False))
    elif not quiet:
        Console(width=None if sys.stdout.isatty() else WIDTH, highlight=False).print(render(validated))
    return _exit_code(validated)


def _exit_code(validated: Sequence[Validated]) -> int:
    """Names on standard error what decides the code."""
    by_status = {
        status: [item for item in validated if item.status == status]
        for status in ("failed", "refused", "not expressible")
    }
    lost = by_status["failed"] or by_status["refused"]
    if not lost and len(by_status["not expressible"]) == len(validated):
        lost = list(validated)
    for item in lost:
        print(f"{item.run.where}: {item.run.id}: {item.reason}", file=sys.stderr)
    if by_status["failed"]:
        return LlmsimError.exit_code
    return UserError.exit_code if lost else 0
