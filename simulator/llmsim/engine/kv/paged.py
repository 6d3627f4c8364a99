"""Paged KV: fixed blocks, given out as the context grows (vLLM, Kwon et al. 2023, arXiv 2309.06180)."""

from __future__ import annotations

from llmsim.engine.kv.base import Growth, KVCache
from llmsim.engine.kv.block_growth import BlockGrowth, Families
from llmsim.engine.request import Request
from llmsim.spec.base import Strict


class Paged(KVCache):
    """Blocks of ``block_size`` tokens, allocated one at a time as sequences grow."""

    def __init__(
        self, num_tokens: int, block_size: int, max_model_len: int, options: Strict | None = None
    ) -> None:
        super().__init__(num_tokens, block_size, max_model_len, options)
        self.surely_fits = self.num_blocks * block_size
        self.families: Families = {}

    def fits(self, req: Request) -> bool:
        """See :class:`KVCache`. The last token is never written: nobody attends to it."""
        return self._apart(req, req.input_tokens, req.input_tokens + req.stop_at - 1) <= self.num_blocks

    def blocks_for(self, req: Request, tokens: int) -> int:
        """Blocks that ``req`` holds with room for its first ``tokens`` tokens. Pure query.

        Its sequences share what they begin with. Those that have not begun may each come to have a tail of its own.
        """
        if req.width == 1:
            return -(-tokens // self.block_size)
        family = self.families.get(req)
        if family is not None:
            return family.blocks(tokens)
        return min(self.num_blocks, self._apart(req, req.prefill_target, tokens))

    def _apart(self, req: Request, begin: int, tokens: int) -> int:
        """Blocks of sequences that have ``begin`` tokens in common and no more. Pure query."""
        blocks = -(-tokens // self.block_size)
        if tokens <= begin:
            return blocks
        return req.width * blocks - (req.width - 1) * (begin // self.block_size)

    def reserve(self, req: Request, tokens: int) -> bool:
        """See :class:`KVCache`."""
        wanted = self.blocks_for(req, tokens)
        more = wanted - req.blocks
        if more > self.free_blocks:
            return False
        if not req.blocks:
            self.num_sequences += req.width
        self.free_blocks -= more
        req.blocks = wanted
        return True

    def release(self, req: Request) -> None:
        """See :class:`KVCache`."""
        self.preemption.freeing(self)
        self.free_blocks += req.blocks
        self.num_sequences -= req.width
        req.blocks = 0
        self.forget(req)

    def forget(self, req: Request) -> None:
        """``req`` holds nothing any more: should it come back, its sequences begin anew."""
        if req.width > 1:
            self.families.pop(req, None)

    def new_growth(self) -> Growth:
        """See :class:`KVCache`."""
        return BlockGrowth(self.block_size, self.families)


class Token(Paged):
    """Token-level KV (LightLLM): paged, with blocks of one token and no waste."""

    def __init__(
        self, num_tokens: int, block_size: int, max_model_len: int, options: Strict | None = None
    ) -> None:
        super().__init__(num_tokens, 1, max_model_len, options)
