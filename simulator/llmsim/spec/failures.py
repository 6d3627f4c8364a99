"""Machines that break at a given time."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from llmsim.spec.base import Strict
from llmsim.units import Quantity


class Failure(Strict):
    """Some of a pool's instances crash, without notice; the same ones come back when they are repaired."""

    at_s: Annotated[float, Quantity("s"), Field(ge=0)] = Field(description="when")
    instances: Annotated[int, Field(gt=0)] = Field(
        1,
        description="how many, those held longest first; without an instance type the devices of a replica are one",
    )
    repair_s: Annotated[float, Quantity("s"), Field(ge=0)] = Field(
        description="until they can be started again; they are paid for meanwhile"
    )
