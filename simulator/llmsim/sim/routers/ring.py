"""Consistent hashing: each key has a place among the replicas that outlives their comings and goings."""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Iterable, Iterator
from hashlib import blake2b

from llmsim.sim.replica import Replica

POINTS = 256
"""Points of a replica on the ring. Its share of the keys varies by about 1/sqrt(POINTS), 6%."""


class HashRing:
    """Replicas at pseudo-random points of a ring; a key belongs to the first point after it.

    When a replica goes, only its own keys move; when one comes, it takes its share and no other moves.

    Source: Karger et al. 1997, "Consistent Hashing and Random Trees", STOC.
    """

    def __init__(self, replicas: Iterable[Replica]) -> None:
        self._owners: dict[int, Replica] = {}
        self._points: list[int] = []
        for replica in replicas:
            self._owners.update(dict.fromkeys(_points(replica), replica))
        self._points = sorted(self._owners)

    def add(self, replica: Replica) -> None:
        """``replica`` takes its places."""
        for point in _points(replica):
            self._owners[point] = replica
            insort(self._points, point)

    def remove(self, replica: Replica) -> None:
        """``replica`` gives its places up."""
        for point in _points(replica):
            del self._owners[point]
        self._points = sorted(self._owners)

    def owner(self, key: str) -> Replica:
        """Whose ``key`` is."""
        points = self._points
        return self._owners[points[bisect_right(points, _hash(key)) % len(points)]]

    def owners(self, key: str) -> Iterator[Replica]:
        """Every replica once, in the order in which ``key`` falls to them."""
        points = self._points
        first, met = bisect_right(points, _hash(key)), set()
        for step in range(len(points)):
            replica = self._owners[points[(first + step) % len(points)]]
            if replica not in met:
                met.add(replica)
                yield replica


def _points(replica: Replica) -> list[int]:
    return [_hash(f"replica {replica.engine.index} point {point}") for point in range(POINTS)]


def _hash(text: str) -> int:
    """The same in every process, unlike Python's own; 64 bits."""
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big")
