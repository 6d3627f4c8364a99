"""How far predictions are off, by what is known of the accelerator and of the engine.

Errors are taken as independent and log-normal: σ² = σ²(validation) + σ²(accelerator) + σ²(engine). The first
is what server runs on a measured accelerator with a measured engine leave; the others are nothing there, and
what the transfer adds elsewhere. The numbers are in ``hardware/intervals.yaml``.
"""

from __future__ import annotations

from functools import cache
from math import hypot
from typing import Annotated, Literal

from pydantic import Field

from llmsim.cost.efficiency import known_efficiencies
from llmsim.cost.engines import EngineProfile
from llmsim.files.catalog import read, root
from llmsim.spec.base import Strict
from llmsim.spec.hardware import Accelerator, Sourced

LEVEL = 0.8
"""Share of real runs that an interval should hold."""
Z = 1.2816
"""Both tails of a normal distribution beyond this many standard deviations hold 20%."""

GpuClass = Literal["measured", "transferred", "assumed"]
Metric = Literal["ttft", "ttft_tail", "tpot", "tpot_tail", "e2el", "e2el_tail", "throughput"]
Spread = Annotated[float, Field(ge=0)]


class Residual(Strict):
    """What validation leaves of one metric."""

    spread: Spread
    """Standard deviation of ln(predicted / measured) that gives intervals their level on these runs."""
    runs: int
    values: int
    median: float
    """Of ln(predicted / measured): what predictions are high by."""


class Spreads(Strict):
    """The file of spreads."""

    validation: dict[Metric, Residual]
    accelerator: dict[GpuClass, dict[Metric, Spread]]
    engine: dict[Literal["measured", "prior"], dict[Metric, Spread]]
    sources: dict[str, Sourced]


@cache
def spreads() -> Spreads:
    """The catalogue's spreads; remembered."""
    return Spreads.model_validate(read(root() / "hardware" / "intervals.yaml"))


def gpu_class(accelerator: Accelerator) -> GpuClass:
    """Whether its own kernels were timed, those of its family, or neither. Pure query."""
    files = known_efficiencies()
    if any(accelerator.name in file.accelerators for file in files):
        return "measured"
    return "transferred" if any(accelerator.family in file.default_for for file in files) else "assumed"


def model_spread(accelerator: Accelerator, profile: EngineProfile) -> dict[str, float]:
    """Standard deviation of ln(predicted / real), by metric. Pure query."""
    known, of_gpu = spreads(), gpu_class(accelerator)
    return {
        metric: hypot(
            residual.spread,
            known.accelerator[of_gpu].get(metric, 0.0),
            known.engine[profile.kind].get(metric, 0.0),
        )
        for metric, residual in known.validation.items()
    }


def metric_class(field: str) -> Metric:
    """The class of a summary field: ``p99_ttft_ms`` is ``ttft_tail``, ``mean_itl_ms`` is ``tpot``. Pure query."""
    if "throughput" in field:
        return "throughput"
    statistic, _, rest = field.partition("_")
    metric = rest.removesuffix("_ms")
    tail = "" if statistic in ("mean", "median", "p50") else "_tail"
    names: dict[str, Metric] = {
        "ttft": "ttft", "tpot": "tpot", "itl": "tpot", "e2el": "e2el",
        "ttft_tail": "ttft_tail", "tpot_tail": "tpot_tail", "itl_tail": "tpot_tail", "e2el_tail": "e2el_tail",
    }  # fmt: skip
    return names[metric + tail]
