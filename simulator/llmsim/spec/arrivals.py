"""When requests arrive: one class for each kind of arrival process."""

from __future__ import annotations

from math import fsum
from operator import mul
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from llmsim.spec.base import Strict
from llmsim.units import Quantity

LEAST_SCALE, MOST_SCALE = 1e-9, 1e9
"""Between these a rate or a stretch of time means something."""

MOST_JUMPS = 1000
"""State changes per request, beyond which nobody could tell an MMPP from a Poisson process."""


def _not_never(rate: float) -> float:
    if rate < LEAST_SCALE:
        raise ValueError("less than one request in 30 years; is the unit right?")
    return rate


PositiveInt = Annotated[int, Field(gt=0)]
Rate = Annotated[float, Quantity("1/s"), Field(gt=0, le=MOST_SCALE), AfterValidator(_not_never)]
Seconds = Annotated[float, Quantity("s"), Field(gt=0)]
Weight = Annotated[float, Field(ge=0, le=1e9)]


class PoissonArrivals(Strict):
    """Independent users: exponential gaps.

    Source: vLLM, ``vllm bench serve --request-rate``.
    """

    kind: Literal["poisson"]
    request_rate: Rate = Field(description="mean requests per second")


class GammaArrivals(Strict):
    """Gaps ~ Gamma(shape = burstiness, scale = 1/(request_rate·burstiness)), as in `vllm bench serve`.

    Source: vLLM, ``vllm/benchmarks/serve.py``, ``get_request``.
    """

    kind: Literal["gamma"]
    request_rate: Rate = Field(description="mean requests per second")
    burstiness: float = Field(
        ge=1e-6, le=1e6, description="1 is Poisson, less is burstier; gaps vary by 1/sqrt of it"
    )


class ConstantArrivals(Strict):
    """Evenly spaced requests, the first at 0 s.

    Source: vLLM, ``vllm bench serve --burstiness inf``.
    """

    kind: Literal["constant"]
    request_rate: Rate = Field(description="requests per second")


class BurstArrivals(Strict):
    """All requests at once, or ``size`` at once every ``every_s`` seconds; the first burst at 0 s.

    Source: vLLM, ``vllm bench serve --request-rate inf``.
    """

    kind: Literal["burst"]
    size: PositiveInt | None = Field(None, description="requests in a burst; null is all of them")
    every_s: Seconds | None = Field(None, description="time from one burst to the next")

    @model_validator(mode="after")
    def _both_or_neither(self) -> BurstArrivals:
        if (self.size is None) != (self.every_s is None):
            raise ValueError("repeated bursts need both `size` and `every_s`")
        return self


class ClosedArrivals(Strict):
    """Users who wait for their answer before asking again (`vllm bench serve --max-concurrency`).

    Source: vLLM, ``vllm bench serve --request-rate inf --max-concurrency``.
    """

    kind: Literal["closed"]
    max_concurrency: PositiveInt = Field(
        le=10**6, description="requests always in flight, while any are left"
    )


class TraceArrivals(Strict):
    """The times in the ``trace``.

    Source: the file; ``llmsim trace info FILE`` shows it.
    """

    kind: Literal["trace"]


class ScaledArrivals(Strict):
    """What arrivals have in common whose rate something else says."""

    request_rate: Rate | None = Field(None, description="scales them to this mean rate; null keeps their own")
    rate_scale: float | None = Field(
        None, ge=LEAST_SCALE, le=MOST_SCALE, description="multiplies their own rate; null is 1"
    )

    @model_validator(mode="after")
    def _one_scale(self) -> ScaledArrivals:
        if self.request_rate is not None and self.rate_scale is not None:
            raise ValueError("request_rate and rate_scale both set the mean rate; keep one")
        return self

    def factor(self, own_rate: float) -> float:
        """What multiplies rates whose mean is ``own_rate``. Pure query."""
        return self.request_rate / own_rate if self.request_rate else self.rate_scale or 1.0


class ProfileArrivals(ScaledArrivals):
    """Random arrivals whose rate and burstiness follow the ``profile``; it repeats when it ends.

    Source: the profile; ``llmsim list workloads`` names it.
    """

    kind: Literal["profile"]


class ClientsArrivals(ScaledArrivals):
    """The times of each of the ``clients``.

    Source: ServeGen (Xiang et al., NSDI 2026) composes workloads of clients.
    """

    kind: Literal["clients"]


class DiurnalArrivals(Strict):
    """Independent users whose rate follows a day: a Poisson process with a rate that repeats.

    Source: Çınlar 1975, chapter 4.7; shapes of Azure's LLM inference traces 2024 (DynamoLLM, HPCA 2025).
    """

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


class MmppArrivals(Strict):
    """Markov-modulated Poisson process: independent users whose rate jumps between states that last a random time.

    Stays are exponential; from each state every other one is equally likely to come next.

    Source: Fischer and Meier-Hellstern 1993, "The Markov-modulated Poisson process (MMPP) cookbook", Performance
    Evaluation 18.
    """

    kind: Literal["mmpp"]
    rates: list[Weight] = Field(
        min_length=2, description="requests per second in each state", json_schema_extra={"unit": "1/s"}
    )
    mean_stay_s: list[Seconds] = Field(min_length=2, description="mean stay in each state")
    request_rate: Rate | None = Field(
        None, description="mean requests per second, which scales `rates`; null takes them as they are"
    )

    @property
    def own_rate(self) -> float:
        """Mean requests per second of ``rates``: Σ rate·stay / Σ stay, as every state is entered equally often."""
        return fsum(map(mul, self.rates, self.mean_stay_s)) / fsum(self.mean_stay_s)

    @model_validator(mode="after")
    def _makes_a_process(self) -> MmppArrivals:
        if len(self.rates) != len(self.mean_stay_s):
            raise ValueError(
                f"{len(self.rates)} rates but {len(self.mean_stay_s)} mean stays; give as many of each"
            )
        _not_never(self.own_rate)
        jumps = len(self.rates) / sum(self.mean_stay_s) / (self.request_rate or self.own_rate)
        if jumps > MOST_JUMPS:
            raise ValueError(
                f"the rate would jump {jumps:.3g} times per request, which is Poisson arrivals of the mean rate; "
                "lengthen mean_stay_s or write {kind: poisson}"
            )
        return self


class ModulatedGammaArrivals(Strict):
    """Gamma gaps whose rate and burstiness change from window to window, as BurstGPT found them to.

    Source: Wang et al., "BurstGPT: A Real-world Workload Dataset to Optimize LLM Serving Systems" (arXiv
    2401.17644): concurrency of Azure OpenAI services as gamma distributions whose parameters vary over time.
    """

    kind: Literal["modulated_gamma"]
    request_rate: Rate = Field(description="mean requests per second over all windows")
    burstiness: list[Annotated[float, Field(ge=1e-3, le=1e6)]] = Field(
        min_length=1,
        description="of the gaps that begin in each window: 1 is Poisson, less is burstier; after the last "
        "window the first comes again",
    )
    rates: list[Weight] | None = Field(
        None,
        description="rates in the windows, in any unit: only their proportions count; null is the same in all",
    )
    window_s: Seconds = Field(1200.0, description="length of a window")

    @model_validator(mode="after")
    def _windows_match(self) -> ModulatedGammaArrivals:
        if self.rates is not None and len(self.rates) != len(self.burstiness):
            raise ValueError(
                f"{len(self.burstiness)} windows of burstiness but {len(self.rates)} rates; give as many of each"
            )
        if self.rates is not None and not any(self.rates):
            raise ValueError("every one of `rates` is 0")
        return self


Arrival = Annotated[
    PoissonArrivals
    | GammaArrivals
    | ConstantArrivals
    | BurstArrivals
    | ClosedArrivals
    | DiurnalArrivals
    | MmppArrivals
    | ModulatedGammaArrivals
    | TraceArrivals
    | ProfileArrivals
    | ClientsArrivals,
    Field(discriminator="kind"),
]

CHANGING = TraceArrivals | ScaledArrivals | DiurnalArrivals | ModulatedGammaArrivals
"""Arrivals that follow something with a beginning and an end, not a law that stays the same."""

RATED = PoissonArrivals | GammaArrivals | ConstantArrivals | DiurnalArrivals | ModulatedGammaArrivals
"""Arrivals that say their mean rate."""

MAX_REQUESTS = 10**8
"""More than that takes hours and more memory than a machine has: a slip of the pen, not a workload."""


def requests_per_s(arrival: Arrival) -> float:
    """The mean rate that ``arrival`` itself says; 0 where something else decides it. Pure query."""
    if isinstance(arrival, RATED):
        return arrival.request_rate
    if isinstance(arrival, MmppArrivals):
        return arrival.request_rate or arrival.own_rate
    if isinstance(arrival, BurstArrivals) and arrival.size and arrival.every_s:
        return arrival.size / arrival.every_s
    return 0.0
