"""Chunked prefill: decodes first, then as much prompt as the token budget leaves room for."""

from __future__ import annotations

from pydantic import Field

from llmsim.engine.batch import Batch
from llmsim.engine.plan import StepPlan
from llmsim.engine.request import Request
from llmsim.engine.scheduler import Scheduler
from llmsim.spec.attention import FOREVER
from llmsim.spec.base import Strict


class ChunkedPrefillOptions(Strict):
    """Options of ``scheduler: {kind: chunked_prefill}``."""

    whole_prompts: bool = Field(
        False,
        description="a prompt waits until the budget holds all of it (TensorRT-LLM without chunked context)",
    )


class ChunkedPrefill(Scheduler):
    """Sarathi-Serve's stall-free batching, in the order of vLLM V1's scheduler.

    Every iteration spends at most ``max_num_batched_tokens``: one token for each decoding sequence,
    then the prompt under way, then waiting prompts in order of arrival, cut where the budget ends.
    Prompts never stall decodes; a long prompt takes several iterations. When the KV pool runs out,
    the newest sequence is preempted and recomputed; nobody is admitted in that iteration.

    Source: Agrawal et al. 2024, arXiv 2403.02310 (Sarathi-Serve); vLLM V1 ``Scheduler.schedule``.
    """

    Options: type[Strict] = ChunkedPrefillOptions
    options: ChunkedPrefillOptions

    @property
    def whole_prompts(self) -> bool:
        """Whether a prompt waits until the budget holds all of it. Pure query."""
        return self.options.whole_prompts

    def may_start(self, req: Request, wanted: int, budget: int) -> bool:
        """Whether ``req`` may start, with ``wanted`` tokens to compute and ``budget`` left. Pure query."""
        return not self.whole_prompts or not budget < wanted <= self.limits.max_num_batched_tokens

    def room(self, req: Request, tokens: int) -> int:
        """Tokens that ``req`` gets room for when its first ``tokens`` are to be computed. Pure query."""
        return tokens

    def share(self, wanted: int, budget: int) -> int:
        """Tokens of a prompt in this iteration, of ``wanted`` that are left of it and ``budget``. Pure query."""
        return min(wanted, budget)

    def give_way(self, batch: Batch) -> Request:
        """The pool is short: throw out the sequence that goes first, back into the queue."""
        return self.preempt_newest(batch)

    def plan(self, batch: Batch, now_s: float) -> StepPlan | None:
        """See :class:`Scheduler`."""
        budget = self.limits.max_num_batched_tokens
        chunks: list[tuple[Request, int]] = []
        preempted = unsettled = False
        if batch.num_decoding:
            while not batch.allocate_decode():
                self.give_way(batch)
                preempted = True
            budget -= batch.num_decoding
        if batch.prefilling:
            budget, starved = self._continue_prompts(batch, chunks, budget)
            preempted = preempted or starved
        if self.waiting and not preempted and self.may_admit():
            unsettled = self._admit(batch, chunks, budget)
        if not chunks and not batch.num_decoding:
            return None
        stable_for = 1 if preempted or unsettled else FOREVER
        return StepPlan(chunks, decodes=batch.num_decoding > 0, stable_for=stable_for)

    def _continue_prompts(
        self, batch: Batch, chunks: list[tuple[Request, int]], budget: int
    ) -> tuple[int, bool]:
        """Next chunks of the prompts under way; preempts from the newest where the pool is short."""
        for req in list(batch.prefilling):
            if req not in batch.prefilling or budget <= 0:
                break
            count = min(req.prefill_target - req.computed, budget)
            while not batch.extend(req, self.room(req, req.computed + count)):
                if self.give_way(batch) is req:
                    return budget, True
            chunks.append((req, count))
            budget -= count
        return budget, False

    def _admit(self, batch: Batch, chunks: list[tuple[Request, int]], budget: int) -> bool:
        """Waiting prompts in order of arrival, while tokens, seats and blocks last.

        Returns:
            Whether the next one may come in by itself: see :meth:`needs_less_later`.
        """
        waiting, seats = self.waiting, self.limits.max_num_seqs - self.kv.num_sequences
        while waiting and budget > 0 and seats > 0:
            req = waiting[0]
            found = self.kv.find(req)
            wanted = req.prefill_target - found
            if not self.may_start(req, wanted, budget):
                return (
                    found > req.computed
                )  # without its hits it may be too long for any budget: it starts then
            count = self.share(wanted, budget)
            if not batch.admit(req, self.room(req, found + count), found):
                return count < wanted and self.needs_less_later(req, found, count)
            waiting.popleft()
            chunks.append((req, count))
            budget -= count
            seats -= 1
        return False
