"""What lies in one memory below the KV pool: hash blocks, the least recently used forgotten first."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Iterable

from llmsim.engine.request import Request


class Store:
    """The first KV blocks of hash blocks, as many as there is room for.

    A hash block is written as a whole, so what is here of it are its first KV blocks; of the one used least recently
    the last are forgotten first, as in the pool above.

    Attributes:
        capacity: KV blocks it has room for.
        used, most_used: KV blocks in it, and the most there ever were.
        blocks: Hash block to its KV blocks here, the least recently used first.
        there_s: When the last of them has arrived.
        awaited: Hash block to a request that it was fetched for: kept while that waits and there are others to forget.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.used = self.most_used = 0
        self.blocks: OrderedDict[Hashable, int] = OrderedDict()
        self.there_s: dict[Hashable, float] = {}
        self.awaited: dict[Hashable, Request] = {}

    def touch(self, key: Hashable) -> None:
        """``key``, if it is here, has been used last."""
        if key in self.blocks:
            self.blocks.move_to_end(key)

    def put(self, shares: Iterable[tuple[Hashable, int]]) -> tuple[list[Hashable], int]:
        """The first blocks of hash blocks come in, so many of each, the last one used last.

        Returns:
            Those of which there were fewer, and how many blocks they lacked.
        """
        blocks, lacking, new = self.blocks, [], 0
        for key, count in shares:
            have = blocks.get(key, 0)
            if count > have:
                new += count - have
                blocks[key] = count
                lacking.append(key)
            if have:
                blocks.move_to_end(key)
        self.used += new
        return lacking, new

    def trim(self) -> list[tuple[Hashable, int]]:
        """Forget what there is no room for; returns each hash block that lost some, with what it had."""
        lost: list[tuple[Hashable, int]] = []
        excess, spared = self.used - self.capacity, 0
        while excess > 0:
            key, count = self.blocks.popitem(last=False)
            if key in self.awaited and spared < len(self.blocks):
                if self.awaited[key].status == "waiting":
                    self.blocks[key] = count
                    spared += 1
                    continue
                del self.awaited[key]
            lost.append((key, count))
            if count > excess:
                self.blocks[key] = count - excess
                self.blocks.move_to_end(key, last=False)
                count = excess
            else:
                self.there_s.pop(key, None)  # absent: it has just come in
            self.used -= count
            excess -= count
        self.most_used = max(self.most_used, self.used)
        return lost

    def arrives(self, keys: Iterable[Hashable], time_s: float) -> None:
        """What has come in of ``keys``, and has not been forgotten since, is there at ``time_s``."""
        for key in keys:
            if key in self.blocks:
                self.there_s[key] = max(time_s, self.there_s.get(key, 0.0))
