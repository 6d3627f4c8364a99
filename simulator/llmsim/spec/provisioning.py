"""How long it takes until a machine that was asked for serves requests."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from llmsim.spec.base import Strict
from llmsim.units import Quantity


class Provisioning(Strict):
    """From asking for an instance to its first request: start, then weights. The default start is an assumption."""

    startup_delay_s: Annotated[float, Quantity("s"), Field(ge=0)] = Field(
        120.0, description="from the request for an instance until it runs its image"
    )
    warm_replicas: Annotated[int, Field(ge=0)] = Field(
        0, description="replicas beyond those that serve, kept with their weights loaded, and paid for"
    )
    weights_from: str = Field(
        "disk",
        min_length=1,
        description="disk, object_store, peer (a replica that has them), or a storage's name",
    )
