"""Targets: what a request has to meet to count as served well, and what that may cost."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from llmsim.spec.base import Strict
from llmsim.units import Quantity

TargetMs = Annotated[float, Quantity("ms"), Field(gt=0)]


class Targets(Strict):
    """Upper limits of latencies; a latency without a limit is not judged."""

    ttft_ms: TargetMs | None = Field(None, description="time to first token, from arrival")
    tpot_ms: TargetMs | None = Field(None, description="mean time per output token after the first")
    e2el_ms: TargetMs | None = Field(None, description="end-to-end latency, from arrival to the last token")
    itl_ms: TargetMs | None = Field(None, description="gap between two tokens, over the gaps of all requests")


class Slo(Targets):
    """The service level objective: targets, and the share of requests that has to meet them."""

    percentile: Annotated[float, Quantity("share")] = Field(
        1.0,
        gt=0,
        le=1,
        description="share of the requests offered that must meet the targets; 1 is every request",
    )
    usd_per_million_output_tokens: Annotated[float, Quantity("$"), Field(gt=0)] | None = Field(
        None, description="most that a million output tokens may cost; a target of the run, not of a request"
    )
    classes: dict[str, Targets] = Field(
        {}, description="targets of single request classes by name; what a class leaves out is as above"
    )

    def of_class(self, name: str) -> Targets:
        """The targets of requests of class ``name``. Pure query."""
        own = self.classes.get(name, Targets())
        return Targets(**{key: getattr(own, key) or getattr(self, key) for key in Targets.model_fields})
