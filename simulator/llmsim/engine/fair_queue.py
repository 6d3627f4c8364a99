"""A queue of clients, each with a queue of its own and a counter of the service it has had."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from heapq import heappop, heappush

from llmsim.engine.batch import Batch
from llmsim.engine.ordered_queue import OrderedQueue
from llmsim.engine.request import Request


class Account:
    """What one client has had, counted without a look at its sequences.

    Attributes:
        name: The client.
        weight: Its share of the server, relative to others'.
        waiting: Its requests that wait, in order of arrival.
        charged: Service of everything but the tokens of the sequences that decode now.
    """

    def __init__(self, name: str, weight: float) -> None:
        self.name = name
        self.weight = weight
        self.waiting = OrderedQueue(lambda req: req.arrival_s)
        self.charged = 0.0
        self._decoding: dict[Batch, tuple[int, int]] = {}  # how many, and the sum of when they joined

    def joined(self, batch: Batch, req: Request) -> None:
        """``req`` decodes in ``batch`` from now on."""
        count, joins = self._decoding.get(batch, (0, 0))
        self._decoding[batch] = count + 1, joins + req.join_iteration

    def left(self, batch: Batch, req: Request) -> int:
        """``req`` decodes no longer; returns the tokens it made since it joined."""
        count, joins = self._decoding[batch]
        self._decoding[batch] = count - 1, joins - req.join_iteration
        return batch.iteration - req.join_iteration

    def tokens(self) -> int:
        """Tokens that its decoding sequences have made since they joined. Pure query."""
        return sum(count * batch.iteration - joins for batch, (count, joins) in self._decoding.items())

    def width(self) -> int:
        """Its decoding sequences. Pure query."""
        return sum(count for count, _ in self._decoding.values())


class FairQueue:
    """The waiting requests; the head is the oldest of the client with the least counter.

    Counters only rise, so a heap of what they were at least is enough: its head is looked at again until it is right.

    Args:
        account_of: The account of a request's client.
        counter: What a client has had by now.
        lift: Called for a client that had nobody waiting, when one of its requests comes in.
    """

    def __init__(
        self,
        account_of: Callable[[Request], Account],
        counter: Callable[[Account], float],
        lift: Callable[[Account], None],
    ) -> None:
        self._account_of = account_of
        self._counter = counter
        self._lift = lift
        self._coming: dict[Request, None] = {}  # until counters are up to date
        self._heap: list[tuple[float, str, Account]] = []
        self._size = 0
        self.last_to_leave: Account | None = None

    def append(self, req: Request) -> None:
        """``req`` has arrived; it joins its client's queue with :meth:`let_in`."""
        self._coming[req] = None

    def let_in(self) -> None:
        """Those that have arrived join, in order. Call when counters are up to date."""
        for req in self._coming:
            account = self._account_of(req)
            if not account.waiting:
                self._lift(account)
            self.appendleft(req)
        self._coming.clear()

    def appendleft(self, req: Request) -> None:
        """``req`` joins its client's queue."""
        account = self._account_of(req)
        if not account.waiting:
            heappush(self._heap, (self._counter(account), account.name, account))
        account.waiting.append(req)
        self._size += 1

    def discard(self, req: Request) -> bool:
        """``req`` leaves; False when it is not there."""
        if req in self._coming:
            del self._coming[req]
            return True
        account = self._account_of(req)
        if not account.waiting.discard(req):
            return False
        self._size -= 1
        if not account.waiting:
            self.last_to_leave = account
        return True

    def remove(self, req: Request) -> None:
        """``req`` leaves. Raises ValueError when it is not there."""
        if not self.discard(req):
            raise ValueError(f"request {req.id} is not in the queue")

    def popleft(self) -> Request:
        """The head leaves."""
        req = self[0]
        self.discard(req)
        return req

    def clear(self) -> None:
        """Everybody leaves."""
        for req in list(self):
            self.discard(req)
        self._heap.clear()
        self._coming.clear()

    def least(self) -> Account | None:
        """The client with the least counter of those that wait; None when nobody does."""
        heap = self._heap
        while heap:
            counted, name, account = heap[0]
            if not account.waiting:
                heappop(heap)
            elif (now := self._counter(account)) > counted:
                heappop(heap)
                heappush(heap, (now, name, account))
            else:
                return account
        return None

    def lead(self) -> float:
        """By how much the least counter is below every other that waits, at least; ∞ when it is alone."""
        first = self.least()
        if first is None:
            return float("inf")
        entry = heappop(self._heap)
        second = self.least()
        heappush(self._heap, entry)
        return float("inf") if second is None else self._counter(second) - entry[0]

    def __getitem__(self, place: int) -> Request:
        first = self.least()
        if first is None:
            raise IndexError("the queue is empty")
        return first.waiting[0] if place == 0 else list(self)[place]

    def __len__(self) -> int:
        return self._size + len(self._coming)

    def __contains__(self, req: object) -> bool:
        return isinstance(req, Request) and (req in self._coming or req in self._account_of(req).waiting)

    def __iter__(self) -> Iterator[Request]:
        accounts = {account.name: account for _, _, account in self._heap}
        joined = (req for each in accounts.values() for req in each.waiting)
        return iter(sorted((*joined, *self._coming), key=lambda req: req.id))
