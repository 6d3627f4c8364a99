"""Contiguous KV: every request reserves the longest sequence allowed (FasterTransformer, Orca(Max))."""

from __future__ import annotations

from llmsim.engine.kv.base import KVCache
from llmsim.engine.request import Request
from llmsim.spec.base import Strict


class ContiguousMax(KVCache):
    """One slot of ``max_model_len`` tokens per sequence; a slot is the block it counts in.

    A 12 GiB pool of OPT-13B (15,728 tokens) has floor(15,728 / 2,048) = 7 slots, as in Fig. 13a of
    the vLLM paper (arXiv 2309.06180).
    """

    def __init__(
        self, num_tokens: int, block_size: int, max_model_len: int, options: Strict | None = None
    ) -> None:
        super().__init__(num_tokens, max_model_len, max_model_len, options)

    def fits(self, req: Request) -> bool:
        """See :class:`KVCache`."""
        return self.num_blocks >= req.width

    def reserve(self, req: Request, tokens: int) -> bool:
        """See :class:`KVCache`."""
        if req.blocks:
            return True
        width = req.width
        if width > self.free_blocks:
            return False
        self.free_blocks -= width
        self.num_sequences += width
        req.blocks = width
        return True

    def release(self, req: Request) -> None:
        """See :class:`KVCache`."""
        self.free_blocks += req.blocks
        self.num_sequences -= req.width
        req.blocks = 0
