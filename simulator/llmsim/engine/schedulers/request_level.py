"""Request-level batching: a padded batch is formed, and served to its end before the next one."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

from llmsim.engine.batch import Batch
from llmsim.engine.plan import StepPlan, Wait
from llmsim.engine.request import Request
from llmsim.engine.scheduler import Scheduler


class RequestLevel(Scheduler):
    """What request-level schedulers share; each says how large the next batch is, and when.

    All prompts are padded to the longest; sequences that finish early are computed on and hold
    their KV until the whole batch is done, and only then is every request delivered: E2E and TPOT run
    to that moment, ITL is the time between tokens as they are made.

    Source: Orca (Yu et al. 2022, OSDI) §2, which describes and measures this baseline.
    """

    waits = True

    @abstractmethod
    def size(self, seats: int, now_s: float) -> int | Wait:
        """Requests in the next batch, at most ``seats``; or until when to wait for more. Some wait. Pure query."""

    @property
    @abstractmethod
    def returns_early(self) -> bool:
        """Whether a request is delivered when it is done, and not when its batch is done. Pure query."""

    def plan(self, batch: Batch, now_s: float) -> StepPlan | Wait | None:
        """See :class:`Scheduler`."""
        if batch.num_decoding:
            batch.allocate_decode()
            return StepPlan([], decodes=True)
        seats = self.limits.max_num_seqs - self.kv.num_sequences  # a pipeline's other batches hold the rest
        if not self.waiting or seats <= 0:
            return None
        size = self.size(seats, now_s)
        if isinstance(size, Wait):
            return size
        chunks = self._form(batch, size)
        if not chunks:
            return None
        self.formed(batch, len(chunks), now_s)
        return StepPlan(chunks, decodes=False, padded_to=max(count for _, count in chunks))

    def formed(self, batch: Batch, size: int, now_s: float) -> None:
        """``size`` requests start as ``batch``."""

    def _form(self, batch: Batch, size: int) -> list[tuple[Request, int]]:
        """Reserve every member's longest possible length: a padded batch cannot preempt."""
        chunks: list[tuple[Request, int]] = []
        while self.waiting and len(chunks) < size:
            req = self.waiting[0]
            if not batch.admit(req, self.longest(req), self.kv.find(req)):
                break
            self.waiting.popleft()
            chunks.append((req, req.prefill_target - req.computed))
        return chunks

    def finish(self, batch: Batch, done: Sequence[Request], now_s: float) -> Sequence[Request]:
        """See :class:`Scheduler`."""
        for req in done:
            batch.retire(req)
        if batch.num_decoding or batch.prefilling:
            return done if self.returns_early else ()
        everyone = list(batch.running)
        for req in everyone:
            batch.drop_retired(req)
        return done if self.returns_early else everyone

    def arrival_matters(self) -> bool:
        """See :class:`Scheduler`. A batch under way takes nobody in."""
        return False
