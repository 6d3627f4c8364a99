"""Dynamic batching: batches of preferred sizes, a bounded delay, and a size that follows a latency target."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field, field_validator

from llmsim.engine.batch import Batch
from llmsim.engine.kv.base import KVCache
from llmsim.engine.plan import Wait
from llmsim.engine.request import Request
from llmsim.engine.scheduler import Limits
from llmsim.engine.schedulers.request_level import RequestLevel
from llmsim.spec.base import Strict


class DynamicOptions(Strict):
    """Options of ``scheduler: {kind: dynamic}``."""

    preferred_batch_size: list[Annotated[int, Field(ge=1)]] = Field(
        [], description="sizes that start at once, the largest first; the largest is also the limit"
    )
    max_queue_delay_s: float = Field(
        0.0, ge=0, description="how long the oldest request waits for a preferred or full batch, in seconds"
    )
    latency_target_s: float | None = Field(
        None,
        gt=0,
        description="Clipper's objective for the time a batch takes, in seconds: the largest batch grows by "
        "additive_increase when a full one meets it and shrinks when one misses it; null is no such limit",
    )
    additive_increase: int = Field(1, ge=1, description="requests added to the largest batch")
    multiplicative_decrease: float = Field(
        0.9, gt=0, lt=1, description="what the largest batch is multiplied with (Clipper: 0.9)"
    )
    early_return: bool = Field(
        False, description="deliver a request when it is done, not when its batch is done"
    )

    @field_validator("preferred_batch_size")
    @classmethod
    def _ascending(cls, value: list[int]) -> list[int]:
        return sorted(set(value))


class Dynamic(RequestLevel):
    """Triton's dynamic batcher, with Clipper's adaptive batch size.

    The largest preferred size that the queue fills starts at once. Otherwise the batch waits until
    the oldest request has been delayed for ``max_queue_delay_s``, and takes whoever is there. Under
    a latency target the largest batch starts at one request, grows additively while full batches
    meet the target, and falls by a tenth when one does not (AIMD).

    Source: Triton Inference Server, docs/user_guide/batcher.md and core ``DynamicBatchScheduler``;
    Crankshaw et al. 2017, NSDI, "Clipper", §4.3.
    """

    Options = DynamicOptions
    options: DynamicOptions

    def __init__(self, limits: Limits, kv: KVCache, options: Strict | None = None) -> None:
        super().__init__(limits, kv, options)
        self.largest = 1.0 if self.options.latency_target_s is not None else float(limits.max_num_seqs)
        """Requests in a batch at most, as AIMD has it now; its whole part counts."""
        self._under_way: dict[int, tuple[int, float]] = {}  # lane -> (requests, start) of its batch

    @property
    def returns_early(self) -> bool:
        """See :class:`RequestLevel`."""
        return self.options.early_return

    def size(self, seats: int, now_s: float) -> int | Wait:
        """See :class:`RequestLevel`."""
        options = self.options
        most = min(seats, int(self.largest), *options.preferred_batch_size[-1:])
        there = min(len(self.waiting), most)
        due_s = self.waiting[0].arrival_s + options.max_queue_delay_s
        if there == most or now_s >= due_s:
            return there
        preferred = [size for size in options.preferred_batch_size if size <= there]
        return preferred[-1] if preferred else Wait(due_s)

    def formed(self, batch: Batch, size: int, now_s: float) -> None:
        """See :class:`RequestLevel`."""
        self._under_way[batch.lane] = (size, now_s)

    def finish(self, batch: Batch, done: Sequence[Request], now_s: float) -> Sequence[Request]:
        """See :class:`Scheduler`."""
        delivered = super().finish(batch, done, now_s)
        if not batch.running and self.options.latency_target_s is not None:
            self._adapt(*self._under_way.pop(batch.lane), now_s, self.options.latency_target_s)
        return delivered

    def _adapt(self, size: int, start_s: float, now_s: float, target_s: float) -> None:
        """A batch of ``size`` requests is done: it met the target or not."""
        if now_s - start_s > target_s:
            self.largest = max(1.0, self.largest * self.options.multiplicative_decrease)
        elif size >= int(self.largest):
            self.largest = min(self.largest + self.options.additive_increase, self.limits.max_num_seqs)
