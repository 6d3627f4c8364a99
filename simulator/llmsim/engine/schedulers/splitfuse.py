"""DeepSpeed-FastGen's Dynamic SplitFuse: forward passes of one size, made of parts of prompts and decodes."""

from __future__ import annotations

from llmsim.engine.request import Request
from llmsim.engine.schedulers.chunked_prefill import ChunkedPrefill


class SplitFuse(ChunkedPrefill):
    """Long prompts split, short ones fused: every pass has ``max_num_batched_tokens`` tokens while prompts wait.

    Decodes first, then prompts in order of arrival, as under ``chunked_prefill``; but a prompt starts
    only while the pool has room for all of it, so that none is stuck halfway. Nothing is reserved for
    outputs. FastGen leaves a sequence that finds no block out of its passes until another finishes, and
    starts everything anew when all are stuck; here the newest is preempted.

    Source: Holmes et al. 2024, arXiv 2401.08671, §3.2; DeepSpeed-MII 0.1 ``RaggedBatchBase.schedule_requests``.
    """

    def may_start(self, req: Request, wanted: int, budget: int) -> bool:
        """See :class:`ChunkedPrefill`."""
        return self.kv.blocks_of(req.prefill_target) <= self.kv.free_blocks
