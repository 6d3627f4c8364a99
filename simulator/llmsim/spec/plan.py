"""What the planner may choose from, and how sure it has to be."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from llmsim.spec.base import Strict
from llmsim.units import Quantity


class Plan(Strict):
    """What ``llmsim plan`` may choose from. No part of what a single run depends on."""

    vary: dict[str, list[Any] | str] = Field(
        {},
        description="a scenario key to the values it may take: `fleet.accelerator: [h100-sxm, l40s]`; "
        "`spot_share`: shares of a pool's replicas that are spot instances",
    )
    max_replicas: int = Field(16, ge=1, le=1000, description="the most replicas a fleet may have")
    replications: int = Field(
        3,
        ge=1,
        le=100,
        description="runs of a fleet, each with a seed of its own, before it counts as enough",
    )
    precision: Annotated[float, Quantity("share"), Field(gt=0, lt=1)] | None = Field(
        None, description="replicate until the interval of the attainment is this narrow, relative to it"
    )
