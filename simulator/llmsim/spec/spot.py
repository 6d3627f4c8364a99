"""Spot capacity: where it comes from, what a reclaim announces, and what it costs."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from llmsim import plugins
from llmsim.spec.base import Strict
from llmsim.spec.policy import Policy, PolicyRef
from llmsim.units import Quantity

LEAST_SCALE, MOST_SCALE = 1e-6, 1e6
LONGEST_NOTICE_S = 120.0
"""AWS gives two minutes (EC2 User Guide, "Spot Instance interruption notices"); GCP and Azure give 30 s."""


class Hazard(Strict):
    """Reclaims drawn at random, zone by zone."""

    reclaims_per_instance_hour: Annotated[float, Quantity("/h"), Field(ge=0, le=3600)] = Field(
        description="how often an instance is taken, on average, while it is held",
        json_schema_extra={"unit": "/h"},
    )
    mean_outage_s: Annotated[float, Quantity("s"), Field(gt=0)] = Field(
        description="mean time until the capacity is back; exponentially distributed"
    )
    correlated_share: Annotated[float, Quantity("share"), Field(ge=0, le=1)] = Field(
        0.0, description="share of an instance's reclaims that take its whole zone"
    )
    zones: list[Annotated[str, Field(min_length=1)]] = Field(
        ["zone-1"], min_length=1, description="zones over which the instances are spread evenly"
    )

    @field_validator("zones")
    @classmethod
    def _zones_differ(cls, zones: list[str]) -> list[str]:
        twice = sorted({zone for zone in zones if zones.count(zone) > 1})
        if twice:
            raise ValueError(f"{', '.join(twice)} is there twice; give each zone its own name")
        return zones


class PriceTrace(Strict):
    """A price that varies over time."""

    trace: str = Field(min_length=1, description="CSV with t_s and usd_per_hour, a step function")
    accelerators: Annotated[int, Field(gt=0)] | None = Field(
        None, description="accelerators that price buys; null is those of the pool's instance, else one"
    )
    start_s: Annotated[float, Quantity("s"), Field(ge=0)] = Field(
        0.0, description="where in the price's own time the run begins"
    )
    time_scale: float = Field(
        1.0, ge=LEAST_SCALE, le=MOST_SCALE, description="stretches the price's time, as the trace's"
    )


class Spot(Strict):
    """Interruptible capacity: from a trace or from a hazard, one of the two."""

    trace: str | None = Field(
        None, min_length=1, description="availability trace: SkyPilot's, SpotServe's or llmsim's own form"
    )
    name: str | list[str] | None = Field(
        None, description="which trace of a file that holds several; with a list each becomes a zone"
    )
    time_scale: float = Field(
        1.0,
        ge=LEAST_SCALE,
        le=MOST_SCALE,
        description="stretches the trace's time: 2 makes it last twice as long",
    )
    start_s: Annotated[float, Quantity("s"), Field(ge=0)] = Field(
        0.0, description="where in the trace, in its own time, the run begins"
    )
    hazard: Hazard | None = Field(None, description="reclaims drawn at random instead of a trace's")
    notice_s: Annotated[float, Quantity("s"), Field(ge=0, le=LONGEST_NOTICE_S)] = Field(
        LONGEST_NOTICE_S,
        description="warning before an instance is taken: AWS 120, GCP and Azure 30, a crash 0",
    )
    on_reclaim: Annotated[PolicyRef, Policy(plugins.RECLAIMS)] = Field(
        "restart",
        validate_default=True,
        description="what happens to the requests of an instance that is taken",
    )
    num_overprovision: Annotated[int, Field(ge=0)] = Field(
        0, description="spot replicas beyond `replicas`, against reclaims (SkyServe's name)"
    )
    base_ondemand_fallback_replicas: Annotated[int, Field(ge=0)] = Field(
        0, description="replicas that are always on demand (SkyServe's name)"
    )
    dynamic_ondemand_fallback: bool = Field(
        False, description="on-demand replicas stand in while spot ones are missing (SkyServe's name)"
    )
    price: Annotated[float, Quantity("$/h"), Field(ge=0, le=1e6)] | PriceTrace | None = Field(
        None, description="spot price of one accelerator, or a trace of it; null is the catalogue's"
    )

    @property
    def names(self) -> tuple[str, ...]:
        """The traces asked for by name."""
        return (self.name,) if isinstance(self.name, str) else tuple(self.name or ())

    @model_validator(mode="after")
    def _each_trace_once(self) -> Spot:
        if len(set(self.names)) < len(self.names):
            raise PydanticCustomError(
                "conflict", "a trace is named twice in `name`; each is a zone of its own, so name each once"
            )
        return self

    @model_validator(mode="after")
    def _one_source(self) -> Spot:
        if (self.trace is None) == (self.hazard is None):
            raise PydanticCustomError(
                "conflict", "spot capacity comes from either `trace` or `hazard`; give one of the two"
            )
        about_traces = {"name", "time_scale", "start_s"} & self.model_fields_set
        if self.trace is None and about_traces and not self._are_defaults(about_traces):
            raise PydanticCustomError(
                "conflict", "`{key}` is about a trace, and there is none", {"key": min(about_traces)}
            )
        return self

    def _are_defaults(self, keys: set[str]) -> bool:
        """Whether ``keys`` say nothing: a resolved scenario has every key."""
        return all(getattr(self, key) == type(self).model_fields[key].default for key in keys)
