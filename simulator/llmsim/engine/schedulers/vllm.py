"""vLLM as of 2023: prompts before decodes, paged KV, preemption by recompute."""

from __future__ import annotations

from llmsim.engine.batch import Batch
from llmsim.engine.plan import StepPlan
from llmsim.engine.request import Request
from llmsim.engine.scheduler import Scheduler
from llmsim.spec.attention import FOREVER


class VllmPrefillFirst(Scheduler):
    """An iteration is either prompts only or decodes only, and waiting prompts go first.

    Whole prompts are admitted in order of arrival while the batch stays within
    ``max_num_batched_tokens`` and ``max_num_seqs`` and the pool keeps 1% of its blocks free (the
    watermark). A prompt longer than the token limit runs alone. Decoding sequences stall meanwhile.
    When a decode finds no block, the newest sequence is preempted and recomputed later.

    Source: Kwon et al. 2023, arXiv 2309.06180, §4.5; vLLM 0.2 ``Scheduler._schedule``.
    """

    watermark = 0.01

    def plan(self, batch: Batch, now_s: float) -> StepPlan | None:
        """See :class:`Scheduler`."""
        if self.may_admit() and (chunks := self._admit(batch)):
            return StepPlan(chunks, decodes=False)
        if not batch.num_decoding:
            return None
        stable_for = FOREVER
        while not batch.allocate_decode():
            self.preempt_newest(batch)
            stable_for = 1  # what it gave back may let the head of the queue in again
        return StepPlan([], decodes=True, stable_for=stable_for) if batch.num_decoding else None

    def _admit(self, batch: Batch) -> list[tuple[Request, int]]:
        """Whole prompts in order of arrival, while tokens, seats and blocks last."""
        chunks: list[tuple[Request, int]] = []
        budget, seats = self.limits.max_num_batched_tokens, self.limits.max_num_seqs - self.kv.num_sequences
        while self.waiting and seats > 0:
            req = self.waiting[0]
            found = self.kv.find(req)
            count = req.prefill_target - found
            if (
                (chunks and count > budget)
                or not self._has_room(req)
                or not batch.admit(req, req.prefill_target, found)
            ):
                break
            self.waiting.popleft()
            chunks.append((req, count))
            budget -= count
            seats -= 1
        return chunks

    def _has_room(self, req: Request) -> bool:
        """Whether ``req`` fits and leaves the watermark free. An idle pool needs no watermark."""
        kv = self.kv
        blocks = kv.blocks_of(req.prefill_target)
        return not kv.num_sequences or kv.free_blocks - blocks >= int(self.watermark * kv.num_blocks)
