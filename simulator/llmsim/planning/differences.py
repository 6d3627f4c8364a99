"""How one scenario differs from the baseline, metric by metric, over seeds that both ran with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from llmsim.measure.batches import LEVEL
from llmsim.measure.student import Interval, paired_difference, paired_ratio
from llmsim.planning.replicate import HEADLINES, LATENCIES, Replications

NEED_STABILITY = (*LATENCIES, "slo_attainment", "request_goodput")
"""Metrics that depend on how long an overloaded run goes on: none of them is compared then."""
LEAST_SHARE = 1e-9
"""A relative difference below this is rounding."""


@dataclass(frozen=True)
class Difference:
    """A contender minus the baseline, in one metric.

    Attributes:
        field: Of the summary.
        change: Mean of the differences over the seeds.
        interval: Where it lies; None from one seed.
        relative: The change of the means as a share of the baseline's; None where that may be zero.
        count: Number of pairs.
    """

    field: str
    change: float
    interval: Interval | None
    relative: Interval | None
    count: int

    @property
    def word(self) -> str:
        """``higher`` or ``lower`` where the interval excludes zero; '' where it does not."""
        if self.interval is None or not self.interval.excludes_zero:
            return ""
        if self.relative is not None and abs(self.relative.middle) < LEAST_SHARE:
            return ""
        return "higher" if self.change > 0 else "lower"

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        relative = self.relative
        return {
            "mean": self.change,
            "low": self.interval and self.interval.low,
            "high": self.interval and self.interval.high,
            "relative": relative and {"mean": relative.middle, "low": relative.low, "high": relative.high},
            "n": self.count,
            "verdict": self.word or None,
        }


def differences(baseline: Replications, other: Replications, level: float = LEVEL) -> dict[str, Difference]:
    """``other`` minus ``baseline`` by summary field, over the seeds that both have.

    Nothing where seeds of one are mixed, and no latency, attainment or goodput where either is overloaded.
    """
    if len(baseline.groups) != 1 or len(other.groups) != 1:
        return {}
    overloaded = baseline.overloaded or other.overloaded
    found = {}
    for name in HEADLINES:
        if overloaded and name.endswith(NEED_STABILITY):
            continue
        ours, theirs = (_by_seed(each, name) for each in (baseline, other))
        seeds = [seed for seed in ours if seed in theirs]
        if seeds:
            pair = [ours[seed] for seed in seeds], [theirs[seed] for seed in seeds]
            found[name] = _difference(name, *pair, level)
    return found


def _by_seed(each: Replications, name: str) -> dict[int, float]:
    estimate = each.estimates.get(name)
    return dict(zip(each.groups[0].seeds, estimate.values, strict=True)) if estimate else {}


def _difference(name: str, ours: list[float], theirs: list[float], level: float) -> Difference:
    change = sum(b - a for a, b in zip(ours, theirs, strict=True)) / len(ours)
    return Difference(
        name, change, paired_difference(ours, theirs, level), paired_ratio(ours, theirs, level), len(ours)
    )
