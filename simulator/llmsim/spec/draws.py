"""Counts and times of sessions: fixed, or drawn from a distribution."""

from __future__ import annotations

from math import log, log1p
from typing import Annotated, Literal

from pydantic import Field, model_validator

from llmsim.spec.base import Strict
from llmsim.units import Quantity

MOST = 10**5
"""More turns than that is a slip of the pen."""

CountNumber = Annotated[int, Field(ge=1, le=MOST)]
Wait = Annotated[float, Quantity("s"), Field(ge=0, le=1e9)]
MeanWait = Annotated[float, Quantity("s"), Field(gt=0, le=1e9)]


class GeometricCount(Strict):
    """After each one there is another with the same chance: 1, 2, 3 … with ``mean``."""

    kind: Literal["geometric"]
    mean: float = Field(ge=1, le=MOST, description="mean count")


class UniformCount(Strict):
    """Every whole number from ``min`` to ``max``, both included, equally often."""

    kind: Literal["uniform"]
    min: CountNumber = Field(description="smallest count")
    max: CountNumber = Field(description="greatest count")

    @model_validator(mode="after")
    def _ordered(self) -> UniformCount:
        if self.min > self.max:
            raise ValueError(f"min ({self.min}) is greater than max ({self.max})")
        return self

    @property
    def mean(self) -> float:
        """Mean count."""
        return (self.min + self.max) / 2


class ChoiceCount(Strict):
    """One of a few counts."""

    kind: Literal["choice"]
    counts: list[CountNumber] = Field(min_length=1, description="the counts")
    weights: list[Annotated[float, Field(gt=0, le=1e12)]] | None = Field(
        None, description="how often each, relative to the others; null is equally often"
    )

    @model_validator(mode="after")
    def _one_weight_each(self) -> ChoiceCount:
        if self.weights is not None and len(self.weights) != len(self.counts):
            raise ValueError(
                f"{len(self.counts)} counts but {len(self.weights)} weights; give as many of each"
            )
        return self

    @property
    def mean(self) -> float:
        """Mean count."""
        weights = self.weights or [1.0] * len(self.counts)
        return sum(count * weight for count, weight in zip(self.counts, weights, strict=True)) / sum(weights)


Count = CountNumber | Annotated[GeometricCount | UniformCount | ChoiceCount, Field(discriminator="kind")]
"""A count as a scenario gives it: a number, or a mapping with a ``kind``."""


def mean_count(count: Count) -> float:
    """What ``count`` is on average. Pure query."""
    return float(count) if isinstance(count, int) else count.mean


class ExponentialTime(Strict):
    """Memoryless times."""

    kind: Literal["exponential"]
    mean_s: MeanWait = Field(description="mean time")


class LogNormalTime(Strict):
    """Lognormal times; ``mean_s`` and ``std_s`` are those of the times, not of their logarithm."""

    kind: Literal["lognormal"]
    mean_s: MeanWait = Field(description="mean time")
    std_s: MeanWait = Field(description="standard deviation of the times")

    @property
    def mu_sigma(self) -> tuple[float, float]:
        """Mean and standard deviation of the logarithm: σ² = ln(1 + std²/mean²), μ = ln mean − σ²/2."""
        variance = log1p((self.std_s / self.mean_s) ** 2)
        return log(self.mean_s) - variance / 2, variance**0.5


class UniformTime(Strict):
    """Times between two limits."""

    kind: Literal["uniform"]
    min_s: Wait = Field(description="shortest time")
    max_s: Wait = Field(description="longest time")

    @model_validator(mode="after")
    def _ordered(self) -> UniformTime:
        if self.min_s > self.max_s:
            raise ValueError(f"min_s ({self.min_s}) is greater than max_s ({self.max_s})")
        return self


Time = Wait | Annotated[ExponentialTime | LogNormalTime | UniformTime, Field(discriminator="kind")]
"""A time as a scenario gives it: a number, or a mapping with a ``kind``."""


def mean_time_s(time: Time) -> float:
    """What ``time`` is on average. Pure query."""
    match time:
        case UniformTime(min_s=least, max_s=most):
            return (least + most) / 2
        case ExponentialTime(mean_s=mean_s) | LogNormalTime(mean_s=mean_s):
            return mean_s
        case _:
            return time
