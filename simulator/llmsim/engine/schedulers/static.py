"""Static batching: a batch is formed, padded, and served to its end before the next one."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from llmsim.engine.batch import Batch
from llmsim.engine.plan import StepPlan, Wait
from llmsim.engine.request import Request
from llmsim.engine.scheduler import Scheduler
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


class Static(Scheduler):
    """Request-level first come, first served, as FasterTransformer behind a batching front end.

    All prompts are padded to the longest; sequences that finish early are computed on and hold
    their KV until the whole batch is done, and only then is every request delivered: E2E and TPOT run
    to that moment, ITL is the time between tokens as they are made.

    Source: Orca (Yu et al. 2022, OSDI) §2, which describes and measures this baseline.
    """

    Options = StaticOptions
    waits = True
    options: StaticOptions

    def plan(self, batch: Batch, now_s: float) -> StepPlan | Wait | None:
        """See :class:`Scheduler`."""
        if batch.num_decoding:
            batch.allocate_decode()
            return StepPlan([], decodes=True)
        seats = self.limits.max_num_seqs - self.kv.num_sequences  # a pipeline's other batches hold the rest
        if not self.waiting or not seats:
            return None
        size = min(self.options.batch_size or seats, seats)
        full_at_s = self.waiting[0].arrival_s + self.options.batch_timeout_s
        if len(self.waiting) < size and now_s < full_at_s:
            return Wait(full_at_s)
        chunks = self._form(batch, size)
        return (
            StepPlan(chunks, decodes=False, padded_to=max((count for _, count in chunks), default=0))
            if chunks
            else None
        )

    def _form(self, batch: Batch, size: int) -> list[tuple[Request, int]]:
        """Reserve every member's longest possible length: a static batch cannot preempt."""
        chunks: list[tuple[Request, int]] = []
        while self.waiting and len(chunks) < size:
            req = self.waiting[0]
            if not batch.admit(req, self.limits.max_model_len, self.kv.find(req)):
                break
            self.waiting.popleft()
            chunks.append((req, req.prefill_target - req.computed))
        return chunks

    def finish(self, batch: Batch, done: Sequence[Request], now_s: float) -> Sequence[Request]:
        """See :class:`Scheduler`."""
        for req in done:
            batch.retire(req)
        if batch.num_decoding or batch.prefilling:
            return done if self.options.early_return else ()
        everyone = list(batch.running)
        for req in everyone:
            batch.drop_retired(req)
        return done if self.options.early_return else everyone

    def arrival_matters(self) -> bool:
        """See :class:`Scheduler`. A batch under way takes nobody in."""
        return False
