"""Swapping ahead of need: KV of parked requests moves over the host link while iterations run."""

from __future__ import annotations

from collections.abc import Callable
from math import inf

from llmsim.engine.batch import Batch
from llmsim.engine.kv.base import KVCache
from llmsim.engine.ordered_queue import OrderedQueue
from llmsim.engine.preemption.swap import Swap
from llmsim.engine.request import Request
from llmsim.spec.attention import FOREVER


class Mover:
    """Keeps blocks free for those who come, and brings back who is next, in a scheduler's order.

    While fewer blocks than the reserve are free, or about to be, the KV of the last of the parked is copied out; its
    blocks are free when the copy is done. While more are free, the first of those that are away is brought back; where
    there is no room for it, the last of the parked goes out, if it is behind. The order is total, so that no two
    requests are exchanged for each other for ever.

    Args:
        kv, swap: The pool, and its preemption mode.
        reserve: Blocks to keep free.
        rank: Place of a request that waits, the least first; :meth:`ranked_anew` is told when it changes.
        waiting: Who waits, wherever its KV is.
        parked: Who has its KV in the pool and does not run, the last in rank first. Changed here.

    Attributes:
        leaving: Whose KV is being copied out, with the blocks that it holds until then; the first to be out first.
        returning: Whose KV is being copied in.
        away: Whose KV is on the host, the first in rank first; some may have come back meanwhile.
    """

    def __init__(
        self,
        kv: KVCache,
        swap: Swap,
        reserve: int,
        rank: Callable[[Request], float],
        waiting: OrderedQueue,
        parked: OrderedQueue,
    ) -> None:
        self.kv = kv
        self.swap = swap
        self.reserve = reserve
        self.waiting = waiting
        self.parked = parked
        self.leaving: dict[Request, int] = {}
        self.returning: set[Request] = set()
        self.away = OrderedQueue(lambda req: (rank(req), req.id))
        self._leaving_blocks = 0

    @property
    def next_s(self) -> float:
        """When the next copy is done; ∞ without one. Pure query."""
        return self.swap.next_s if self.leaving or self.returning else inf

    def settle(self, now_s: float) -> None:
        """Take note of the copies that are done by now. Changes the pool."""
        if not (self.leaving or self.returning):
            return
        gone, back = self.swap.arrived(self.kv, now_s)
        for req in gone:
            self._leaves_no_more(req)
            self.away.append(req)
        for req in back:
            self.returning.discard(req)
            self.parked.append(req)

    def move(self, now_s: float, *, may_fetch: bool) -> None:
        """Start the copies that the state of the pool calls for. Changes the pool.

        Args:
            may_fetch: Whether nobody waits for the room that those would take who are brought back.
        """
        while True:
            while self._may_leave() and self._spare_blocks() < 0 and self._send_out(now_s):
                pass
            first = self._first_away() if may_fetch else None
            if first is None or self.kv.free_blocks - self._blocks_of(first) < self.reserve:
                return
            if not self.fetch(first, now_s):
                return

    def fetch(self, req: Request, now_s: float) -> bool:
        """Start to bring back ``req``, which is away; False when the pool has no room for it."""
        if not self.swap.send_in(self.kv, req, now_s):
            return False
        self.away.discard(req)
        self.returning.add(req)
        return True

    def hurry(self) -> bool:
        """The pool is short: the first of those that leave gives its blocks now, and the iteration waits for it."""
        req = next(iter(self.leaving), None)
        if req is None:
            return False
        self._leaves_no_more(req)
        self.kv.reclaim(req)
        self.away.append(req)
        return True

    def keep(self, req: Request) -> None:
        """``req`` is not to leave any more, if it was about to."""
        if req in self.leaving:
            self._leaves_no_more(req)
            self.swap.stay(req)
            self.parked.append(req)

    def thrown_out(self, req: Request) -> None:
        """``req`` has lost its room other than by :meth:`move`."""
        if self.swap.is_away(req):
            self.away.append(req)

    def ranked_anew(self, req: Request) -> None:
        """The place of ``req``, which waits, has changed."""
        if req in self.away:
            self.away.append(req)

    def clear(self) -> None:
        """Everybody has left."""
        self.leaving.clear()
        self.returning.clear()
        self.away.clear()
        self._leaving_blocks = 0

    def steady(self, batch: Batch, lanes: int) -> int:
        """Iterations of ``batch`` until :meth:`move` may have something to do by itself. Pure query."""
        if not self._may_leave() or (spare := self._spare_blocks()) < 0:
            return FOREVER  # nobody can go, or the host is full
        if lanes > 1:  # the others take blocks too
            return 1
        return batch.allocated + batch.growth.room(batch.iteration + batch.allocated, spare)

    def _may_leave(self) -> bool:
        """Whether somebody is parked who is not the next to run. Pure query."""
        return bool(self.parked) and self.parked[0] is not self.waiting[0]

    def _spare_blocks(self) -> int:
        """By how much the free blocks, with those about to be, exceed what is wanted. Pure query."""
        wanted, first = self.reserve, self._first_away()
        if first is not None and self.away.least < self._place(self.parked[0]):
            wanted += self._blocks_of(first)
        return self.kv.free_blocks + self._leaving_blocks - wanted

    def _place(self, parked: Request) -> tuple[float, int]:
        """The place of a ``parked`` one as those away have theirs. Pure query."""
        negated_rank, negated_id = self.parked.key_of(parked)
        return -negated_rank, -negated_id

    def _blocks_of(self, req: Request) -> int:
        return self.kv.blocks_of(req.computed + 1)

    def _send_out(self, now_s: float) -> bool:
        """The last of the parked starts to leave; False when the host has no room for it."""
        req = self.parked[0]
        if not self.swap.send_out(self.kv, req, now_s):
            return False
        self.parked.discard(req)
        self.leaving[req] = req.blocks
        self._leaving_blocks += req.blocks
        return True

    def _first_away(self) -> Request | None:
        """The first in rank of those that are away."""
        while self.away and not self.swap.is_away(self.away[0]):
            self.away.popleft()
        return self.away[0] if self.away else None

    def _leaves_no_more(self, req: Request) -> None:
        self._leaving_blocks -= self.leaving.pop(req)
