"""Pareto fronts: what nothing else in the space beats on both of two figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from llmsim.errors import UserError
from llmsim.files.scenario_file import LoadedScenario
from llmsim.measure.pareto import Better, pareto_front
from llmsim.measure.slo import has_targets
from llmsim.planning.fleet_trial import score
from llmsim.planning.outcome import Outcome
from llmsim.planning.points import Setting, points
from llmsim.planning.space import Space
from llmsim.planning.sweep import Progress, run_points
from llmsim.planning.workers import Run
from llmsim.spec.targets import Slo


@dataclass(frozen=True)
class Front:
    """Two figures, and whether more of each is better.

    Attributes:
        x, y: Names of figures of :class:`Measured`.
        low_x: Whether a lower x is better; a higher y always is.
    """

    name: str
    x: str
    y: str
    low_x: bool


COST_AND_ATTAINMENT = Front("cost against attainment", "usd_per_hour", "attainment", low_x=True)
SPEED_AND_THROUGHPUT = Front(
    "tokens/s/GPU against tokens/s/user", "tokens_per_s_per_user", "tokens_per_s_per_gpu", low_x=False
)
"""InferenceMAX's axes (github.com/InferenceMAX/InferenceMAX, 2025), with output tokens alone, and the mean TPOT."""

FRONTS = (COST_AND_ATTAINMENT, SPEED_AND_THROUGHPUT)


@dataclass(frozen=True)
class Measured:
    """One setting's figures: means over its seeds, each None where a seed has none.

    Attributes:
        values: What it has of its own.
        seeds: How many runs they come from.
        overloaded: Whether any was: its figures depend on the run's length, and it is on no front.
        usd_per_hour: What was paid for an hour.
        accelerators: On average over time: of a fixed fleet, how many there are.
        attainment: Share of requests (or gaps) within their limits; None without targets.
        tokens_per_s_per_gpu: Output tokens over seconds of accelerators held.
        tokens_per_s_per_user: 1 over the mean TPOT.
    """

    values: Mapping[str, Any]
    seeds: int
    overloaded: bool
    usd_per_hour: float | None
    accelerators: float | None
    attainment: float | None
    tokens_per_s_per_gpu: float | None
    tokens_per_s_per_user: float | None


@dataclass(frozen=True)
class Weighed:
    """Every setting of a space, run and measured.

    Attributes:
        outcomes: One a run, those of one setting one after the other.
        measured: Figures of the settings that ran.
        failed: The first outcome of each that did not.
    """

    outcomes: Sequence[Outcome]
    measured: Sequence[Measured]
    failed: Sequence[Outcome]


def settings_of_space(space: Space) -> list[Setting]:
    """The fleets of ``space`` with the replicas they have. Pure query.

    Raises:
        UserError: There is but one.
    """
    if len(space.candidates) < 2:
        raise UserError(
            "a front needs more than one setting",
            hint="--vary workload.arrival.max_concurrency=1,4,16,64 or a `plan:` section",
        )
    return [
        Setting(
            one.values, one.at(one.loaded.scenario.fleet[0].replicas) if one.loaded else None, one.problem
        )
        for one in space.candidates
    ]


def weigh(
    settings: Sequence[Setting],
    replications: int,
    loaded: LoadedScenario,
    run: Run,
    progress: Progress | None = None,
) -> Weighed:
    """Run every setting with the same seeds and measure it.

    Args:
        settings: Of :func:`settings_of_space`.
        replications: Seeds of each.
        loaded: The scenario: its seed and its targets hold for all.
        run, progress: As for :func:`~llmsim.planning.sweep.run_points`.

    Raises:
        UserError: Every setting failed.
    """
    outcomes = run_points(
        points(settings, loaded.scenario.simulation.seed, replications), run, None, progress
    )
    groups = [outcomes[at : at + replications] for at in range(0, len(outcomes), replications)]
    measured = [measure(group, loaded.scenario.slo) for group in groups]
    known = [one for one in measured if one is not None]
    if not known:
        raise UserError(f"every setting failed; the first with: {outcomes[0].problem}")
    failed = [group[0] for group, one in zip(groups, measured, strict=True) if one is None]
    return Weighed(outcomes, known, failed)


def measure(outcomes: Sequence[Outcome], slo: Slo) -> Measured | None:
    """The figures of one setting, from one outcome a seed; None where none ran. Pure query."""
    summaries = [outcome.summary for outcome in outcomes if outcome.summary]
    if not summaries:
        return None
    rows = [
        rates(summary) | {"attainment": score(summary) if has_targets(slo) else None} for summary in summaries
    ]
    means = {name: _mean([row[name] for row in rows]) for name in rows[0]}
    overloaded = any(summary["saturation"] == "overloaded" for summary in summaries)
    return Measured(outcomes[0].settings, len(summaries), overloaded, **means)


def rates(summary: Mapping[str, Any]) -> dict[str, float | None]:
    """What a run held, paid and gave by the hour and the second: all of :class:`Measured` but the attainment. Pure."""
    duration_s, held_s = summary["duration"], summary["accelerator_seconds"]
    cost, tpot_ms = summary["cost_usd"], summary["mean_tpot_ms"]
    return {
        "usd_per_hour": 3600 * cost / duration_s if duration_s and cost is not None else None,
        "accelerators": held_s / duration_s if duration_s else None,
        "tokens_per_s_per_gpu": summary["total_output_tokens"] / held_s if held_s else None,
        "tokens_per_s_per_user": 1e3 / tpot_ms if tpot_ms else None,
    }


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if len(known) == len(values) else None


def on_front(measured: Sequence[Measured], front: Front) -> list[int]:
    """Positions of the settings that no other one beats on both figures, from the best x on. Pure query."""
    able = [
        (position, _rounded(x), _rounded(y))
        for position, one in enumerate(measured)
        if not one.overloaded
        and (x := getattr(one, front.x)) is not None
        and (y := getattr(one, front.y)) is not None
    ]
    x_better: Better = "lower" if front.low_x else "higher"
    flags = pareto_front([x for _, x, _ in able], [y for *_, y in able], x_better, "higher")
    kept = [point for point, flag in zip(able, flags, strict=True) if flag]
    kept.sort(key=lambda point: point[1] if front.low_x else -point[1])
    return [position for position, *_ in kept]


def _rounded(value: float) -> float:
    """``value`` without what rounding did to it, so that equals are equal."""
    return float(f"{value:.9g}")
