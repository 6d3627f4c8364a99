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
from llmsim.plan.axes import Axis, read_axes
from llmsim.plan.outcome import Outcome
from llmsim.plan.points import Base, Setting, points, settings_of
from llmsim.plan.precision import StoppingRule, read_precision, rule_of
from llmsim.plan.store import FILE, Store, open_store
from llmsim.plan.sweep import Progress, manifest, run_points, run_until_precise
from llmsim.plan.workers import Run, open_workers
from llmsim.report.sweep import failures, notes, sweep_json, sweep_table
from llmsim.report.sweep_files import sweep_files
from llmsim.report.whole_files import as_json, prepare, write_all
from llmsim.spec.sweep import Sweep

FINE, SOME_FAILED = 0, 2


@dataclass(frozen=True)
class Grid:
    """What is varied, as the command line says it.

    Attributes:
        over, vary: Texts of the options.
        replications: Runs of each setting, with ``precision`` the most; None leaves it to the scenario's
            ``sweep:`` section.
        precision: Replicate until the intervals are this narrow; None leaves it to the section.
    """

    over: Sequence[str] = ()
    vary: Sequence[str] = ()
    replications: int | None = None
    precision: str | None = None


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
    planned = _planned(base, loaded, grid)
    sha256 = scenario_sha256(loaded.scenario)
    directory = expanded(where.out or Path("results") / f"{loaded.scenario.name}-sweep-{sha256[:8]}")
    outcomes = _outcomes(planned, loaded, directory, where)
    write_all({directory / name: fill for name, fill in sweep_files(loaded, planned.axes, outcomes).items()})
    if where.json:
        print(as_json(sweep_json(outcomes)), end="")
    elif not where.quiet:
        Console(width=None if sys.stdout.isatty() else 140).print(sweep_table(outcomes))
    for sentence in (*failures(outcomes), *notes(outcomes)):
        print(sentence, file=sys.stderr)
    if not where.quiet:
        print(f"results: {directory}", file=sys.stderr)
    return SOME_FAILED if any(outcome.problem for outcome in outcomes) else FINE


@dataclass(frozen=True)
class _Planned:
    """What is to be run: settings, and how often each."""

    axes: list[Axis]
    settings: list[Setting]
    seed: int
    replications: int
    rule: StoppingRule | None

    def run(self, run: Run, store: Store, progress: Progress) -> list[Outcome]:
        if self.rule:
            outcomes, _ = run_until_precise(self.settings, self.seed, self.rule, run, store, progress)
            return outcomes
        return run_points(points(self.settings, self.seed, self.replications), run, store, progress)


def _planned(base: Base, loaded: LoadedScenario, grid: Grid) -> _Planned:
    """The grid that options and the scenario's section make together."""
    section = loaded.scenario.sweep or Sweep()
    axes = read_axes(grid.over, grid.vary, section.over)
    precision = read_precision(grid.precision) if grid.precision else section.precision
    rule = rule_of(precision, grid.replications)
    replications = grid.replications or section.replications
    if not axes and not section.points and replications == 1 and rule is None:
        raise UserError(
            "nothing to sweep: the scenario has no `sweep:` section",
            hint="give --over workload.arrival.request_rate=1:20:1, --vary engine.scheduler=orca,vllm, or "
            "--replications 5",
        )
    settings = settings_of(base, axes, section.points)
    return _Planned(axes, settings, loaded.scenario.simulation.seed, replications, rule)


def _outcomes(planned: _Planned, loaded: LoadedScenario, directory: Path, where: Where) -> list[Outcome]:
    with open_workers(where.on, where.workers, where.plugins) as run:
        prepare(directory, FILE, "sweep's")
        with open_store(directory, manifest(loaded, where.plugins)) as store:
            try:
                with PointsBar(quiet=where.quiet) as bar:
                    return planned.run(run, store, bar)
            except KeyboardInterrupt:
                kept = f"{store.count():,} points are kept in {directory}"
                print(f"{kept}; the same command goes on from there.", file=sys.stderr)
                raise
