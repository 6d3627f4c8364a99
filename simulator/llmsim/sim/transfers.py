"""Transfers, and the streams they move in."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from math import inf
from typing import Literal

from llmsim.sim.links import Link, Path

Status = Literal["moving", "arriving", "done", "cancelled", "lost"]
"""``arriving``: its last byte has been sent and is on the way; it holds no link any more."""


class Transfer:
    """Bytes on their way along a path.

    Attributes:
        path: The links it uses.
        num_bytes: How many there are to move.
        start_s: When it was sent.
        order: Which one it is: they are told of in the order they were sent.
        status: What became of it.
        done: Told when it has arrived.
        lost: Told when it is lost.
        stream: What it moves in, while it moves.
        target_bytes: Where the stream's sum stands when it has moved its last byte.
    """

    __slots__ = ("_moved_bytes", "done", "lost", "num_bytes", "order", "path", "start_s", "status", "stream",
                 "target_bytes")  # fmt: skip

    def __init__(
        self, path: Path, num_bytes: float, start_s: float, order: int, done: Told, lost: Told | None
    ) -> None:
        self.path = path
        self.num_bytes = num_bytes
        self.start_s = start_s
        self.order = order
        self.status: Status = "moving"
        self.done = done
        self.lost = lost
        self.stream: Stream | None = None
        self.target_bytes = 0.0
        self._moved_bytes = 0.0

    def moved_bytes(self, now_s: float) -> float:
        """How many of its bytes have been sent by ``now_s``, which is the present. Pure query."""
        if self.stream is None:
            return self._moved_bytes
        left = self.target_bytes - self.stream.moved_bytes(now_s)
        return min(self.num_bytes, max(0.0, self.num_bytes - left))

    def leave(self, moved_bytes: float) -> None:
        """It moves no more; so much of it has been sent, which its links have carried."""
        self.stream = None
        self._moved_bytes = moved_bytes
        for link, share in self.path.hops:
            link.carried_bytes += moved_bytes * share


Told = Callable[[Transfer], None]
"""Told of a transfer that has arrived, or is lost."""


class Stream:
    """Transfers over the same links under the same limit, which therefore move alike.

    One sum serves them all: what each has moved that was there from the beginning. A transfer ends when
    the sum reaches its target: what it was when the transfer joined, plus the transfer's own bytes.

    Attributes:
        hops: Links and shares, as in :class:`~llmsim.sim.links.Path`.
        shared: Those of them that may limit it.
        limit_bytes_per_s: Most that each transfer may have.
        bytes_per_s: What each has now.
        size: How many transfers it has.
        end_s: When the first of them ends, if nothing changes.
    """

    __slots__ = ("_queue", "_start_bytes", "_start_s", "bytes_per_s", "end_s", "hops", "limit_bytes_per_s",
                 "shared", "size")  # fmt: skip

    def __init__(self, hops: tuple[tuple[Link, float], ...], limit_bytes_per_s: float, now_s: float) -> None:
        self.hops = hops
        self.limit_bytes_per_s = limit_bytes_per_s
        self.look_at_capacities()
        self.bytes_per_s = 0.0
        self.size = 0
        self.end_s = inf
        self._queue: list[tuple[float, int, Transfer]] = []
        self._start_s = now_s
        self._start_bytes = 0.0

    def look_at_capacities(self) -> None:
        """See which links may limit it."""
        self.shared = tuple(hop for hop in self.hops if hop[0].bytes_per_s < inf)

    def moved_bytes(self, now_s: float) -> float:
        """The sum at ``now_s``. Pure query."""
        return self._start_bytes + self.bytes_per_s * (now_s - self._start_s)

    def add(self, transfer: Transfer, now_s: float) -> None:
        """``transfer`` moves in here from now on."""
        transfer.stream = self
        transfer.target_bytes = self.moved_bytes(now_s) + transfer.num_bytes
        heappush(self._queue, (transfer.target_bytes, transfer.order, transfer))
        self.size += 1

    def drop(self, transfer: Transfer, now_s: float) -> None:
        """``transfer`` goes before its end; its entry in the queue is skipped when it comes up."""
        transfer.leave(transfer.moved_bytes(now_s))
        self.size -= 1

    def transfers(self) -> list[Transfer]:
        """Those in it, in no particular order. Pure query."""
        return [transfer for _, _, transfer in self._queue if transfer.stream is self]

    def move_at(self, bytes_per_s: float, now_s: float) -> None:
        """Each transfer moves at this rate from now on."""
        if bytes_per_s != self.bytes_per_s:
            self._start_bytes, self._start_s = self.moved_bytes(now_s), now_s
            self.bytes_per_s = bytes_per_s
        self.end_s = self._next_end_s(now_s)

    def take_ended(self, now_s: float) -> list[Transfer]:
        """Those that have moved their last byte by ``now_s``, which leave. ``end_s`` waits for the next rate."""
        ended = []
        while self._next_end_s(now_s) <= now_s:
            _, _, transfer = heappop(self._queue)
            transfer.leave(transfer.num_bytes)
            self.size -= 1
            ended.append(transfer)
        self.end_s = inf
        return ended

    def _next_end_s(self, now_s: float) -> float:
        queue = self._queue
        while queue and queue[0][2].stream is not self:
            heappop(queue)
        if not queue or not self.bytes_per_s:
            return inf
        return max(now_s, self._start_s + (queue[0][0] - self._start_bytes) / self.bytes_per_s)
