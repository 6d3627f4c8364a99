"""What `llmsim calibrate` fits to a user's own server runs: a few numbers that replace or scale the catalogue's."""

from __future__ import annotations

from pydantic import Field

from llmsim.spec.base import Strict


class Calibrated(Strict):
    """Coefficients of one installation; what is not given stays the catalogue's."""

    host_iteration_s: float | None = Field(None, ge=0, description="host time per iteration, seconds")
    host_sequence_s: float | None = Field(
        None, ge=0, description="host time per sequence and iteration, seconds"
    )
    hidden_iteration_s: float | None = Field(
        None, ge=0, description="host time per iteration that hides behind the device's, seconds"
    )
    request_s: float | None = Field(
        None, ge=0, description="time from a request's arrival until the scheduler sees it, seconds"
    )
    compute_factor: float | None = Field(
        None, gt=0, description="multiplies the share of peak that every kernel reaches"
    )
    bandwidth_factor: float | None = Field(
        None, gt=0, description="multiplies the share of memory bandwidth that every kernel reaches"
    )

    def given(self) -> dict[str, float]:
        """The coefficients that are set. Pure query."""
        values = {name: getattr(self, name) for name in Calibrated.model_fields}
        return {name: value for name, value in values.items() if value is not None}


class Source(Strict):
    """A file that was fitted to."""

    file: str
    sha256: str
    runs: int


class Interval(Strict):
    """Where a fitted coefficient lies with a probability of 80%."""

    low: float
    high: float


class Errors(Strict):
    """Median of |predicted / measured − 1| over the runs fitted to."""

    before: float
    after: float


class Overlay(Strict):
    """An overlay file: the fit, and all that is needed to doubt it."""

    accelerator: str
    model: str
    tensor_parallel_size: int
    fitted_on: str = Field(description="date of the fit")
    options: Calibrated
    intervals_80: dict[str, Interval] = Field(default_factory=dict)
    kept: dict[str, str] = Field(
        default_factory=dict, description="what the runs could not tell, and why it stays the catalogue's"
    )
    errors: dict[str, Errors] = Field(default_factory=dict)
    sources: list[Source] = Field(min_length=1)

    @property
    def provenance(self) -> str:
        """Where the numbers come from, in a few words. Pure query."""
        runs = sum(source.runs for source in self.sources)
        count = f"{runs} server run{'' if runs == 1 else 's'}"
        return f"{', '.join(self.options.given())} fitted to {count} on {self.fitted_on}"
