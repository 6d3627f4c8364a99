"""A comparison: the same seeds for every scenario, and what their runs say pair by pair."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from llmsim.measure.batches import LEVEL
from llmsim.planning.contenders import Contender, pairing_warnings
from llmsim.planning.differences import Difference, differences
from llmsim.planning.outcome import Outcome
from llmsim.planning.points import Point
from llmsim.planning.precision import StoppingRule
from llmsim.planning.rates import RatePoint, curves
from llmsim.planning.replicate import Replications, replications
from llmsim.planning.sweep import Progress, run_points
from llmsim.planning.workers import Run


@dataclass(frozen=True)
class Compared:
    """A contender, its runs and what they say.

    Attributes:
        contender: The scenario.
        outcomes: One per seed.
        found: The replications put together.
        differences: To the baseline, by summary field; the baseline's own are all zero.
        curve: Runs at other rates with the first seed; empty without a rate.
    """

    contender: Contender
    outcomes: tuple[Outcome, ...]
    found: Replications
    differences: dict[str, Difference]
    curve: tuple[RatePoint, ...] = ()


@dataclass(frozen=True)
class Comparison:
    """Everything a comparison answers; the first of ``compared`` is the baseline.

    Attributes:
        compared: In the order given.
        level: Of each difference's interval: all differences of a metric hold together in 95% of cases.
        ended: Why there are so many replications, in words.
        warnings: What a reader must know about the pairs.
    """

    compared: tuple[Compared, ...]
    level: float
    ended: str
    warnings: tuple[str, ...]

    @property
    def outcomes(self) -> list[Outcome]:
        """Every run, those of the curves last."""
        runs = [outcome for each in self.compared for outcome in each.outcomes]
        return runs + [point.outcome for each in self.compared for point in each.curve if point.factor != 1]


@dataclass(frozen=True)
class Effort:
    """How much is run.

    Attributes:
        seed: Of the first replication; the following count up, the same for every contender.
        replications: Of every contender, unless ``rule`` is there to say.
        rule: When there are enough.
        curves: Whether to run other rates as well.
    """

    seed: int
    replications: int = 5
    rule: StoppingRule | None = None
    curves: bool = True


def compare(
    contenders: Sequence[Contender], effort: Effort, run: Run, progress: Progress | None = None
) -> Comparison:
    """Run every contender with the same seeds and compare each with the first.

    Args:
        contenders: At least two.
        effort: How much to run.
        run: Of :func:`~llmsim.planning.workers.open_workers`.
        progress: Called with runs finished and runs in all, as far as that is known.
    """
    rounds = _Rounds(run, progress)
    runs = _replicated(contenders, effort, rounds)
    found = [_put_together(outcomes) for outcomes in runs]
    level = 1 - (1 - LEVEL) / (len(contenders) - 1)
    rates = (
        curves(contenders, [outcomes[0] for outcomes in runs], rounds) if effort.curves else [()] * len(runs)
    )
    compared = [
        Compared(each, tuple(outcomes), replicated, differences(found[0], replicated, level), curve)
        for each, outcomes, replicated, curve in zip(contenders, runs, found, rates, strict=True)
    ]
    return Comparison(
        tuple(compared), level, _ended(contenders, found, effort), _warnings(contenders, effort)
    )


def _replicated(contenders: Sequence[Contender], effort: Effort, rounds: _Rounds) -> list[list[Outcome]]:
    """The runs of every contender, seed by seed, until there are enough for all of them."""
    runs: list[list[Outcome]] = [[] for _ in contenders]
    more = effort.rule.least if effort.rule else effort.replications
    while more:
        seeds = range(effort.seed + len(runs[0]), effort.seed + len(runs[0]) + more)
        outcomes = rounds([Point.of(each.setting(), seed) for each in contenders for seed in seeds])
        for position, own in enumerate(runs):
            own.extend(outcomes[position * more : (position + 1) * more])
        more = max(effort.rule.more(_put_together(own)) for own in runs) if effort.rule else 0
    return runs


def _put_together(outcomes: Sequence[Outcome]) -> Replications:
    return replications([(outcome.seed, outcome.summary) for outcome in outcomes])


class _Rounds:
    """Runs points, round after round, with one progress over all."""

    def __init__(self, run: Run, progress: Progress | None) -> None:
        self._run = run
        self._progress = progress
        self._done = 0

    def __call__(self, points: Sequence[Point]) -> list[Outcome]:
        before = self._done

        def tell(done: int, total: int) -> None:
            if self._progress:
                self._progress(before + done, before + total)

        outcomes = run_points(points, self._run, None, tell)
        self._done += len(points)
        return outcomes


def _ended(contenders: Sequence[Contender], found: Sequence[Replications], effort: Effort) -> str:
    if effort.rule is None:
        return f"{effort.replications} replication{'s' * (effort.replications != 1)} of each, as asked for"
    said = [
        f"{contender.name}: {effort.rule.ended(each)}"
        for contender, each in zip(contenders, found, strict=True)
    ]
    return "; ".join(said)


def _warnings(contenders: Sequence[Contender], effort: Effort) -> tuple[str, ...]:
    seeds = {each.loaded.scenario.simulation.seed for each in contenders} | {effort.seed}
    own = [f"every scenario runs with the seeds from {effort.seed} on; some files say others"] * (
        len(seeds) > 1
    )
    return (*pairing_warnings(contenders), *own)
