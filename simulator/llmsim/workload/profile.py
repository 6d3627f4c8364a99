"""A workload profile: a real trace boiled down to its rate over time and its joint length quantiles.

Kept: the rate window by window, the burstiness within, both length distributions and how they go
together. Lost: that some minutes bring longer prompts or answers than others. On the Azure 2023
conversation trace that does not show while the server has room (mean TTFT and TPOT within 1%, P99
within 8%); close to saturation, P99 TTFT reads low by a third.
"""

from __future__ import annotations

from math import ceil
from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError, model_validator

from llmsim.errors import ScenarioError
from llmsim.files import catalog
from llmsim.files.explain import explain
from llmsim.files.yaml_text import read_yaml
from llmsim.spec.base import Strict
from llmsim.spec.lengths import TokenCount

Quantiles = list[TokenCount]


class RateProfile(Strict):
    """How many requests arrive when."""

    window_s: float = Field(gt=0, description="length of a window, in s")
    duration_s: float = Field(gt=0, description="length of the profile, in s; the last window may be shorter")
    requests_per_s: list[Annotated[float, Field(ge=0, le=1e9)]] = Field(
        min_length=1, description="mean rate in each window"
    )
    burstiness: float = Field(
        ge=1e-6, le=1e6, description="of the gaps, in units of the mean gap at that moment; 1 is Poisson"
    )

    @model_validator(mode="after")
    def _windows_fill_the_duration(self) -> RateProfile:
        windows = ceil(self.duration_s / self.window_s * (1 - 1e-12))  # a seventh of a day, seven times
        if windows != len(self.requests_per_s):
            raise ValueError(
                f"{self.duration_s} s are {windows:.6g} windows, but {len(self.requests_per_s)} rates are given"
            )
        if not any(self.requests_per_s):
            raise ValueError("every rate is 0")
        return self


class LengthTable(Strict):
    """Joint quantiles: bins of equally many requests by prompt length, and both lengths within each."""

    percentiles: list[Annotated[float, Field(ge=0, le=100)]] = Field(
        min_length=2, description="rising, from 0 to 100; of the lengths within a bin"
    )
    input_tokens: list[Quantiles] = Field(min_length=1, description="one row per bin, prompt lengths rising")
    output_tokens: list[Quantiles] = Field(min_length=1, description="one row per bin, in the same order")

    @model_validator(mode="after")
    def _is_rectangular(self) -> LengthTable:
        if len(self.input_tokens) != len(self.output_tokens):
            raise ValueError("input_tokens and output_tokens need as many bins")
        for row in (*self.input_tokens, *self.output_tokens):
            if len(row) != len(self.percentiles) or sorted(row) != row:
                raise ValueError("each bin needs one length per percentile, never falling")
        if self.percentiles[0] != 0 or self.percentiles[-1] != 100:
            raise ValueError("percentiles must go from 0 to 100")
        return self


class WorkloadProfile(Strict):
    """A workload to draw from, with where it comes from."""

    name: str
    description: str
    source: str
    licence: str
    derived_by: str
    rate: RateProfile | None = Field(None, description="null for lengths only")
    lengths: LengthTable


def load_profile(name: str, base_dir: Path) -> WorkloadProfile:
    """The profile called ``name`` in the catalogue, or in a ``.yaml`` file relative to ``base_dir``.

    Raises:
        CatalogError: Nothing has that name.
        ScenarioError: The file is not a profile; with every problem found.
    """
    if not name.endswith((".yaml", ".yml")):
        return WorkloadProfile.model_validate(catalog.workload_profile(name))
    document = read_yaml(base_dir / name, name)
    try:
        profile = WorkloadProfile.model_validate(document.value)
    except ValidationError as error:
        document.problems += explain(error, document, WorkloadProfile)
    if document.problems:
        raise ScenarioError(document.problems)
    return profile
