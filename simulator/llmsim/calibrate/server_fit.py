"""Fits a few coefficients of the cost model to a user's own server runs.

Least squares on ln(predicted / measured), each metric divided by the noise of repeating a run, by Gauss–Newton
over simulations of the runs: no random numbers beyond the scenarios' own seeds, so the same files give the same
fit. Where the best value lies beyond physics, the fit is refused with that value.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import isfinite, sqrt

import numpy as np

from llmsim.calibrate.identify import Coefficient, Matrix, select, standard_errors
from llmsim.errors import Problem, UserError

STEP = 0.1
"""Step of the finite differences, in spreads: well above what one request more or less changes."""
MAX_ITERATIONS = 8
CONVERGED = 0.02
"""Largest move, in spreads, that ends the search."""
LEVEL = 0.80
STUDENT_T_90 = (3.078, 1.886, 1.638, 1.533, 1.476, 1.440, 1.415, 1.397, 1.383, 1.372)
"""Quantile 0.90 of Student's t for 1 to 10 degrees of freedom: both tails hold 20%."""
NORMAL_90 = 1.2816


@dataclass(frozen=True)
class Target:
    """One measured metric of one run.

    Attributes:
        run: Which run, by its place in the list.
        metric: Its name in a summary.
        measured: Its value, in the summary's unit.
        noise: Standard deviation of its logarithm when the same run is repeated.
    """

    run: int
    metric: str
    measured: float
    noise: float


@dataclass(frozen=True)
class Fitted:
    """A coefficient after the fit, with the limits of its 80% interval.

    Attributes:
        beyond: What the runs alone would make it, where that is beyond physics by less than its uncertainty
            and ``value`` is the end of physics.
    """

    coefficient: Coefficient
    value: float
    low: float
    high: float
    beyond: float | None = None


@dataclass(frozen=True)
class Fit:
    """What came of it.

    Attributes:
        fitted: The coefficients that were told.
        left: The others and why they stay at their defaults.
        before, after: ln(predicted / measured) of every target.
    """

    fitted: list[Fitted]
    left: list[tuple[Coefficient, str]]
    before: list[float]
    after: list[float]


Predict = Callable[[dict[str, float]], Sequence[float]]
"""Option values to the predicted metric of every target."""


class _Problem:
    """Targets, coefficients, and a memory of what was simulated.

    Beyond physics nothing can be simulated: there the residuals go on as the straight line that they are at
    its end, so that a fit shows where it would go.
    """

    def __init__(
        self, predict: Predict, targets: Sequence[Target], coefficients: Sequence[Coefficient]
    ) -> None:
        self._predict, self.coefficients = predict, coefficients
        self._measured = np.array([target.measured for target in targets])
        self.noise = np.array([target.noise for target in targets])
        self._known: dict[tuple[float, ...], Matrix] = {}

    def residuals(self, x: Matrix) -> Matrix:
        """ln(predicted / measured) in noises, at ``x`` spreads from the defaults."""
        inside = self.inside(x)
        result = self._simulated(inside)
        for column in np.flatnonzero(x != inside):
            result = result + self._slope(inside, int(column)) * (x - inside)[column]
        return result

    def _simulated(self, x: Matrix) -> Matrix:
        key = tuple(float(value) for value in x)
        if key not in self._known:
            values = {c.name: c.value(at) for c, at in zip(self.coefficients, key, strict=True)}
            predicted = np.array(self._predict(values))
            self._known[key] = np.log(predicted / self._measured) / self.noise
        return self._known[key]

    def _slope(self, x: Matrix, column: int) -> Matrix:
        """Change of the residuals per spread of one coefficient, by a step that stays within physics."""
        step = STEP if x[column] + STEP <= self.coefficients[column].limits[1] else -STEP
        there = x.copy()
        there[column] += step
        return (self.residuals(there) - self.residuals(x)) / step

    def jacobian(self, x: Matrix, columns: Sequence[int]) -> Matrix:
        """The slopes of ``columns`` side by side."""
        slopes = [self._slope(x, column) for column in columns]
        return np.column_stack(slopes) if slopes else np.zeros((len(self.noise), 0))

    def inside(self, x: Matrix) -> Matrix:
        """The nearest point to ``x`` that physics allows."""
        limits = [coefficient.limits for coefficient in self.coefficients]
        return np.array([min(max(at, low), high) for at, (low, high) in zip(x, limits, strict=True)])


def fit(
    predict: Predict,
    targets: Sequence[Target],
    coefficients: Sequence[Coefficient],
    batches: Callable[[], Sequence[float]],
) -> Fit:
    """Fits what ``targets`` tell of ``coefficients``.

    Args:
        predict: Simulates every run.
        targets: What was measured.
        coefficients: In order of preference.
        batches: Mean batch of every run at the defaults.

    Raises:
        UserError: The best value of a coefficient is beyond physics by more than its uncertainty. One that
            is beyond by less is put at the end of physics and the others are fitted again.
    """
    problem = _Problem(predict, targets, coefficients)
    x = np.zeros(len(coefficients))
    before = problem.residuals(x)
    selection = select(coefficients, problem.jacobian(x, range(len(coefficients))), batches())
    x = _search(problem, x, selection.told)
    halves = _half_intervals(problem, x, selection.told)
    beyond = {int(index): float(x[index]) for index in np.flatnonzero(x != problem.inside(x))}
    for index, wanted in beyond.items():
        _refuse_the_impossible(coefficients[index], wanted, halves[index])
    if beyond:
        x = _search(problem, problem.inside(x), [index for index in selection.told if index not in beyond])
        x = problem.inside(x)
    after = problem.residuals(x)
    return Fit(
        [
            _fitted(coefficients[index], float(x[index]), halves[index], beyond.get(index))
            for index in selection.told
        ],
        [(coefficients[index], why) for index, why in sorted(selection.left.items())],
        [float(value) for value in before * problem.noise],
        [float(value) for value in after * problem.noise],
    )


def _search(problem: _Problem, x: Matrix, told: Sequence[int]) -> Matrix:
    """The least sum of squares over the coefficients ``told``, from ``x`` on, by Gauss–Newton."""
    columns = list(told)
    for _ in range(MAX_ITERATIONS if columns else 0):
        step = np.zeros(len(x))
        jacobian = problem.jacobian(x, columns)
        step[columns] = np.linalg.lstsq(jacobian, -problem.residuals(x), rcond=None)[0]
        moved = _best_part(problem, x, step)
        distance = float(np.abs(moved - x).max())
        x = moved
        if distance < CONVERGED:
            break
    return x


def _best_part(problem: _Problem, x: Matrix, step: Matrix) -> Matrix:
    """``x`` after the largest of step, step/2, step/4, step/8 that lowers the sum of squares; ``x`` if none."""
    best = float((problem.residuals(x) ** 2).sum())
    for part in (1.0, 0.5, 0.25, 0.125):
        residuals = problem.residuals(x + part * step)
        if np.isfinite(residuals).all() and float((residuals**2).sum()) < best:
            return x + part * step
    return x


def _half_intervals(problem: _Problem, x: Matrix, told: Sequence[int]) -> dict[int, float]:
    """Half the 80% interval of each coefficient told, in spreads."""
    errors = standard_errors(problem.jacobian(x, told)) if told else []
    return dict(zip(told, _scaled(errors, problem.residuals(x), len(told)), strict=True))


def _scaled(errors: Sequence[float], residuals: Matrix, num_fitted: int) -> list[float]:
    """Half the 80% interval from the standard errors of unit noise.

    The scatter left over takes the place of the assumed noise where it is larger: residuals of a wrong model
    must not make an interval narrow.
    """
    freedom = len(residuals) - num_fitted
    scatter = float((residuals**2).sum()) / freedom if freedom else 1.0
    quantile = STUDENT_T_90[freedom - 1] if 0 < freedom <= len(STUDENT_T_90) else NORMAL_90
    return [error * sqrt(max(1.0, scatter)) * quantile for error in errors]


def _fitted(coefficient: Coefficient, x: float, half: float, beyond: float | None) -> Fitted:
    least, most = coefficient.limits
    low, high = (coefficient.value(at) for at in (max(x - half, least), min(x + half, most)))
    wanted = None if beyond is None else coefficient.value(beyond)
    return Fitted(coefficient, coefficient.value(x), low, high, wanted)


def _refuse_the_impossible(coefficient: Coefficient, wanted: float, half: float) -> None:
    """Raises UserError when the best value, give or take its uncertainty, is beyond the end of physics."""
    low, high = coefficient.limits
    if low - half <= wanted <= high + half:
        return
    value, margin = (
        coefficient.value(wanted),
        abs(coefficient.value(wanted + half) - coefficient.value(wanted)),
    )
    best = f"{coefficient.text(value)} ± {coefficient.text(margin)}"
    law = (
        "a time below zero"
        if wanted < low
        else f"above {coefficient.most:.3g}, where a kernel reaches its datasheet's peak"
    )
    raise UserError(
        Problem(coefficient.name, f"the runs would need {coefficient.meaning} of about {best}: {law}"),
        hint="look whether scenario and runs agree: model, dtype, accelerator, tensor parallelism, engine, lengths",
    )


def median_error(log_errors: Sequence[float]) -> float:
    """Median of |predicted / measured − 1|; nan without any. Pure."""
    finite = [abs(np.expm1(value)) for value in log_errors if isfinite(value)]
    return float(np.median(finite)) if finite else float("nan")
