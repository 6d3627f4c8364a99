"""Questions that take many runs: ``llmsim.sweep``, ``llmsim.compare``, ``llmsim.plan``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from llmsim.api import Changes, load
from llmsim.errors import Problem, UserError
from llmsim.files.scenario_file import LoadedScenario
from llmsim.planning.axes import read_axes
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
        workers: Processes, at least 1; as many as CPUs by default.
        plugins: Python files that every worker runs first.
        progress: Called with runs finished and runs in all.
    """

    on: str = "pool"
    workers: int | None = None
    plugins: Sequence[Path | str] = ()
    progress: Callable[[int, int], None] | None = None

    @property
    def files(self) -> tuple[Path, ...]:
        """The plug-ins' paths."""
        return tuple(map(Path, self.plugins))

    def open(self) -> AbstractContextManager[Run]:
        """Something that runs points, plug-ins loaded here as well."""
        for file in self.files:
            load_plugin_file(file)
        return open_workers(self.on, self.workers, self.files)


POOL = Where()
"""A pool of this machine's processes."""

Scenario = LoadedScenario | Path | str
"""A loaded scenario, a file, or the name of a shipped one."""
Values = Sequence[Any] | str
"""What a key may be: a list, or text as for ``--over`` (``"1:20:1"``, ``"vllm,orca"``)."""
NOTHING: Mapping[str, Values] = MappingProxyType({})


def sweep(
    scenario: Scenario,
    over: Mapping[str, Values] = NOTHING,
    changes: Changes = (),
    *,
    replications: int | None = None,
    precision: float | None = None,
    out: Path | str | None = None,
    where: Where = POOL,
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
    _check(where, replications=replications, precision=precision)
    grid = Grid.of(
        Base(_changed(scenario, changes)),
        Wanted(replications=replications, precision=precision),
        _listed(over),
    )
    with where.open() as run, _kept(out, grid, where) as store:
        return SweepResult(grid, grid.run(run, store, where.progress))


def compare(
    scenarios: Sequence[Scenario] | Scenario,
    vary: Mapping[str, Values] = NOTHING,
    changes: Changes = (),
    *,
    replications: int = 5,
    precision: float | None = None,
    curves: bool = False,
    where: Where = POOL,
) -> CompareResult:
    """The same requests and seeds on several scenarios, or on the settings that ``vary`` makes of one.

    Args:
        scenarios: One, or several; the first is what the others are compared with.
        vary: Dotted key to its values: a list, or ``"vllm,orca"``.
        changes: What holds for all of them, as for :func:`load`.
        replications: Runs of each, with the same seeds; with ``precision`` the most.
        precision: Replicate until the 95% intervals of means are this narrow: 0.05.
        curves: Whether to run other request rates too, for the page's latency-rate curves.
        where: Who runs.

    Raises:
        UserError: With every problem; fewer than two to compare.
    """
    _check(where, replications=replications, precision=precision)
    given = [scenarios] if isinstance(scenarios, LoadedScenario | Path | str) else scenarios
    bases = [Base(_changed(scenario, changes)) for scenario in given]
    compared = contenders(bases, read_axes((), (), _listed(vary), "vary"))
    seed = compared[0].loaded.scenario.simulation.seed
    effort = Effort(seed, replications, rule_of(precision, replications if precision else None), curves)
    with where.open() as run:
        return CompareResult(compare_contenders(compared, effort, run, where.progress))


def plan(
    scenario: Scenario,
    vary: Mapping[str, Values] = NOTHING,
    changes: Changes = (),
    *,
    max_replicas: int | None = None,
    replications: int | None = None,
    precision: float | None = None,
    where: Where = POOL,
) -> PlanResult:
    """The cheapest fleet that meets the scenario's targets, at any number of replicas.

    Args:
        scenario: A file, a shipped scenario's name, or a loaded scenario.
        vary: Dotted key to the values to choose from: a list, or ``"l40s,h100-sxm"``; on top of the scenario's
            ``plan:`` section.
        changes: What holds for every fleet, as for :func:`load`.
        max_replicas: Of any fleet.
        replications: Seeds that judge a fleet.
        precision: How sure the attainment has to be, a share.
        where: Who runs.

    Raises:
        UserError: With every problem of scenario and space; there are no targets.
    """
    _check(where, replications=replications, precision=precision)
    question = Question((), max_replicas, replications, precision)
    asked = Asked.of(Base(_changed(scenario, changes)), question, _listed(vary))
    rules, tell = asked.rules(), where.progress

    def told(done: int, planned: int, news: str) -> None:
        if tell:
            tell(done, planned)

    with where.open() as run:
        answer = size_fleet(asked.space, rules, run, width=width_of(where.on, where.workers), tell=told)
    return PlanResult(answer, asked.loaded)


def _check(where: Where, *, replications: int | None, precision: float | None) -> None:
    """Refuse numbers that ask for nothing, all of them at once."""
    counts = {"replications": replications, "Where(workers)": where.workers}
    problems = [
        Problem(name, f"{count!r} is not a whole number of 1 or more")
        for name, count in counts.items()
        if count is not None and not (isinstance(count, int) and count >= 1)
    ]
    if precision is not None and not 0 < precision < 1:
        problems.append(Problem("precision", f"{precision!r} is not a share between 0 and 1, such as 0.05"))
    if problems:
        raise UserError(problems)


def _listed(given: Mapping[str, Values]) -> dict[str, list[Any] | str]:
    """Keys and values as a scenario's section has them."""
    single = {
        key: value
        for key, value in given.items()
        if not isinstance(value, Iterable) or isinstance(value, Mapping)
    }
    if single:
        raise UserError(
            [
                Problem(key, f"{value!r} is one value; give a list, such as [{value!r}]")
                for key, value in single.items()
            ]
        )
    return {key: values if isinstance(values, str) else list(values) for key, values in given.items()}


def _changed(scenario: Scenario, changes: Changes) -> Scenario:
    """A file is read once, here, when there are changes to make."""
    return load(scenario, changes) if changes else scenario


@contextmanager
def _kept(out: Path | str | None, grid: Grid, where: Where) -> Iterator[Store | None]:
    if out is None:
        yield None
        return
    prepare(Path(out), FILE, "sweep's")
    with open_store(Path(out), manifest(grid.loaded, where.files)) as store:
        yield store
