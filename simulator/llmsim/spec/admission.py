"""What the front door does with requests: how many may wait, for how long, and what becomes of the others."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from pydantic import Field, model_validator

from llmsim.spec.base import Strict, raise_problems
from llmsim.units import Quantity

Count = Annotated[int, Field(gt=0)]
Seconds = Annotated[float, Quantity("s"), Field(gt=0, le=1e9)]


class Admission(Strict):
    """Limits at the front door, and retries. Without a limit every request waits until it is served.

    The names and defaults of the retries are those of vLLM's router (``--retry-max-retries`` …), whose
    default of 3 retries is not taken over: a client that does not come back is the plain case.
    """

    max_queued_requests: Count | None = Field(
        None,
        description="most requests of a model that wait, at the door or at its replicas (Ray Serve's name); one "
        "more is rejected. null is no limit",
    )
    max_queued_requests_per_replica: Count | None = Field(
        None,
        description="most requests that wait at one replica (SGLang's --max-queued-requests); it rejects one more. "
        "null is no limit",
    )
    queue_timeout_s: Seconds | None = Field(
        None, description="a request that waited so long without having started is dropped; null never"
    )
    max_retries: int = Field(
        0, ge=0, le=1000, description="how often a rejected or dropped request comes back"
    )
    initial_backoff_s: Seconds = Field(0.1, description="time until the first retry")
    backoff_multiplier: float = Field(
        2.0, ge=1, le=1e3, description="how much longer each retry waits than the one before"
    )
    max_backoff_s: Seconds = Field(10.0, description="longest time until a retry")
    jitter_factor: float = Field(
        0.1, ge=0, le=1, description="a back-off varies evenly by this share of it, up and down"
    )

    @model_validator(mode="after")
    def _fits_together(self) -> Admission:
        raise_problems("Admission", (((key,), message) for key, message in self._conflicts()))
        return self

    def _conflicts(self) -> Iterator[tuple[str, str]]:
        if self.max_retries and not self.has_limits:
            yield "max_retries", "nothing is rejected or dropped without a limit; write one, or remove it"
        if self.max_backoff_s < self.initial_backoff_s:
            yield "max_backoff_s", f"is less than initial_backoff_s ({self.initial_backoff_s:g} s)"

    @property
    def has_limits(self) -> bool:
        """Whether a request may be turned away."""
        limits = (self.max_queued_requests, self.max_queued_requests_per_replica, self.queue_timeout_s)
        return any(limit is not None for limit in limits)

    def backoff_s(self, retry: int) -> float:
        """Mean time until retry number ``retry``, from 0."""
        longest = self.max_backoff_s / self.initial_backoff_s
        return self.initial_backoff_s * min(self.backoff_multiplier ** min(retry, 64), longest)
