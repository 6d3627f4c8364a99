"""Paged KV: fixed blocks, given out as the context grows (vLLM, Kwon et al. 2023, arXiv 2309.06180)."""

from __future__ import annotations

from llmsim.engine.kv.base import Growth, KVCache
from llmsim.engine.request import Request
from llmsim.spec.base import Strict


class BlockGrowth(Growth):
    """Block needs counted by residue, so that an iteration costs one look-up, not a walk.

    A sequence that joins at iteration j with c tokens writes token c + i - j in iteration i, and
    needs a block when that is a multiple of the block size: when i ≡ j - c (mod block size).
    """

    def __init__(self, block_size: int) -> None:
        self.block_size = block_size
        self.sequences = 0
        self.due = [0] * block_size  # (block_size,): sequences by the residue of their next need

    def join(self, req: Request, iteration: int) -> None:
        """See :class:`Growth`. A request that reserved more than it holds never asks again."""
        if req.blocks * self.block_size - req.kv_tokens < self.block_size:
            self.due[(iteration - req.kv_tokens) % self.block_size] += 1
            self.sequences += 1

    def leave(self, req: Request, tokens: int) -> None:
        """See :class:`Growth`. ``req.blocks`` becomes what it holds by now."""
        size = self.block_size
        if req.blocks * size - req.kv_tokens < size:
            self.due[(req.join_iteration - req.kv_tokens) % size] -= 1
            self.sequences -= 1
            req.blocks = -(-tokens // size)

    def need(self, iteration: int) -> int:
        """See :class:`Growth`."""
        return self.due[iteration % self.block_size]

    def need_over(self, iteration: int, count: int) -> int:
        """See :class:`Growth`. Every sequence asks once per ``block_size`` iterations."""
        size = self.block_size
        if count == 1:
            return self.due[iteration % size]
        rounds, rest = divmod(count, size)
        start = iteration % size
        stop = start + rest
        partial = (
            sum(self.due[start:stop])
            if stop <= size
            else sum(self.due[start:]) + sum(self.due[: stop - size])
        )
        return rounds * self.sequences + partial

    def room(self, iteration: int, free_blocks: int) -> int:
        """See :class:`Growth`."""
        if not self.sequences:
            return super().room(iteration, free_blocks)
        rounds, left = divmod(free_blocks, self.sequences)
        count = rounds * self.block_size
        while (need := self.due[(iteration + count) % self.block_size]) <= left:
            left -= need
            count += 1
        return count


class Paged(KVCache):
    """Blocks of ``block_size`` tokens, allocated one at a time as sequences grow."""

    def __init__(
        self, num_tokens: int, block_size: int, max_model_len: int, options: Strict | None = None
    ) -> None:
        super().__init__(num_tokens, block_size, max_model_len, options)
        self.surely_fits = self.num_blocks * block_size

    def fits(self, req: Request) -> bool:
        """See :class:`KVCache`. The last token is never written: nobody attends to it."""
        return -(-(req.input_tokens + req.stop_at - 1) // self.block_size) <= self.num_blocks

    def reserve(self, req: Request, tokens: int) -> bool:
        """See :class:`KVCache`."""
        wanted = -(-tokens // self.block_size)
        more = wanted - req.blocks
        if more > self.free_blocks:
            return False
        if not req.blocks:
            self.num_sequences += 1
        self.free_blocks -= more
        req.blocks = wanted
        return True

    def release(self, req: Request) -> None:
        """See :class:`KVCache`."""
        self.preemption.freeing(self)
        self.free_blocks += req.blocks
        self.num_sequences -= 1
        req.blocks = 0

    def new_growth(self) -> Growth:
        """See :class:`KVCache`."""
        return BlockGrowth(self.block_size)


class Token(Paged):
    """Token-level KV (LightLLM): paged, with blocks of one token and no waste."""

    def __init__(
        self, num_tokens: int, block_size: int, max_model_len: int, options: Strict | None = None
    ) -> None:
        super().__init__(num_tokens, 1, max_model_len, options)
