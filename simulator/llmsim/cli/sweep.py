"""``llmsim sweep``: many settings, each run once, kept, and printed side by side."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from llmsim.cli.console import show
from llmsim.cli.points_bar import PointsBar
from llmsim.files.catalog import expanded
from llmsim.files.scenario_text import scenario_sha256
from llmsim.planning.grid import Grid, Wanted
from llmsim.planning.outcome import Outcome
from llmsim.planning.points import Base
from llmsim.planning.store import FILE, open_store
from llmsim.planning.sweep import manifest
from llmsim.planning.workers import open_workers
from llmsim.report.sweep import failures, gathered, notes, sweep_json, sweep_table
from llmsim.report.sweep_files import sweep_files
from llmsim.report.whole_files import as_json, prepare, write_all

FINE, SOME_FAILED = 0, 2


@dataclass(frozen=True)
class Where:
    """Where points run, and where answers go."""

    on: str = "pool"
    workers: int | None = None
    plugins: tuple[Path, ...] = ()
    out: Path | None = None
    json: bool = False
    quiet: bool = False


def run_sweep(base: Base, wanted: Wanted, where: Where) -> int:
    """Runs a sweep and says what came of it; returns the exit code: 2 when a point failed."""
    grid = Grid.of(base, wanted)
    scenario = grid.loaded.scenario
    name = f"{scenario.name}-sweep-{scenario_sha256(scenario)[:8]}"
    directory = expanded(where.out or Path("results") / name)
    outcomes = _outcomes(grid, directory, where)
    files = sweep_files(grid.loaded, grid.axes, outcomes)
    write_all({directory / name: fill for name, fill in files.items()})
    if where.json:
        print(as_json(sweep_json(outcomes)), end="")
    elif not where.quiet:
        show(sweep_table(outcomes), 140)
    for sentence in failures(outcomes):
        print(sentence, file=sys.stderr)
    if not where.quiet:
        endings = grid.endings(outcomes)
        for sentence in (*gathered(endings, len(endings)), *notes(outcomes)):
            print(sentence, file=sys.stderr)
        print(f"results: {directory}", file=sys.stderr)
    return SOME_FAILED if any(outcome.problem for outcome in outcomes) else FINE


def _outcomes(grid: Grid, directory: Path, where: Where) -> list[Outcome]:
    with open_workers(where.on, where.workers, where.plugins) as run:
        prepare(directory, FILE, "sweep's")
        with open_store(directory, manifest(grid.loaded, where.plugins)) as store:
            try:
                with PointsBar(quiet=where.quiet) as bar:
                    return grid.run(run, store, bar)
            except KeyboardInterrupt:
                kept = f"{store.count():,} points are kept in {directory}"
                print(f"{kept}; the same command goes on from there.", file=sys.stderr)
                raise
