"""Pareto fronts: what nothing else in the space beats on both of two figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from llmsim.measure.pareto import Better, pareto_front
from llmsim.measure.slo import has_targets
from llmsim.planning.fleet_trial import score
from llmsim.planning.outcome import Outcome
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


def measure(outcomes: Sequence[Outcome], slo: Slo) -> Measured | None:
    """The figures of one setting, from one outcome a seed; None where none ran. Pure query."""
    summaries = [outcome.summary for outcome in outcomes if outcome.summary]
    if not summaries:
        return None
    rows = [_figures(summary, slo) for summary in summaries]
    means = {name: _mean([row[name] for row in rows]) for name in rows[0]}
    overloaded = any(summary["saturation"] == "overloaded" for summary in summaries)
    return Measured(outcomes[0].settings, len(summaries), overloaded, **means)


def _figures(summary: Mapping[str, Any], slo: Slo) -> dict[str, float | None]:
    duration_s, held_s = summary["duration"], summary["accelerator_seconds"]
    cost, tpot_ms = summary["cost_usd"], summary["mean_tpot_ms"]
    return {
        "usd_per_hour": 3600 * cost / duration_s if duration_s and cost is not None else None,
        "accelerators": held_s / duration_s if duration_s else None,
        "attainment": score(summary) if has_targets(slo) else None,
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
