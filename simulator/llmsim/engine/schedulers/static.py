"""Static batching: a batch is formed, padded, and served to its end before the next one."""

from __future__ import annotations

from pydantic import Field

from llmsim.engine.plan import Wait
from llmsim.engine.schedulers.request_level import RequestLevel
from llmsim.spec.base import Strict


class StaticOptions(Strict):
    """Options of ``scheduler: {kind: static}``."""

    batch_size: int | None = Field(None, ge=1, description="requests in a batch; default max_num_seqs")
    batch_timeout_s: float = Field(
        0.0, ge=0, description="how long the oldest request waits for the batch to fill up, in seconds"
    )
    early_return: bool = Field(
        False, description="deliver a request when it is done, not when its batch is done"
    )


class Static(RequestLevel):
    """Request-level first come, first served, as FasterTransformer behind a batching front end.

    Source: Orca (Yu et al. 2022, OSDI) §2, which describes and measures this baseline.
    """

    Options = StaticOptions
    options: StaticOptions

    @property
    def returns_early(self) -> bool:
        """See :class:`RequestLevel`."""
        return self.options.early_return

    def size(self, seats: int, now_s: float) -> int | Wait:
        """See :class:`RequestLevel`. Full, or the oldest has waited long enough."""
        size = min(self.options.batch_size or seats, seats)
        full_at_s = self.waiting[0].arrival_s + self.options.batch_timeout_s
        return Wait(full_at_s) if len(self.waiting) < size and now_s < full_at_s else size
