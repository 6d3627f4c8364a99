"""Points: settings of a scenario and a seed, ready to be run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Any

from llmsim.errors import Problem, ScenarioError, UserError
from llmsim.files.changes import Change
from llmsim.files.scenario_file import LoadedScenario, load_scenario
from llmsim.files.scenario_text import scenario_sha256
from llmsim.planning.axes import Axis, change
from llmsim.spec.bench import BenchFlags

UNKNOWN = "unknown key"
"""In what is said of a key that does not exist."""

MAX_POINTS = 100_000
"""More settings than this are taken for a mistake: half a minute for each thousand goes into reading alone."""


@dataclass(frozen=True)
class Base:
    """A scenario and what holds at all of its points.

    Attributes:
        source: A file, a shipped scenario's name, or a loaded scenario.
        sets, seed, goodput, bench: As for :func:`~llmsim.files.scenario_file.load_scenario`.
    """

    source: Path | str | LoadedScenario
    sets: tuple[str, ...] = ()
    seed: int | None = None
    goodput: tuple[str, ...] = ()
    bench: BenchFlags | None = None

    def load(self, changes: Sequence[Change] = ()) -> LoadedScenario:
        """The scenario with ``changes``. Raises ScenarioError with every problem."""
        return load_scenario(
            self.source,
            self.sets,
            seed=self.seed,
            goodput=self.goodput,
            bench=self.bench,
            changes=changes,
        )


@dataclass(frozen=True)
class Setting:
    """One entry of a grid, before seeds.

    Attributes:
        values: Scenario key to value: what this entry has of its own.
        loaded: The scenario; None when it cannot be loaded.
        problem: Why not, in words.
    """

    values: Mapping[str, Any]
    loaded: LoadedScenario | None
    problem: str | None = None


@dataclass(frozen=True)
class Point:
    """One run to make.

    Attributes:
        settings: Scenario key to value: what this point has of its own.
        seed: Of its random streams.
        loaded: The scenario with both; None when it cannot be loaded.
        problem: Why not, in words.
        sha256: Of the scenario, with the seed; empty without one.
    """

    settings: Mapping[str, Any]
    seed: int
    loaded: LoadedScenario | None
    problem: str | None = None
    sha256: str = field(default="")

    @classmethod
    def of(cls, setting: Setting, seed: int) -> Point:
        """``setting`` run with ``seed``."""
        if setting.loaded is None:
            return cls(setting.values, seed, None, setting.problem)
        loaded = with_seed(setting.loaded, seed)
        return cls(setting.values, seed, loaded, None, scenario_sha256(loaded.scenario))


def with_seed(loaded: LoadedScenario, seed: int) -> LoadedScenario:
    """The scenario with another seed. Pure query."""
    simulation = loaded.scenario.simulation.model_copy(update={"seed": seed})
    return replace(loaded, scenario=loaded.scenario.model_copy(update={"simulation": simulation}))


def points(settings: Sequence[Setting], seed: int, replications: int) -> list[Point]:
    """Every setting with the seeds ``seed``, ``seed + 1``, …: the same for all (common random numbers)."""
    return [Point.of(setting, seed + index) for setting in settings for index in range(replications)]


def settings_of(base: Base, axes: Sequence[Axis], listed: Sequence[Mapping[str, Any]] = ()) -> list[Setting]:
    """The grid over ``axes``, the last one fastest; for every entry of ``listed``, if there are any.

    A value that spoils every setting it is part of is the user's mistake; a combination that cannot
    be loaded is a setting with a ``problem``.

    Raises:
        ScenarioError: With every such mistake; or too many settings.
    """
    count = max(1, len(listed))
    for axis in axes:
        count *= len(axis.values)
    if count > MAX_POINTS:
        raise ScenarioError(Problem("", f"{count:,} points; at most {MAX_POINTS:,} are taken"))
    found = [_loaded(base, changes) for changes in _grid(axes, listed)]
    mistakes = _mistakes(found)
    if mistakes:
        raise ScenarioError(mistakes, hint="`llmsim schema` lists every key with its unit")
    return [setting for setting, _ in found]


_Choice = tuple[tuple[str, Any, Change], ...]


def _grid(axes: Sequence[Axis], listed: Sequence[Mapping[str, Any]]) -> Iterator[_Choice]:
    entries = [tuple((key, value, change(key, value, "sweep.points")) for key, value in entry.items())
               for entry in listed] or [()]  # fmt: skip
    for entry in entries:
        for values in product(*(axis.values for axis in axes)):
            chosen = zip(axes, values, strict=True)
            yield (*entry, *((axis.key, value, axis.change(value)) for axis, value in chosen))


def _loaded(base: Base, choice: _Choice) -> tuple[Setting, tuple[list[Problem], _Choice]]:
    values = {key: value for key, value, _ in choice}
    try:
        return Setting(values, base.load([made for _, _, made in choice])), ([], choice)
    except UserError as error:
        return Setting(values, None, " ".join(str(error).split())), (error.problems, choice)


def _mistakes(found: Sequence[tuple[Setting, tuple[list[Problem], _Choice]]]) -> list[Problem]:
    """Problems of values that no setting can be loaded with."""
    options = {made.option for _, (_, choice) in found for _, _, made in choice}
    fine = {
        made.option for setting, (_, choice) in found if setting.loaded is not None for _, _, made in choice
    }
    spoilt = options - fine
    all_fail = all(setting.loaded is None for setting, _ in found)
    problems = [
        problem
        for _, (problems, choice) in found
        if all_fail or any(made.option in spoilt for _, _, made in choice)
        for problem in problems
        if all_fail or any(problem.where.startswith(option) for option in spoilt)
    ]
    told: dict[object, Problem] = {}
    for problem in problems:  # a key that does not exist is one mistake, whatever its values
        what = problem.message if UNKNOWN in problem.message else problem
        told.setdefault(what, problem)
    return list(told.values())
