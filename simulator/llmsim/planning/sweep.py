"""A sweep: every point run once, however often and wherever it is started."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import llmsim
from llmsim.files.scenario_file import LoadedScenario
from llmsim.files.scenario_text import scenario_sha256
from llmsim.planning.outcome import Outcome
from llmsim.planning.points import Point, Setting
from llmsim.planning.precision import StoppingRule
from llmsim.planning.replicate import Replications, replications
from llmsim.planning.store import Store
from llmsim.planning.workers import Run

Progress = Callable[[int, int], None]
"""Called with points finished and points in all."""


@dataclass(frozen=True)
class Swept:
    """One setting of a sweep and what its seeds say.

    Attributes:
        settings: Scenario key to value.
        outcomes: One per seed.
        together: The seeds put together.
    """

    settings: Mapping[str, Any]
    outcomes: tuple[Outcome, ...]
    together: Replications


def by_setting(outcomes: Iterable[Outcome]) -> list[Swept]:
    """``outcomes`` in the order of points, those of one setting together. Pure."""
    found: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        found.setdefault(json.dumps(outcome.settings, default=str), []).append(outcome)
    return [Swept(runs[0].settings, tuple(runs), _together(runs)) for runs in found.values()]


def manifest(base: LoadedScenario, plugins: Iterable[Path] = ()) -> dict[str, str]:
    """What outcomes in a store depend on besides their own scenario. Pure but for reading the plug-ins."""
    return {
        "version": llmsim.__version__,
        "scenario": f"{base.scenario.name} {scenario_sha256(base.scenario)[:12]}",
        "plug-in": ", ".join(
            f"{path.name} {hashlib.sha256(path.read_bytes()).hexdigest()[:12]}" for path in plugins
        ),
    }


def run_points(
    points: Sequence[Point], run: Run, store: Store | None = None, progress: Progress | None = None
) -> list[Outcome]:
    """The outcome of every point, in order. What the store holds is not run; what is run, it keeps at once.

    Two points with the same scenario are run once.

    Raises:
        OutputError: The store cannot be written any more; what it has it keeps.
    """
    outcomes: dict[int, Outcome] = store.find(points) if store else {}
    leaders: dict[str, int] = {}
    for index, point in enumerate(points):
        if index not in outcomes:
            leaders.setdefault(point.sha256 or f"without {index}", index)
    missing = list(leaders.values())
    done = len(points) - len(missing)
    for position, outcome in run([points[index] for index in missing]):
        if store:
            store.add(outcome)
        outcomes[missing[position]] = outcome
        done += 1
        if progress:
            progress(done, len(points))
    return [
        outcomes.get(index) or _same(point, outcomes[leaders[point.sha256]])
        for index, point in enumerate(points)
    ]


def run_until_precise(
    settings: Sequence[Setting],
    seed: int,
    rule: StoppingRule,
    run: Run,
    store: Store | None = None,
    progress: Progress | None = None,
) -> tuple[list[Outcome], list[str]]:
    """Replicate every setting until ``rule`` has enough of it: outcomes in the settings' order, and what ended each.

    Args:
        settings, run, store, progress: As for :func:`run_points`.
        seed: Of the first replication of each; the following count up.
        rule: When there are enough.
    """
    found: list[list[Outcome]] = [[] for _ in settings]
    more = [rule.least] * len(settings)
    while any(more):
        planned = [
            Point.of(setting, seed + len(runs) + index)
            for setting, runs, count in zip(settings, found, more, strict=True)
            for index in range(count)
        ]
        outcomes = iter(run_points(planned, run, store, progress))
        for runs, count in zip(found, more, strict=True):
            runs += [next(outcomes) for _ in range(count)]
        together = [_together(runs) for runs in found]
        more = [rule.more(each) for each in together]
    return [each for runs in found for each in runs], [rule.ended(each) for each in together]


def _together(runs: Iterable[Outcome]) -> Replications:
    return replications((each.seed, each.summary) for each in runs)


def _same(point: Point, outcome: Outcome) -> Outcome:
    """The outcome of another point with the same scenario, as this one's."""
    return Outcome(
        point.settings,
        point.seed,
        point.sha256,
        outcome.summary,
        outcome.curves,
        outcome.problem,
        outcome.is_final,
    )
