"""Robust least squares on the logarithm of time: deterministic, bounded, and small enough to read.

Kernel timings have outliers (a heuristic that chose a bad tile), and an error of 10% matters as much at
5 µs as at 5 ms. So residuals are log(fitted / measured), and beyond ``QUADRATIC`` they count linearly
(Huber). Parameters are positive; their logarithms are fitted by Levenberg–Marquardt steps.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

QUADRATIC = 0.05
"""Residuals up to 5% count by their square."""

STEP = 1e-5
"""Relative change of a parameter that its derivative is taken over."""


@dataclass(frozen=True)
class Solution:
    """Parameters, the Huber loss they reach, and log(fitted / measured) of each point."""

    parameters: Array
    loss: float
    residuals: Array


def _loss(residuals: Array) -> float:
    size = np.abs(residuals)
    return float(np.mean(np.where(size < QUADRATIC, size**2 / (2 * QUADRATIC), size - QUADRATIC / 2)))


def solve(
    model: Callable[[Array], Array],
    seconds: Array,
    start: Sequence[float],
    low: Sequence[float],
    high: Sequence[float],
    *,
    rounds: int = 60,
) -> Solution:
    """The parameters between ``low`` and ``high`` whose ``model`` meets ``seconds`` best. Pure query."""
    bottom, top, wanted = np.log(low), np.log(high), np.log(seconds)
    point = np.clip(np.log(start), bottom, top)
    residuals = np.log(model(np.exp(point))) - wanted
    loss, damping = _loss(residuals), 1e-3
    for _ in range(rounds):
        slopes = np.empty((len(wanted), len(point)))
        for j in range(len(point)):
            moved = point.copy()
            moved[j] += STEP if point[j] + STEP < top[j] else -STEP
            slopes[:, j] = (np.log(model(np.exp(moved))) - wanted - residuals) / (moved[j] - point[j])
        weights = 1 / np.maximum(np.abs(residuals), QUADRATIC)
        curvature, descent = slopes.T @ (slopes * weights[:, None]), slopes.T @ (weights * residuals)
        step = _step(model, wanted, point, loss, curvature, descent, (bottom, top), damping)
        if step is None:
            break
        gained = loss - step[2]
        point, residuals, loss, damping = step
        if gained < 1e-9:
            break
    return Solution(np.exp(point), loss, residuals)


def _step(
    model: Callable[[Array], Array],
    wanted: Array,
    point: Array,
    loss: float,
    curvature: Array,
    descent: Array,
    bounds: tuple[Array, Array],
    damping: float,
) -> tuple[Array, Array, float, float] | None:
    """The next point, with less damping the better it went; None where no step lowers the loss."""
    for _ in range(12):
        damped = curvature + damping * np.diag(np.diag(curvature) + 1e-9)
        new = np.clip(point - np.linalg.solve(damped, descent), *bounds)
        residuals = np.log(model(np.exp(new))) - wanted
        lower = _loss(residuals)
        if lower < loss - 1e-12:
            return new, residuals, lower, max(damping / 5, 1e-9)
        damping *= 4
    return None
