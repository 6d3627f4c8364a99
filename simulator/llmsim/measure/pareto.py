"""Which of many alternatives nobody beats in both of two respects."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

Better = Literal["lower", "higher"]


def pareto_front(x: Sequence[float], y: Sequence[float], x_better: Better, y_better: Better) -> list[bool]:
    """For each point whether it is on the Pareto front.

    A point is on it when no other is at least as good in both coordinates and better in one; equal points
    are on it together or not at all. One pass over the points sorted by x.

    Args:
        x, y: Finite coordinates of the points.
        x_better, y_better: Which values of each are the better ones.

    Raises:
        ValueError: ``x`` and ``y`` differ in length.
    """
    signs = [1.0 if better == "lower" else -1.0 for better in (x_better, y_better)]
    costs = [(signs[0] * a, signs[1] * b) for a, b in zip(x, y, strict=True)]
    on_front = [False] * len(costs)
    best, holder = float("inf"), (float("inf"), float("inf"))
    for index in sorted(range(len(costs)), key=costs.__getitem__):
        if costs[index] == holder or costs[index][1] < best:
            on_front[index] = True
            best, holder = costs[index][1], costs[index]
    return on_front
