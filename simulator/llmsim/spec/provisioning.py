"""How long it takes until a machine that was asked for serves requests."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from llmsim.spec.base import Strict
from llmsim.units import Quantity


class Provisioning(Strict):
    """From asking for an instance to its first request: start, then weights.

    SkyServe (arXiv 2411.01438, §2.2) measures about three minutes for both with a 7B-13B model; the default
    start leaves the weights' share of that to their transfer.
    """

    startup_delay_s: Annotated[float, Quantity("s"), Field(ge=0)] = Field(
        120.0, description="from the request for an instance until it runs its image"
    )
    weights_from: str = Field(
        "disk",
        min_length=1,
        description="disk, object_store, peer (a replica that has them), or a storage's name",
    )
