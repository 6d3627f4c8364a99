"""Which coefficients a set of measurements can tell, and which have to stay as they are, with the reason.

A coefficient x has a plausible range before anything is measured: its default and a spread s. Let J be the
change of every measured metric, in units of what repeating the same run would change it (its noise), per
spread of each coefficient. Fitting the columns C of J leaves the standard errors sqrt(diag((J_Cᵀ J_C)⁻¹)), in
spreads (ordinary least squares). A coefficient is told when that is at most :data:`TOLD`, for it and for all
told before it; otherwise the runs say less about it than one knew before, and fitting it would only move the
others. Coefficients are tried in the order given: what varies most from one installation to the next first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, inf, log

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]

TOLD = 1 / 3
"""Largest standard error of a told coefficient, in spreads: no more than a third of what was uncertain is left."""
ALIKE = 0.9
"""Share of an effect that others can imitate, from which on it is called theirs."""


@dataclass(frozen=True)
class Coefficient:
    """One number that may be fitted.

    Attributes:
        name: The option of the cost model that sets it.
        meaning: In words.
        default: Its value before the fit.
        spread: How far from the default it may well lie: a difference for a time, a ratio less one for a factor.
        most: Where physics ends; times end at zero below.
    """

    name: str
    meaning: str
    default: float
    spread: float
    most: float = inf

    @property
    def is_time(self) -> bool:
        """Whether it is a number of seconds; otherwise it is a factor."""
        return self.name.endswith("_s")

    def value(self, x: float) -> float:
        """What ``x`` spreads from the default are. Pure."""
        return self.default + x * self.spread if self.is_time else self.default * exp(x * log1(self.spread))

    def position(self, value: float) -> float:
        """The inverse of :meth:`value`. Pure."""
        if self.is_time:
            return (value - self.default) / self.spread
        return log(value / self.default) / log1(self.spread)

    @property
    def limits(self) -> tuple[float, float]:
        """Where physics ends, in spreads."""
        low = self.position(0.0) if self.is_time else -inf
        return low, self.position(self.most) if self.most < inf else inf

    def text(self, value: float) -> str:
        """``value`` as people read it. Pure."""
        if not self.is_time:
            return f"{value:.3f}"
        return f"{value * 1e3:.3g} ms" if abs(value) >= 1e-4 else f"{value * 1e6:.3g} µs"


def log1(share: float) -> float:
    """ln(1 + share)."""
    return log(1 + share)


@dataclass(frozen=True)
class Selection:
    """What can be fitted.

    Attributes:
        told: Indices of the coefficients, in the order tried.
        left: Index of each other one, and why it stays.
    """

    told: list[int]
    left: dict[int, str]


def select(coefficients: Sequence[Coefficient], jacobian: Matrix, batches: Sequence[float]) -> Selection:
    """The coefficients that ``jacobian`` tells, one after the other. Pure query.

    Args:
        coefficients: In order of preference.
        jacobian: Metrics × coefficients, in noises per spread.
        batches: Mean batch of every run, for the reason.
    """
    told: list[int] = []
    left: dict[int, str] = {}
    for index, coefficient in enumerate(coefficients):
        errors = standard_errors(jacobian[:, [*told, index]])
        if max(errors) <= TOLD:
            told.append(index)
        elif standard_errors(jacobian[:, [index]])[0] > TOLD:
            left[index] = _unfelt(coefficient, jacobian[:, index])
        else:
            left[index] = _alike(index, told, coefficients, jacobian, batches)
    return Selection(told, left)


def standard_errors(jacobian: Matrix) -> list[float]:
    """Of least squares with unit noise; infinite where the columns depend on each other. Pure."""
    count = jacobian.shape[1]
    _, sizes, rows = np.linalg.svd(jacobian, full_matrices=False)
    if len(sizes) < count or sizes[-1] <= 1e-9 * max(sizes[0], 1e-300):
        return [inf] * count
    return [float(error) for error in np.sqrt(((rows.T / sizes) ** 2).sum(axis=1))]


def _unfelt(coefficient: Coefficient, column: Matrix) -> str:
    felt = float(np.abs(column).max(initial=0.0))
    return f"these runs hardly feel it: one spread ({_range(coefficient)}) moves metrics by " + (
        f"{felt:.1f} times their run-to-run noise at most" if felt >= 0.05 else "next to nothing"
    )


def _range(coefficient: Coefficient) -> str:
    low, high = (coefficient.value(max(x, coefficient.limits[0])) for x in (-1.0, 1.0))
    return f"{coefficient.text(low)} to {coefficient.text(high)}"


def _alike(
    index: int,
    told: Sequence[int],
    coefficients: Sequence[Coefficient],
    jacobian: Matrix,
    batches: Sequence[float],
) -> str:
    """Which fitted coefficients do the same to these runs, and what would tell them apart."""
    column, others = jacobian[:, index], jacobian[:, list(told)]
    solution = np.linalg.lstsq(others, column, rcond=None)[0]
    imitated = 1 - float(np.linalg.norm(column - others @ solution) / np.linalg.norm(column))
    weights = np.abs(solution) * np.linalg.norm(others, axis=0)
    names = [coefficients[i].meaning for i, w in zip(told, weights, strict=True) if w >= weights.max() / 4]
    loads = f"mean batch {min(batches):.3g} to {max(batches):.3g}"
    if max(batches) < 1.5 * max(min(batches), 1e-9):
        loads = f"one load level, {loads}" if len(batches) > 1 else f"one run, mean batch {batches[0]:.3g}"
    does = "does the same as" if imitated >= ALIKE else "cannot be kept apart from"
    return (
        f"on these runs ({loads}) it {does} {' and '.join(names)}; runs at other batch sizes, up to several times "
        "as large, would tell them apart"
    )
