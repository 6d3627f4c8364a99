"""What a site adds to the energy of its accelerators."""

from __future__ import annotations

from pydantic import Field

from llmsim.spec.base import Strict


class Energy(Strict):
    """Site figures; without them there is the accelerators' energy only."""

    pue: float | None = Field(
        None,
        ge=1,
        le=10,
        description="power usage effectiveness: the facility's energy per energy of the devices",
    )
    carbon_g_per_kwh: float | None = Field(
        None,
        ge=0,
        le=1e5,
        description="carbon intensity of the electricity",
        json_schema_extra={"unit": "g/kWh"},
    )
