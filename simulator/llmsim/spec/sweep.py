"""The settings a sweep goes through: a grid, or a list of points."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from llmsim.spec.base import Strict
from llmsim.units import Quantity


class Sweep(Strict):
    """What ``llmsim sweep`` varies. No part of what a single run depends on."""

    over: dict[str, list[Any] | str] = Field(
        {},
        description="a scenario key to its values: a list, or `start:stop:step` with the stop included; "
        "several keys make a grid",
    )
    points: list[dict[str, Any]] = Field(
        [],
        description="settings instead of a grid, or on top of it: each a mapping of scenario keys to values",
    )
    replications: int = Field(1, ge=1, description="runs of every point, each with a seed of its own")
    precision: Annotated[float, Quantity("share"), Field(gt=0, lt=1)] | None = Field(
        None, description="replicate every point until its intervals are this narrow, relative to the mean"
    )
