"""Student's t over independent replications: means, paired differences and ratios of means."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np

from llmsim.measure.batches import LEVEL


@dataclass(frozen=True)
class Interval:
    """A figure and the interval that holds the truth in ``LEVEL`` of cases."""

    middle: float
    low: float
    high: float

    @property
    def half_width(self) -> float:
        """Half its length."""
        return (self.high - self.low) / 2

    @property
    def excludes_zero(self) -> bool:
        """Whether zero lies outside."""
        return self.low > 0 or self.high < 0


def student_t(count: int, level: float = LEVEL) -> float:
    """How many standard errors the interval of a mean of ``count`` values, at least 2, reaches to each side."""
    from scipy.special import stdtrit  # noqa: PLC0415  # a fifth of a second that a single run need not wait

    return float(stdtrit(count - 1, (1 + level) / 2))


def mean_interval(values: Sequence[float], level: float = LEVEL) -> Interval | None:
    """The interval of the mean of independent values; None for fewer than two."""
    if len(values) < 2:
        return None
    sample = np.asarray(values, dtype=np.float64)
    middle = float(sample.mean())
    half = student_t(len(sample), level) * float(sample.std(ddof=1)) / sqrt(len(sample))
    return Interval(middle, middle - half, middle + half)


def paired_difference(
    baseline: Sequence[float], other: Sequence[float], level: float = LEVEL
) -> Interval | None:
    """``other − baseline``, pair by pair (the same seed); None for fewer than two pairs.

    What both members of a pair have in common, their arrivals and lengths, cancels. Source: Law and Kelton,
    "Simulation Modeling and Analysis", section 10.2.1 (paired-t) and 11.2 (common random numbers).
    """
    return mean_interval(np.subtract(other, baseline).tolist(), level)


def paired_ratio(baseline: Sequence[float], other: Sequence[float], level: float = LEVEL) -> Interval | None:
    """mean(other) / mean(baseline) − 1 with Fieller's interval; None where that has no ends.

    It holds the ratios r for which the paired difference ``other − r·baseline`` may be zero, so it excludes zero
    exactly where the interval of the difference does. It has no ends where the baseline's own mean may be zero.
    Source: Fieller, "Some problems in interval estimation", JRSS B 16 (1954).
    """
    count = len(baseline)
    if count < 2:
        return None
    spread = student_t(count, level) ** 2 / count * np.cov([baseline, other])
    base, mean = float(np.mean(baseline)), float(np.mean(other))
    a, b, c = base**2 - spread[0, 0], base * mean - spread[0, 1], mean**2 - spread[1, 1]
    if a <= 0:
        return None
    root = sqrt(max(b * b - a * c, 0.0))
    low, high = sorted(((b - root) / a - 1, (b + root) / a - 1))
    return Interval(mean / base - 1, float(low), float(high))
