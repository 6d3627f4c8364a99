"""Buddy KV: a contiguous piece per sequence, sized when it is admitted (Orca(Pow2), Orca(Oracle)).

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
        self._held: dict[Request, list[int]] = {}  # starts of its pieces
        start = 0
        for bit in reversed(range(self.num_blocks.bit_length())):  # largest pieces first keeps them aligned
            size = 1 << bit
            self._free[size] = set()
            if self.num_blocks & size:
                self._free[size].add(start)
                start += size

    def piece(self, req: Request) -> int:
        """Tokens of the piece that each sequence of ``req`` gets: a power of two. Pure query."""
        output = req.stop_at
        reserved = power_of_two_at_least(output) if self.mode == "pow2" else output
        return power_of_two_at_least(req.input_tokens + reserved)

    def fits(self, req: Request) -> bool:
        """See :class:`KVCache`."""
        return req.width <= self.num_blocks // self.piece(req)

    def reserve(self, req: Request, tokens: int) -> bool:
        """See :class:`KVCache`. All pieces are taken whole and at once, whatever ``tokens``."""
        if req.blocks:
            return True
        wanted = self.piece(req)
        starts: list[int] = []
        while len(starts) < req.width:
            start = self._take(wanted)
            if start is None:
                for taken in starts:
                    self._give(taken, wanted)
                return False
            starts.append(start)
        self._held[req] = starts
        req.blocks = req.width * wanted
        self.free_blocks -= req.blocks
        self.num_sequences += req.width
        return True

    def release(self, req: Request) -> None:
        """See :class:`KVCache`."""
        size = req.blocks // req.width
        for start in self._held.pop(req):
            self._give(start, size)
        self.free_blocks += req.blocks
        self.num_sequences -= req.width
        req.blocks = 0

    def _take(self, wanted: int) -> int | None:
        """Where a piece of ``wanted`` tokens begins that is taken now; None without one."""
        size = wanted
        while not self._free.get(size):
            size *= 2
            if size > self.num_blocks:
                return None
        start = min(self._free[size])  # lowest address first: a stated rule, so that runs repeat
        self._free[size].remove(start)
        while size > wanted:
            size //= 2
            self._free[size].add(start + size)
        return start

    def _give(self, start: int, size: int) -> None:
        """A piece is free. Free neighbours merge again."""
        while (start ^ size) in self._free.get(size, ()):
            self._free[size].remove(start ^ size)
            start &= ~size
            size *= 2
        self._free[size].add(start)
