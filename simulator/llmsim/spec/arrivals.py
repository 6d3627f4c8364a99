"""When requests arrive: one class for each kind of arrival process."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from llmsim.spec.base import Strict
from llmsim.units import Quantity

LEAST_SCALE, MOST_SCALE = 1e-9, 1e9
"""Between these a rate or a stretch of time means something."""


def _not_never(rate: float) -> float:
    if rate < LEAST_SCALE:
        raise ValueError("less than one request in 30 years; is the unit right?")
    return rate


PositiveInt = Annotated[int, Field(gt=0)]
Rate = Annotated[float, Quantity("1/s"), Field(gt=0, le=MOST_SCALE), AfterValidator(_not_never)]
Seconds = Annotated[float, Quantity("s"), Field(gt=0)]
Weight = Annotated[float, Field(ge=0, le=1e9)]


class PoissonArrivals(Strict):
    """Independent users: exponential gaps."""

    kind: Literal["poisson"]
    request_rate: Rate = Field(description="mean requests per second")


class GammaArrivals(Strict):
    """Gaps ~ Gamma(shape = burstiness, scale = 1/(request_rate·burstiness)), as in `vllm bench serve`."""

    kind: Literal["gamma"]
    request_rate: Rate = Field(description="mean requests per second")
    burstiness: float = Field(
        ge=1e-6, le=1e6, description="1 is Poisson, less is burstier; gaps vary by 1/sqrt of it"
    )


class ConstantArrivals(Strict):
    """Evenly spaced requests, the first at 0 s."""

    kind: Literal["constant"]
    request_rate: Rate = Field(description="requests per second")


class BurstArrivals(Strict):
    """All requests at once, or ``size`` at once every ``every_s`` seconds; the first burst at 0 s."""

    kind: Literal["burst"]
    size: PositiveInt | None = Field(None, description="requests in a burst; null is all of them")
    every_s: Seconds | None = Field(None, description="time from one burst to the next")

    @model_validator(mode="after")
    def _both_or_neither(self) -> BurstArrivals:
        if (self.size is None) != (self.every_s is None):
            raise ValueError("repeated bursts need both `size` and `every_s`")
        return self


class ClosedArrivals(Strict):
    """Users who wait for their answer before asking again (`vllm bench serve --max-concurrency`)."""

    kind: Literal["closed"]
    max_concurrency: PositiveInt = Field(
        le=10**6, description="requests always in flight, while any are left"
    )


class TraceArrivals(Strict):
    """The times in the ``trace``."""

    kind: Literal["trace"]


class ProfileArrivals(Strict):
    """Random arrivals whose rate and burstiness follow the ``profile``; it repeats when it ends."""

    kind: Literal["profile"]
    request_rate: Rate | None = Field(
        None, description="scales the profile to this mean rate; null keeps its own"
    )
    rate_scale: float | None = Field(
        None, ge=LEAST_SCALE, le=MOST_SCALE, description="multiplies the profile's rate; null is 1"
    )

    @model_validator(mode="after")
    def _one_scale(self) -> ProfileArrivals:
        if self.request_rate is not None and self.rate_scale is not None:
            raise ValueError("request_rate and rate_scale both set the mean rate; keep one")
        return self


class DiurnalArrivals(Strict):
    """Independent users whose rate follows a day: a Poisson process with a rate that repeats."""

    kind: Literal["diurnal"]
    request_rate: Rate = Field(description="mean requests per second over a day")
    shape: Literal["conversation", "code"] | Annotated[list[Weight], Field(min_length=1)] = Field(
        "conversation",
        description="rates in equal windows of the day, in any unit, from 0 s on: only their proportions count. A "
        "name takes those of the weekdays of Azure's 2024 traces, hour by hour from 0:00 UTC",
    )
    period_s: Seconds = Field(86400.0, description="length of the day, after which it starts again")

    @model_validator(mode="after")
    def _somebody_comes(self) -> DiurnalArrivals:
        if isinstance(self.shape, str):
            return self
        if not any(self.shape):
            raise ValueError("every rate of `shape` is 0")
        peak = self.request_rate * max(self.shape) * len(self.shape) / sum(self.shape)
        if peak > MOST_SCALE:
            raise ValueError(f"the peak of `shape` is {peak:.3g} requests per second; at most {MOST_SCALE:g}")
        return self


Arrival = Annotated[
    PoissonArrivals
    | GammaArrivals
    | ConstantArrivals
    | BurstArrivals
    | ClosedArrivals
    | DiurnalArrivals
    | TraceArrivals
    | ProfileArrivals,
    Field(discriminator="kind"),
]
