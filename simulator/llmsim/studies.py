"""Questions that take many runs: ``llmsim.sweep``, ``llmsim.compare``, ``llmsim.plan``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from llmsim.api import Changes, load
from llmsim.files.scenario_file import LoadedScenario
from llmsim.planning.axes import Axis
from llmsim.planning.compare import Effort
from llmsim.planning.compare import compare as compare_contenders
from llmsim.planning.contenders import contenders
from llmsim.planning.fleet import size_fleet
from llmsim.planning.grid import Grid, Wanted
from llmsim.planning.points import Base
from llmsim.planning.precision import rule_of
from llmsim.planning.question import Asked, Question
from llmsim.planning.store import FILE, Store, open_store
from llmsim.planning.sweep import manifest
from llmsim.planning.workers import Run, open_workers, width_of
from llmsim.plugins import load_plugin_file
from llmsim.report.results import CompareResult, PlanResult, SweepResult
from llmsim.report.whole_files import prepare


@dataclass(frozen=True)
class Where:
    """Who runs the points of :func:`sweep`, :func:`compare` and :func:`plan`.

    A script that uses a pool has to do so under ``if __name__ == "__main__":``, as its workers import it.

    Attributes:
        on: ``pool`` (processes of this machine), ``here`` (this process), ``ray``, or ``ray://HOST:PORT``.
        workers: Processes; as many as CPUs by default.
        plugins: Python files that every worker runs first.
        progress: Called with runs finished and runs in all.
    """

    on: str = "pool"
    workers: int | None = None
    plugins: Sequence[Path] = ()
    progress: Callable[[int, int], None] | None = None

    def open(self) -> AbstractContextManager[Run]:
        """Something that runs points, plug-ins loaded here as well."""
        for file in self.plugins:
            load_plugin_file(file)
        return open_workers(self.on, self.workers, self.plugins)


HERE = Where()
"""A pool of this machine's processes."""


def sweep(
    scenario: LoadedScenario | Path | str,
    over: Mapping[str, Sequence[Any] | str] = MappingProxyType({}),
    changes: Changes = (),
    *,
    replications: int | None = None,
    precision: float | None = None,
    out: Path | str | None = None,
    where: Where = HERE,
) -> SweepResult:
    """Run every combination of values, each with the same seeds.

    Args:
        scenario: A file, a shipped scenario's name, or a loaded scenario.
        over: Dotted key to its values: a list, or ``"1:20:1"``; on top of the scenario's ``sweep:`` section.
        changes: What holds at every point, as for :func:`load`.
        replications: Runs of each setting, from the scenario's seed on; with ``precision`` the most.
        precision: Replicate until the 95% intervals of means are this narrow: 0.05.
        out: A directory that keeps every run as it is made, so that a sweep can be resumed.
        where: Who runs.

    Raises:
        UserError: With every problem of scenario and values.
    """
    listed = {key: values if isinstance(values, str) else list(values) for key, values in over.items()}
    grid = Grid.of(
        Base(_changed(scenario, changes)), Wanted(replications=replications, precision=precision), listed
    )
    with where.open() as run, _kept(out, grid, where) as store:
        return SweepResult(grid, grid.run(run, store, where.progress))


def compare(
    scenarios: Sequence[LoadedScenario | Path | str],
    vary: Mapping[str, Sequence[Any]] = MappingProxyType({}),
    changes: Changes = (),
    *,
    replications: int = 5,
    precision: float | None = None,
    curves: bool = False,
    where: Where = HERE,
) -> CompareResult:
    """The same requests and seeds on several scenarios, or on the settings that ``vary`` makes of one.

    Args:
        scenarios: At least one; the first is what the others are compared with.
        vary: Dotted key to its values.
        changes: What holds for all of them, as for :func:`load`.
        replications: Runs of each, with the same seeds; with ``precision`` the most.
        precision: Replicate until the 95% intervals of means are this narrow: 0.05.
        curves: Whether to run other request rates too, for the page's latency-rate curves.
        where: Who runs.

    Raises:
        UserError: With every problem; fewer than two to compare.
    """
    bases = [Base(_changed(scenario, changes)) for scenario in scenarios]
    compared = contenders(bases, [Axis(key, tuple(values), "vary") for key, values in vary.items()])
    seed = compared[0].loaded.scenario.simulation.seed
    effort = Effort(seed, replications, rule_of(precision, replications if precision else None), curves)
    with where.open() as run:
        return CompareResult(compare_contenders(compared, effort, run, where.progress))


def plan(
    scenario: LoadedScenario | Path | str,
    vary: Mapping[str, Sequence[Any]] = MappingProxyType({}),
    changes: Changes = (),
    *,
    max_replicas: int | None = None,
    replications: int | None = None,
    precision: float | None = None,
    where: Where = HERE,
) -> PlanResult:
    """The cheapest fleet that meets the scenario's targets, at any number of replicas.

    Args:
        scenario: A file, a shipped scenario's name, or a loaded scenario.
        vary: Dotted key to the values to choose from, on top of the scenario's ``plan:`` section.
        changes: What holds for every fleet, as for :func:`load`.
        max_replicas: Of any fleet.
        replications: Seeds that judge a fleet.
        precision: How sure the attainment has to be, a share.
        where: Who runs.

    Raises:
        UserError: With every problem of scenario and space; there are no targets.
    """
    question = Question((), max_replicas, replications, precision)
    listed = {key: list(values) for key, values in vary.items()}
    asked = Asked.of(Base(_changed(scenario, changes)), question, listed)
    rules, tell = asked.rules(), where.progress

    def told(done: int, planned: int, news: str) -> None:
        if tell:
            tell(done, planned)

    with where.open() as run:
        answer = size_fleet(asked.space, rules, run, width=width_of(where.on, where.workers), tell=told)
    return PlanResult(answer, asked.loaded)


def _changed(scenario: LoadedScenario | Path | str, changes: Changes) -> LoadedScenario | Path | str:
    """A file is read once, here, when there are changes to make."""
    return load(scenario, changes) if changes else scenario


@contextmanager
def _kept(out: Path | str | None, grid: Grid, where: Where) -> Iterator[Store | None]:
    if out is None:
        yield None
        return
    prepare(Path(out), FILE, "sweep's")
    with open_store(Path(out), manifest(grid.loaded, where.plugins)) as store:
        yield store
