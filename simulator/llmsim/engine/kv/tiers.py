"""Memories below the KV pool: host, NVMe, remote. What goes down, what comes up, and when it is there.

CachedAttention (Gao et al. 2024, arXiv 2403.19708), LMCache and Mooncake Store (Qin et al. 2025) keep KV in such tiers.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field

from llmsim.engine.kv.shares import shares_of
from llmsim.engine.kv.store import Store
from llmsim.engine.pipe import Pipe
from llmsim.engine.request import Request

Share = tuple[int, Hashable, int]
"""(tier, hash block, KV blocks of it that come from there)."""


@dataclass
class Tier:
    """One memory, as a replica sees it.

    Attributes:
        kind: Its name in reports.
        store: What lies in it; replicas that share the memory share the object.
        reads, writes: Its two directions.
        writes_through: Whether it is given what a request has made when that ends, and not what the tier above forgets.
        loads_if_faster: Whether what is found here is left where it would be computed sooner.
        prefetches: Whether what a request finds here comes up to the first tier while that request waits.
        is_host: Whether what lies further down passes through it.
        hit_blocks: KV blocks that requests found here when they were first admitted.
        read_blocks, written_blocks: What was moved out of it and into it.
    """

    kind: str
    store: Store
    reads: Pipe
    writes: Pipe
    writes_through: bool = False
    loads_if_faster: bool = False
    prefetches: bool = False
    is_host: bool = False
    hit_blocks: int = field(default=0, init=False)
    read_blocks: int = field(default=0, init=False)
    written_blocks: int = field(default=0, init=False)


class Tiers:
    """The memories below one replica's pool, the fastest first.

    Bytes on their way between the accelerator and a tier below the host's pass through host memory, over both links at
    a time: they are there when the slower of the two has carried them.

    Args:
        tiers: The memories.
        block_size: Tokens in a KV block.
        block_bytes: Size of a KV block.

    Attributes:
        waited_s: For how long iterations have waited for KV on its way.
    """

    def __init__(self, tiers: Sequence[Tier], block_size: int, block_bytes: float) -> None:
        self.tiers = tiers
        self.block_size = block_size
        self.block_bytes = block_bytes
        self.waited_s = 0.0
        host = next((tier for tier in tiers if tier.is_host), None)
        self._up = [_path(tier.reads, host.reads if host else None) for tier in tiers]
        self._down = [_path(tier.writes, host.writes if host else None) for tier in tiers]

    def find(self, req: Request, start: int, staged: dict[Hashable, int]) -> list[Share]:
        """Where ``req``'s KV blocks from ``start`` on are, as far as they follow one another. Pure query.

        Args:
            staged: Hash blocks that the pool has just forgotten, on their way to the first tier.
        """
        found: list[Share] = []
        most = (req.prefill_target - 1) // self.block_size
        if start >= most:
            return found
        for key, first, end in shares_of(req, start, most, self.block_size):
            have = first
            for index, tier in enumerate(self.tiers):
                count = tier.store.blocks.get(key, 0)
                if not index and staged and not tier.writes_through:
                    count = max(count, staged.get(key, 0))
                if count > have:
                    found.append((index, key, min(count, end) - have))
                    have = min(count, end)
            if have < end:
                break
        return found

    def worthwhile(
        self, shares: Sequence[Share], start: int, now_s: float, computed_s: Callable[[int, int], float]
    ) -> Sequence[Share]:
        """``shares``, which go on from KV block ``start``, up to what would be computed sooner. Pure query.

        Args:
            computed_s: Seconds to compute a prompt of so many tokens, of which so many are there.
        """
        for index in reversed(range(len(self.tiers))):
            first = next((at for at, share in enumerate(shares) if share[0] == index), None)
            if first is None or not self.tiers[index].loads_if_faster:
                continue
            before = start + sum(count for _, _, count in shares[:first])
            after = before + sum(count for _, _, count in shares[first:])
            size = self.block_size
            if self._loaded_s(shares[first:], now_s) - now_s > computed_s(after * size, before * size):
                shares = shares[:first]
        return shares

    def _loaded_s(self, shares: Sequence[Share], now_s: float) -> float:
        """When ``shares`` would be in the pool. Pure query."""
        ready_s = max(self.tiers[index].store.there_s.get(key, 0.0) for index, key, _ in shares)
        for index, path in enumerate(self._up):
            size = self.block_bytes * sum(count for each, _, count in shares if each == index)
            if size:
                ready_s = max(ready_s, *(pipe.would_arrive_s(size, now_s) for pipe in path))
        return ready_s

    def keep(self, shares: Sequence[tuple[Hashable, int]], now_s: float) -> float:
        """The pool forgets the first blocks of hash blocks; returns when their room may be used again.

        That is when their copy has arrived in the first tier, if that is where they go or have gone.
        """
        first = self.tiers[0]
        if not first.writes_through:
            self._put(0, shares, now_s, self._down[0])
        there_s = first.store.there_s
        return max(now_s, *(there_s.get(key, 0.0) for key, _ in shares))

    def write_through(self, shares: Sequence[tuple[Hashable, int]], now_s: float) -> None:
        """A request that made or found them has ended: the tiers that are told so get what they lack."""
        for index, tier in enumerate(self.tiers):
            if tier.writes_through:
                self._put(index, shares, now_s, self._down[index])

    def load(self, found: Sequence[Share], now_s: float) -> float:
        """``found`` goes up into the pool; returns when all of it is there."""
        ready_s = now_s
        counts = [0] * len(self.tiers)
        for index, key, count in found:
            counts[index] += count
            self.tiers[index].store.awaited.pop(key, None)
            ready_s = max(ready_s, self.tiers[index].store.there_s.get(key, 0.0))
        for index, count in enumerate(counts):
            if count:
                self.tiers[index].read_blocks += count
                ready_s = max(ready_s, self._send(self._up[index], count, now_s))
        return ready_s

    def touch(self, req: Request, start: int) -> None:
        """``req`` uses its blocks from ``start`` on: whatever tier has them keeps their first ones longest."""
        most = (req.prefill_target - 1) // self.block_size
        for key in reversed([key for key, _, _ in shares_of(req, start, most, self.block_size)]):
            for tier in self.tiers:
                tier.store.touch(key)

    def prefetch(self, req: Request, wanted: Iterable[tuple[Hashable, int]], now_s: float) -> None:
        """``req`` waits, and will need what the pool has not: what of it lies low comes up to the first tier."""
        top = self.tiers[0].store
        for key, count in wanted:
            for tier in self.tiers[1:]:
                there = min(tier.store.blocks.get(key, 0), count)
                new = there - top.blocks.get(key, 0)
                if new > 0 and tier.prefetches:
                    tier.read_blocks += new
                    ready_s = max(tier.store.there_s[key], tier.reads.send(new * self.block_bytes, now_s))
                    top.awaited[key] = req
                    self._take_in(0, [(key, there)], ready_s, now_s)
            if top.blocks.get(key, 0) < count:
                break

    def _put(
        self, index: int, shares: Sequence[tuple[Hashable, int]], now_s: float, path: Sequence[Pipe]
    ) -> float:
        """Tier ``index`` is to have the first blocks of hash blocks, over ``path``; returns when it has."""
        blocks = self.tiers[index].store.blocks
        new = sum(max(0, count - blocks.get(key, 0)) for key, count in shares)
        there_s = self._send(path, new, now_s) if new else now_s
        return self._take_in(index, shares, there_s, now_s)

    def _take_in(
        self, index: int, shares: Sequence[tuple[Hashable, int]], there_s: float, now_s: float
    ) -> float:
        """What is sent to tier ``index`` is there at ``there_s``, or once what makes room for it has gone down."""
        tier = self.tiers[index]
        lacking, new = tier.store.put(shares)
        tier.written_blocks += new
        lost = tier.store.trim() if new else []
        below = index + 1
        if lost and below < len(self.tiers) and not self.tiers[below].writes_through:
            there_s = max(there_s, self._put(below, lost, now_s, (self.tiers[below].writes,)))
        tier.store.arrives(lacking, there_s)
        return there_s

    def _send(self, path: Sequence[Pipe], count: int, now_s: float) -> float:
        size = count * self.block_bytes
        return max(pipe.send(size, now_s) for pipe in path)


def _path(own: Pipe, hosts: Pipe | None) -> tuple[Pipe, ...]:
    return (own,) if hosts is None or hosts is own else (own, hosts)
