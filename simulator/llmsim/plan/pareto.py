"""Pareto fronts: what nothing else in the space beats on both of two figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from statistics import fmean
from typing import Any

from llmsim.measure.slo import has_targets
from llmsim.plan.outcome import Outcome
from llmsim.plan.trials import score
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
"""InferenceMAX's axes (github.com/InferenceMAX/InferenceMAX, 2025): its ``median_intvty`` is 1/median TPOT, its
``tput_per_gpu`` input and output tokens a second over accelerators."""

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
        tokens_per_s_per_gpu: Input and output tokens.
        tokens_per_s_per_user: 1 over the median TPOT.
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
    hours = summary["duration"] / 3600
    devices = summary["accelerator_seconds"] / summary["duration"] if hours else None
    cost, tokens, tpot_ms = (summary[key] for key in ("cost_usd", "total_token_throughput", "p50_tpot_ms"))
    return {
        "usd_per_hour": cost / hours if hours and cost is not None else None,
        "accelerators": devices,
        "attainment": score(summary) if has_targets(slo) else None,
        "tokens_per_s_per_gpu": tokens / devices if devices and tokens is not None else None,
        "tokens_per_s_per_user": 1e3 / tpot_ms if tpot_ms else None,
    }


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if len(known) == len(values) else None


def on_front(measured: Sequence[Measured], front: Front) -> list[int]:
    """Positions of the settings that no other one beats or equals on both figures, from the best x on. Pure query.

    Of settings with the same two figures, the first stands for all.
    """
    points = []
    for position, one in enumerate(measured):
        x, y = getattr(one, front.x), getattr(one, front.y)
        if not one.overloaded and x is not None and y is not None and isfinite(x) and isfinite(y):
            points.append((x if front.low_x else -x, -y, position))
    found, best = [], float("inf")
    for _, y, position in sorted(points):
        if y < best:
            found.append(position)
            best = y
    return found
