"""Chunked prefill without hybrid batches: prompts and decodes take turns."""

from __future__ import annotations

from llmsim.engine.batch import Batch
from llmsim.engine.kv.base import KVCache, NoOptions
from llmsim.engine.plan import StepPlan
from llmsim.engine.request import Request
from llmsim.engine.scheduler import Limits
from llmsim.engine.schedulers.chunked_prefill import ChunkedPrefill
from llmsim.spec.attention import FOREVER
from llmsim.spec.base import Strict


class SimpleChunking(ChunkedPrefill):
    """Sarathi-Serve's ablation "chunked prefills only": an iteration is of prompts or of decodes.

    Prompts are cut where ``max_num_batched_tokens`` ends, which decodes do not count towards. After an
    iteration of prompts it is the decodes' turn, for one iteration while prompts wait for theirs. So no
    decode waits for more than one chunk, but each chunk pays for an iteration of decodes beside it.

    Source: Agrawal et al. 2024, arXiv 2403.02310, Table 4; microsoft/sarathi-serve@13f16cf
    ``simple_chunking_scheduler.py``, which also wants room for a whole prompt before its first chunk.
    """

    Options = NoOptions
    options: NoOptions  # type: ignore[assignment]  # its own keys, in place of the base's
    whole_prompts = False

    def __init__(self, limits: Limits, kv: KVCache, options: Strict | None = None) -> None:
        super().__init__(limits, kv, options)
        self._decodes_are_next: set[int] = set()
        """Lanes whose last iteration was of prompts."""

    def plan(self, batch: Batch, now_s: float) -> StepPlan | None:
        """See :class:`Scheduler`."""
        chunks: list[tuple[Request, int]] = []
        if batch.num_decoding and batch.lane in self._decodes_are_next:
            unsettled = bool(batch.prefilling or self.waiting)  # theirs is the turn after this one
        else:
            unsettled = self._prompts(batch, chunks)
        if chunks:
            self._decodes_are_next.add(batch.lane)
            return StepPlan(chunks, decodes=False)
        self._decodes_are_next.discard(batch.lane)
        while not batch.allocate_decode():
            self.give_way(batch)
            unsettled = True
        if not batch.num_decoding:
            return None
        return StepPlan([], decodes=True, stable_for=1 if unsettled else FOREVER)

    def _prompts(self, batch: Batch, chunks: list[tuple[Request, int]]) -> bool:
        """Fills ``chunks`` up to the budget; whether there may be others later without a completion."""
        budget, starved = self._continue_prompts(batch, chunks, self.limits.max_num_batched_tokens)
        if self.waiting and not starved and self.may_admit():
            return self._admit(batch, chunks, budget)
        return starved
