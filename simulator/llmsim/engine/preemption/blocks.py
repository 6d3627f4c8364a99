"""Block-level preemption: of a preempted request only the blocks go that somebody takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llmsim.engine.preemption.host import HOST, HostMemory
from llmsim.engine.preemption.recompute import Recompute
from llmsim.engine.request import Request
from llmsim.spec.base import Strict

if TYPE_CHECKING:
    from llmsim.engine.kv.base import KVCache


class Blocks(Recompute):
    """A preempted request's blocks count as free, and keep what is in them until they are taken.

    Blocks of nobody go first, then those of the request that was preempted longest ago, from its last block on; what
    is left of it when it comes back need not be computed again. A prefix cache does the same by its own rules.
    Decoding sequences only count down ``free_blocks``, so what they took is seen afterwards: before blocks are given
    back, and when somebody asks.
    """

    needs_blocks = True

    def __init__(self, host: HostMemory = HOST, options: Strict | None = None) -> None:
        super().__init__(host, options)
        self._kept: dict[
            Request, tuple[int, int]
        ] = {}  # (blocks, tokens in them), who has waited longest first
        self._idle = 0  # blocks kept in all: never more than are free

    @property
    def num_kept(self) -> int:  # type: ignore[override]  # counted here
        """See :class:`Recompute`."""
        return len(self._kept)

    def put_away(self, kv: KVCache, req: Request, written: int) -> int:
        """See :class:`Recompute`. Nothing is sure: others may take the blocks."""
        kv.release(req)
        count = -(-written // kv.block_size)
        if count:
            self._kept[req] = count, written
            self._idle += count
        return 0

    def find(self, kv: KVCache, req: Request) -> int:
        """See :class:`Recompute`."""
        self.freeing(kv)
        count, written = self._kept.get(req, (0, 0))
        return max(req.computed, min(written, count * kv.block_size))

    def admit(self, kv: KVCache, req: Request, tokens: int, found: int) -> bool:
        """See :class:`Recompute`. What is left of ``req`` is part of its room."""
        if not kv.reserve(req, tokens):
            return False
        req.computed = max(req.computed, found)
        self._forget(req)
        return True

    def freeing(self, kv: KVCache) -> None:
        """See :class:`Recompute`."""
        taken = self._idle - kv.free_blocks
        while taken > 0:
            req, (count, written) = next(iter(self._kept.items()))
            if count > taken:
                self._kept[req] = count - taken, written
                self._idle -= taken
                return
            self._forget(req)
            taken -= count

    def let_go(self, kv: KVCache, req: Request) -> int:
        """See :class:`Recompute`."""
        if req not in self._kept:
            return 0
        tokens = self.find(kv, req)
        self._forget(req)
        return tokens

    def _forget(self, req: Request) -> None:
        self._idle -= self._kept.pop(req, (0, 0))[0]
