"""Draws counts and times; however many are taken at a time, the same come in the same order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from llmsim.spec.draws import (
    ChoiceCount,
    Count,
    ExponentialTime,
    GeometricCount,
    LogNormalTime,
    Time,
    UniformCount,
    UniformTime,
)

Draw = Callable[[int], npt.NDArray[Any]]
"""``draw(n)``: the next n."""


def counter(count: Count, rng: np.random.Generator) -> Draw:
    """What draws whole numbers as ``count`` says."""
    match count:
        case GeometricCount(mean=mean):
            return lambda n: rng.geometric(1 / mean, n)
        case UniformCount():
            span = count.max - count.min + 1
            return lambda n: count.min + (rng.random(n) * span).astype(np.int64)
        case ChoiceCount():
            values = np.array(count.counts)
            shares = np.cumsum(count.weights or [1.0] * len(values))
            return lambda n: values[np.searchsorted(shares / shares[-1], rng.random(n), side="right")]
        case _:
            return lambda n: np.full(n, count)


def timer(time: Time, rng: np.random.Generator) -> Draw:
    """What draws seconds as ``time`` says."""
    match time:
        case ExponentialTime(mean_s=mean_s):
            return lambda n: rng.exponential(mean_s, n)
        case LogNormalTime():
            mu, sigma = time.mu_sigma
            return lambda n: rng.lognormal(mu, sigma, n)
        case UniformTime():
            return lambda n: time.min_s + rng.random(n) * (time.max_s - time.min_s)
        case _:
            return lambda n: np.full(n, float(time))
