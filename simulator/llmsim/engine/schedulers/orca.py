"""Orca: iteration-level first come, first served, with the KV of a whole request reserved."""

from __future__ import annotations

from llmsim.engine.batch import Batch
from llmsim.engine.plan import StepPlan
from llmsim.engine.request import Request
from llmsim.engine.scheduler import Scheduler


class Orca(Scheduler):
    """Requests join and leave the batch at any iteration; new ones bring their whole prompt.

    A request is admitted only with room for its longest possible length, so nothing is ever
    preempted. The head of the queue blocks those behind it.

    Source: Yu et al. 2022, OSDI, "Orca: A Distributed Serving System for Transformer-Based
    Generative Models", Algorithm 1.
    """

    def plan(self, batch: Batch, now_s: float) -> StepPlan | None:
        """See :class:`Scheduler`."""
        chunks: list[tuple[Request, int]] = []
        seats = self.limits.max_num_seqs - self.kv.num_sequences
        while self.waiting and len(chunks) < seats:
            req = self.waiting[0]
            if not batch.admit(req, self.longest(req), self.kv.find(req)):
                break
            self.waiting.popleft()
            chunks.append((req, req.prefill_target - req.computed))
        if not chunks and not batch.num_decoding:
            return None
        return StepPlan(chunks, decodes=batch.num_decoding > 0)
