"""Where a latency–rate curve turns up: its knee."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

SENSITIVITY = 1.0
"""Kneedle's sensitivity S, its authors' choice for data that are all there: how many mean steps deep a knee is."""


def knee(x: Sequence[float], y: Sequence[float]) -> int | None:
    """Index of the knee of a rising curve that bends upwards; None where it has none.

    The knee is the point farthest below the straight line from the first to the last point, with both
    axes scaled to 0…1: Kneedle for a convex increasing curve (Satopää, Albrecht, Irwin, Raghavan, "Finding
    a 'Kneedle' in a Haystack", ICDCSW 2011), without its smoothing, as every point is an average already. Its
    threshold with S = 1 says when there is none: the greatest depth has to exceed the mean step of the
    scaled x. A straight line and a curve that flattens have no knee.

    Latencies of an overloaded server grow with the length of the run: leave such points out.

    Args:
        x: Rates, in any order, no two equal.
        y: Latencies there, finite.

    Raises:
        ValueError: ``x`` and ``y`` differ in length, or two rates are equal.
    """
    if len(x) != len(y) or len(set(x)) != len(x):
        raise ValueError("a knee needs one latency for each of several different rates")
    if len(x) < 3:
        return None
    order = np.argsort(np.asarray(x, dtype=np.float64))
    rates, latencies = np.asarray(x, dtype=np.float64)[order], np.asarray(y, dtype=np.float64)[order]
    rise = latencies[-1] - latencies[0]
    if rise <= 0:
        return None
    depth = (rates - rates[0]) / (rates[-1] - rates[0]) - (latencies - latencies[0]) / rise
    deepest = int(np.argmax(depth))
    return int(order[deepest]) if depth[deepest] > SENSITIVITY / (len(x) - 1) else None
