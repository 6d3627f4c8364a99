"""A queue in an order of its own, for schedulers that do not serve in order of arrival."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from heapq import heapify, heappop, heappush
from typing import Any, Protocol

from llmsim.engine.request import Request


class WaitingQueue(Protocol):
    """What the engine and most schedulers ask of the requests that wait; a ``deque`` has it."""

    def append(self, req: Request, /) -> None:
        """``req`` joins."""

    def appendleft(self, req: Request, /) -> None:
        """``req``, which was taken out, is back: at the head, where the queue has no order of its own."""

    def popleft(self) -> Request:
        """The head leaves."""

    def remove(self, req: Request, /) -> None:
        """``req`` leaves. Raises ValueError when it is not there."""

    def clear(self) -> None:
        """Everybody leaves."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Request]: ...

    def __getitem__(self, place: int, /) -> Request: ...


class OrderedQueue:
    """Requests by a key that is taken when they join, the earlier id first among equals.

    A heap with lazy deletion: joining and leaving cost O(log n), the head O(1); only iterating sorts. It can
    stand in for a ``deque``: a request put back with ``appendleft`` goes to its place.

    Args:
        key: Of a request that joins; the least is the head. Keys compare with each other.
    """

    def __init__(self, key: Callable[[Request], Any]) -> None:
        self._key = key
        self._heap: list[tuple[Any, int, int, Request]] = []
        self._entries: dict[Request, tuple[Any, int, int, Request]] = {}
        self._puts = 0

    def put(self, req: Request, key: Any) -> None:
        """``req`` joins with ``key``, or has that from now on."""
        self._puts += 1  # no two entries are equal, so requests are never compared
        entry = self._entries[req] = (key, req.id, self._puts, req)
        heappush(self._heap, entry)
        if not self._puts & 63 and len(self._heap) > 64 + 2 * len(self._entries):
            self._heap = list(self._entries.values())
            heapify(self._heap)

    def append(self, req: Request) -> None:
        """See :class:`WaitingQueue`."""
        self.put(req, self._key(req))

    appendleft = append

    def discard(self, req: Request) -> bool:
        """``req`` leaves; False when it is not there."""
        return self._entries.pop(req, None) is not None

    def remove(self, req: Request) -> None:
        """See :class:`WaitingQueue`."""
        if not self.discard(req):
            raise ValueError(f"request {req.id} is not in the queue")

    def popleft(self) -> Request:
        """See :class:`WaitingQueue`. Raises IndexError when the queue is empty."""
        req = self._head()[3]
        heappop(self._heap)
        del self._entries[req]
        return req

    def clear(self) -> None:
        """See :class:`WaitingQueue`."""
        self._heap.clear()
        self._entries.clear()

    @property
    def least(self) -> Any:
        """The key of the head. Raises IndexError when the queue is empty. Pure query."""
        return self._head()[0]

    def key_of(self, req: Request) -> Any:
        """The key that ``req`` joined with; None when it is not there. Pure query."""
        entry = self._entries.get(req)
        return None if entry is None else entry[0]

    def _head(self) -> tuple[Any, int, int, Request]:
        heap, entries = self._heap, self._entries
        while entries.get(heap[0][3]) is not heap[0]:
            heappop(heap)
        return heap[0]

    def __getitem__(self, place: int) -> Request:
        return self._head()[3] if place == 0 else list(self)[place]

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, req: object) -> bool:
        return req in self._entries

    def __iter__(self) -> Iterator[Request]:
        return iter([entry[3] for entry in sorted(self._entries.values())])
