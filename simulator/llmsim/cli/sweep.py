"""``llmsim sweep``: many settings, each run once, kept, and printed side by side."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from llmsim.cli.console import Console
from llmsim.cli.points_bar import PointsBar
from llmsim.errors import UserError
from llmsim.files.catalog import expanded
from llmsim.files.scenario_file import LoadedScenario
from llmsim.files.scenario_text import scenario_sha256
from llmsim.plan.axes import read_axes
from llmsim.plan.outcome import Outcome
from llmsim.plan.points import Base, Point, points, settings_of
from llmsim.plan.store import FILE, open_store
from llmsim.plan.sweep import manifest, run_points
from llmsim.plan.workers import open_workers
from llmsim.report.sweep import failures, notes, sweep_files, sweep_json, sweep_table
from llmsim.report.whole_files import as_json, prepare, write_all
from llmsim.spec.sweep import Sweep

FINE, SOME_FAILED = 0, 2


@dataclass(frozen=True)
class Grid:
    """What is varied, as the command line says it.

    Attributes:
        over, vary: Texts of the options.
        replications: Runs of each setting; None leaves it to the scenario's ``sweep:`` section.
    """

    over: Sequence[str] = ()
    vary: Sequence[str] = ()
    replications: int | None = None


@dataclass(frozen=True)
class Where:
    """Where points run, and where answers go."""

    on: str = "pool"
    workers: int | None = None
    plugins: tuple[Path, ...] = ()
    out: Path | None = None
    json: bool = False
    quiet: bool = False


def run_sweep(base: Base, grid: Grid, where: Where) -> int:
    """Runs a sweep and says what came of it; returns the exit code: 2 when a point failed."""
    loaded = base.load()
    planned = _points(base, loaded, grid)
    sha256 = scenario_sha256(loaded.scenario)
    directory = expanded(where.out or Path("results") / f"{loaded.scenario.name}-sweep-{sha256[:8]}")
    outcomes = _outcomes(planned, loaded, directory, where)
    write_all({directory / name: fill for name, fill in sweep_files(loaded, outcomes).items()})
    if where.json:
        print(as_json(sweep_json(outcomes)), end="")
    elif not where.quiet:
        Console(width=None if sys.stdout.isatty() else 140).print(sweep_table(outcomes))
    for sentence in (*failures(outcomes), *notes(outcomes)):
        print(sentence, file=sys.stderr)
    if not where.quiet:
        print(f"results: {directory}", file=sys.stderr)
    return SOME_FAILED if any(outcome.problem for outcome in outcomes) else FINE


def _points(base: Base, loaded: LoadedScenario, grid: Grid) -> list[Point]:
    """Every run of the grid that options and the scenario's section make together."""
    section = loaded.scenario.sweep or Sweep()
    axes = read_axes(grid.over, grid.vary, section.over)
    replications = grid.replications or section.replications
    if not axes and not section.points and replications == 1:
        raise UserError(
            "nothing to sweep: the scenario has no `sweep:` section",
            hint="give --over workload.arrival.request_rate=1:20:1, --vary engine.scheduler=orca,vllm, or "
            "--replications 5",
        )
    return points(settings_of(base, axes, section.points), loaded.scenario.simulation.seed, replications)


def _outcomes(
    planned: Sequence[Point], loaded: LoadedScenario, directory: Path, where: Where
) -> list[Outcome]:
    with open_workers(where.on, where.workers, where.plugins) as run:
        prepare(directory, FILE, "sweep's")
        with open_store(directory, manifest(loaded, where.plugins)) as store:
            try:
                with PointsBar(quiet=where.quiet) as bar:
                    return run_points(planned, run, store, bar)
            except KeyboardInterrupt:
                kept = f"{len(store.find(planned)):,} of {len(planned):,} points are kept in {directory}"
                print(f"{kept}; the same command goes on from there.", file=sys.stderr)
                raise
