"""Buddy KV: a contiguous piece per request, sized when it is admitted (Orca(Pow2), Orca(Oracle)).

The vLLM paper (arXiv 2309.06180, §6.1) compares with Orca under a buddy allocator: ``pow2`` reserves
the prompt and the output rounded up to a power of two (at most twice too much), ``oracle`` exactly
what the request will need. The allocator rounds each reservation up to a power of two and keeps
pieces aligned, so memory is lost inside pieces and between them.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from llmsim.engine.kv.base import KVCache
from llmsim.engine.request import Request
from llmsim.spec.base import Strict


class BuddyOptions(Strict):
    """Options of ``kv_cache: {kind: buddy}``."""

    reserve: Literal["pow2", "oracle"] = Field(
        "pow2", description="output reserved at admission: rounded up to a power of two, or exact"
    )


def power_of_two_at_least(n: int) -> int:
    """The smallest power of two that is at least ``n`` (n ≥ 1)."""
    return 1 << (n - 1).bit_length()


class Buddy(KVCache):
    """A buddy allocator over a pool counted in tokens. Reads the true output length: an oracle."""

    Options = BuddyOptions
    is_oracle = True

    def __init__(
        self, num_tokens: int, block_size: int, max_model_len: int, options: BuddyOptions | None = None
    ) -> None:
        super().__init__(num_tokens, 1, max_model_len, options)
        self.mode = (options or BuddyOptions()).reserve
        self._free: dict[int, set[int]] = {}  # piece size -> starts of free pieces of that size
        self._held: dict[int, int] = {}  # request id -> start of its piece
        start = 0
        for bit in reversed(range(self.num_blocks.bit_length())):  # largest pieces first keeps them aligned
            size = 1 << bit
            self._free[size] = set()
            if self.num_blocks & size:
                self._free[size].add(start)
                start += size

    def piece(self, req: Request) -> int:
        """Tokens of the piece ``req`` gets: a power of two. Pure query."""
        output = req.stop_at
        reserved = power_of_two_at_least(output) if self.mode == "pow2" else output
        return power_of_two_at_least(req.input_tokens + reserved)

    def fits(self, req: Request) -> bool:
        """See :class:`KVCache`."""
        return self.piece(req) <= self.num_blocks

    def reserve(self, req: Request, tokens: int) -> bool:
        """See :class:`KVCache`. The whole piece is taken at once, whatever ``tokens``."""
        if req.blocks:
            return True
        wanted = self.piece(req)
        size = wanted
        while not self._free.get(size):
            size *= 2
            if size > self.num_blocks:
                return False
        start = min(self._free[size])  # lowest address first: a stated rule, so that runs repeat
        self._free[size].remove(start)
        while size > wanted:
            size //= 2
            self._free[size].add(start + size)
        self._held[req.id] = start
        req.blocks = wanted
        self.free_blocks -= wanted
        self.num_sequences += 1
        return True

    def release(self, req: Request) -> None:
        """See :class:`KVCache`. Free neighbours merge again."""
        start, size = self._held.pop(req.id), req.blocks
        self.free_blocks += size
        self.num_sequences -= 1
        req.blocks = 0
        while (start ^ size) in self._free.get(size, ()):
            self._free[size].remove(start ^ size)
            start &= ~size
            size *= 2
        self._free[size].add(start)
