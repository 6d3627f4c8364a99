"""How sure a share of requests is, over several replications."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt

import numpy as np

from llmsim.measure.student import mean_interval

Z = 1.959964
"""The normal quantile that leaves 2.5% beyond it: intervals are at 95%, as Student's."""


def share_interval(shares: Sequence[float], offered: int) -> tuple[float, float]:
    """Where a share lies, at 95%: Wilson's interval over requests, or Student's over replications if wider. Pure.

    Requests of one run depend on each other, which Wilson's (JASA 22, 1927) does not know; few replications may
    agree by chance, which Student's does not.

    Args:
        shares: Of each replication, at least one.
        offered: Requests of all of them.
    """
    share, n = float(np.mean(shares)), max(1, offered)
    middle = (share + Z**2 / (2 * n)) / (1 + Z**2 / n)
    half = Z / (1 + Z**2 / n) * sqrt(share * (1 - share) / n + Z**2 / (4 * n**2))
    low, high = middle - half, middle + half
    student = mean_interval(shares)
    if student is not None:
        low, high = min(low, student.low), max(high, student.high)
    return max(0.0, low), min(1.0, high)
