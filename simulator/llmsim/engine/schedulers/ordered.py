"""Chunked prefill in an order of one's own: the base of the schedulers that rank requests."""

from __future__ import annotations

from abc import abstractmethod
from collections import defaultdict, deque
from collections.abc import Sequence
from math import inf

from llmsim.engine.batch import Batch
from llmsim.engine.calendar import Calendar
from llmsim.engine.kv.base import KVCache
from llmsim.engine.ordered_queue import OrderedQueue
from llmsim.engine.plan import StepPlan
from llmsim.engine.request import Request
from llmsim.engine.scheduler import Limits, Scheduler
from llmsim.spec.attention import FOREVER
from llmsim.spec.base import Strict


class Lane:
    """The running sequences of one micro-batch, as :class:`Ordered` sees them.

    Attributes:
        last: By rank, the last one first; a key is (-rank, -id).
        reviews: By the decode iteration at which their rank is to be looked at again.
        chunks: The plan under way.
        moved: Whether it has taken room from somebody, or somebody may come in without any being given back.
    """

    def __init__(self) -> None:
        self.last = OrderedQueue(_given)
        self.reviews = Calendar()
        self.chunks: dict[Request, int] = {}
        self.moved = False

    def forget(self, req: Request) -> None:
        """``req`` runs no longer."""
        self.last.discard(req)
        self.reviews.discard(req)
        self.chunks.pop(req, None)


def _given(req: Request) -> None:
    """Keys of these queues are given one by one."""
    raise NotImplementedError


class Ordered(Scheduler):
    """Decodes first, then prompts by rank within ``max_num_batched_tokens``: a subclass says the rank.

    Where the pool runs short, it is the last in rank that loses its KV: one that is parked, or else one that runs.

    Attributes:
        preempts: Whether a waiting request may take the place of a running one behind it.
        keeps_kv: Whether the KV of one whose place was taken stays while there is room.
        falls: Whether the rank of a decoding sequence falls by 1 with every token, as remaining work does.
        always_reviews: Whether a review does more than to change a rank, which matters only where somebody waits.
    """

    has_own_order = True
    preempts = False
    keeps_kv = True
    falls = False
    always_reviews = False

    waiting: OrderedQueue

    def __init__(self, limits: Limits, kv: KVCache, options: Strict | None = None) -> None:
        super().__init__(limits, kv, options)
        self.waiting = OrderedQueue(lambda req: self.rank(req, req.generated))
        self._parked = OrderedQueue(lambda req: (-self.rank(req, req.generated), -req.id))
        self._lanes: defaultdict[int, Lane] = defaultdict(Lane)

    @abstractmethod
    def rank(self, req: Request, generated: int) -> float:
        """The place of ``req`` with so many tokens out: the least goes first. Pure query, whatever the time is."""

    def review_at(self, req: Request, generated: int) -> int | None:
        """Tokens generated at which the rank of ``req`` changes, other than by falling; None is never. Pure query."""
        return None

    def room_for(self, req: Request, tokens: int) -> int:
        """Tokens that ``req`` is given room for when ``tokens`` of it are to be computed by then. Pure query."""
        return tokens

    def admitted(self, req: Request) -> None:
        """``req`` has been taken in."""

    def stopped(self, batch: Batch, req: Request) -> None:  # most need not know
        """``req`` has lost its place, and waits."""

    # --- the plan -------------------------------------------------------------------------------

    def plan(self, batch: Batch, now_s: float) -> StepPlan | None:
        """See :class:`Scheduler`."""
        lane = self._lanes[batch.lane]
        lane.chunks, lane.moved = {}, False
        if self.waiting or self.always_reviews:
            self._review(batch, lane)
        if self.falls:  # with what has been computed of them, which is no decode iteration
            for req in batch.prefilling:
                self._place(batch, lane, req)
        is_short = False
        while batch.num_decoding and not batch.allocate_decode():
            self._take_from_last(batch, lane)
            is_short = True
        if batch.prefilling or self.waiting:
            self._fill(batch, lane, may_come=not is_short and self.may_admit())
        if not lane.chunks and not batch.num_decoding:
            return None
        stable_for = 1 if lane.moved else self.steady(batch, lane)
        return StepPlan(list(lane.chunks.items()), decodes=batch.num_decoding > 0, stable_for=stable_for)

    def steady(self, batch: Batch, lane: Lane) -> int:
        """Iterations until the plan may change by itself: until who runs may fall behind who waits. Pure query."""
        if not (self.waiting and self.preempts and lane.reviews):
            return FOREVER
        return max(1, lane.reviews.next - batch.iteration)

    def _fill(self, batch: Batch, lane: Lane, may_come: bool) -> None:
        """Spend the token budget: on the prompts under way and on those that wait, by rank among each other
        where waiting requests may go ahead, else the prompts under way first.
        """
        under_way = deque(self._by_rank(batch, lane))
        while (budget := self._budget(batch, lane)) > 0:
            may_come = may_come and bool(self.waiting)
            while under_way and under_way[0] not in batch.prefilling:  # it has lost its place just now
                under_way.popleft()
            if under_way and not (
                may_come and self.preempts and self._goes_before(batch, lane, under_way[0])
            ):
                may_come = self._go_on(batch, lane, under_way.popleft(), budget) and may_come
            elif may_come:
                may_come = self._admit(batch, lane)
            else:
                return

    def _by_rank(self, batch: Batch, lane: Lane) -> list[Request]:
        """The prompts under way, the first in rank first. Pure query."""
        if len(batch.prefilling) < 2:
            return list(batch.prefilling)
        return sorted(batch.prefilling, key=lane.last.key_of, reverse=True)

    def _budget(self, batch: Batch, lane: Lane) -> int:
        """New tokens that the iteration has left. Pure query."""
        return self.limits.max_num_batched_tokens - batch.num_decoding - sum(lane.chunks.values())

    def _go_on(self, batch: Batch, lane: Lane, req: Request, budget: int) -> bool:
        """The next chunk of a prompt under way; False when the pool was short for it."""
        count = min(req.prefill_target - req.computed, budget)
        was_short = False
        while req in batch.prefilling:
            if batch.extend(req, self.room_for(req, req.computed + count)):
                lane.chunks[req] = count
                break
            self._take_from_last(batch, lane)
            was_short = True
        return not was_short

    def _admit(self, batch: Batch, lane: Lane) -> bool:
        """Take in the head of the queue, at the cost of those behind it; False when it has to wait."""
        req = self.waiting[0]
        rank = self.waiting.key_of(req) if self.preempts else inf
        if not self.has_seat() and not self._make_way(batch, lane, rank):
            return False
        self.waiting.popleft()
        found, count = self._next_chunk(batch, lane, req)
        while not batch.admit(req, self.room_for(req, found + count), found):
            if not self._make_room(batch, lane, req, rank):
                self.waiting.appendleft(req)
                lane.moved = lane.moved or self.needs_less_later(req, found, count)
                return False
            found, count = self._next_chunk(batch, lane, req)
        self._parked.discard(req)
        lane.chunks[req] = count
        self._place(batch, lane, req)
        self.admitted(req)
        return True

    def _next_chunk(self, batch: Batch, lane: Lane, req: Request) -> tuple[int, int]:
        """What ``req``, which waits, has already, and the tokens that the budget lets it compute next."""
        found = self.kv.find(req)
        return found, min(req.prefill_target - found, self._budget(batch, lane))

    # --- who is before whom -----------------------------------------------------------------------

    def _place(self, batch: Batch, lane: Lane, req: Request) -> None:
        """``req`` runs: write down its rank, on the scale of iteration 0 where ranks fall."""
        rank = self.rank(req, batch.generated(req)) + self.falls * batch.iteration
        key = (-rank, -req.id)
        if lane.last.key_of(req) != key:
            lane.last.put(req, key)

    def _goes_before(self, batch: Batch, lane: Lane, running: Request) -> bool:
        """Whether the head of the queue ranks before a ``running`` one. Pure query."""
        return self._is_before(batch, self.waiting.least, lane.last.key_of(running)[0])

    def _is_before(self, batch: Batch, rank: float, negated_rank: float) -> bool:
        return rank + self.falls * batch.iteration < -negated_rank

    def _review(self, batch: Batch, lane: Lane) -> None:
        """Look again at the ranks that have changed by now."""
        for req in lane.reviews.due(batch.iteration):
            self.reviewed(batch, lane, req)

    def reviewed(self, batch: Batch, lane: Lane, req: Request) -> None:
        """The rank of a decoding ``req`` has changed."""
        self._place(batch, lane, req)
        self._review_later(batch, lane, req)

    def _review_later(self, batch: Batch, lane: Lane, req: Request) -> None:
        generated = batch.generated(req)
        due = self.review_at(req, generated)
        if due is not None:
            lane.reviews.put(req, batch.iteration + due - generated)

    def joined(self, batch: Batch, req: Request) -> None:
        """See :class:`Scheduler`."""
        lane = self._lanes[batch.lane]
        self._place(batch, lane, req)
        self._review_later(batch, lane, req)

    # --- who loses what ---------------------------------------------------------------------------

    def _make_way(self, batch: Batch, lane: Lane, rank: float) -> bool:
        """The last of the batch gives its seat to a request of ``rank``, if it is behind; False when it is not."""
        if not (self.preempts and lane.last and self._is_before(batch, rank, lane.last.least[0])):
            return False
        last = lane.last[0]
        if self.keeps_kv:
            lane.forget(last)
            lane.moved = True
            batch.pause(last)
            self._parked.append(last)
            self.waiting.appendleft(last)
            self.stopped(batch, last)
        else:
            self.throw_out(batch, lane, last)
        return True

    def _make_room(self, batch: Batch, lane: Lane, req: Request, rank: float) -> bool:
        """Somebody behind ``req``, which has this ``rank``, gives blocks to it; False when there is nobody."""
        others = self._parked[0] if self._parked else None
        if others is not None and others is not req:
            self.reclaim(others)
            lane.moved = True
            return True
        return self._make_way(batch, lane, rank)

    def _take_from_last(self, batch: Batch, lane: Lane) -> None:
        """The pool is short: the last in rank gives its blocks."""
        self._review(batch, lane)
        lane.moved = True
        if self._parked:
            self.reclaim(self._parked[0])
            return
        self.throw_out(batch, lane, lane.last[0])
        self._held_back = not batch.running

    def throw_out(self, batch: Batch, lane: Lane, req: Request) -> None:
        """``req`` loses its place and its KV, and waits."""
        lane.forget(req)
        lane.moved = True
        batch.preempt(req)
        self.waiting.appendleft(req)
        self.stopped(batch, req)

    def reclaim(self, req: Request) -> None:
        """Take the room of the parked ``req``: what the preemption mode does not keep of it is computed anew."""
        self._parked.discard(req)
        self.kv.reclaim(req)
        self.waiting.discard(req)
        self.waiting.append(req)  # with more to do than before

    # --- the rest ---------------------------------------------------------------------------------

    def finish(self, batch: Batch, done: Sequence[Request], now_s: float) -> Sequence[Request]:
        """See :class:`Scheduler`."""
        lane = self._lanes[batch.lane]
        for req in done:
            lane.forget(req)
        return super().finish(batch, done, now_s)

    def evacuate(self) -> list[Request]:
        """See :class:`Scheduler`."""
        self._lanes.clear()
        self._parked.clear()
        return super().evacuate()

    def arrival_matters(self) -> bool:
        """See :class:`Scheduler`. Whoever comes may be the first in rank."""
        return self.preempts or self.has_seat()
