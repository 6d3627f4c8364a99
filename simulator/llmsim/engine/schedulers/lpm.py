"""Longest prefix match first: the order of the queue follows what the prefix cache holds (SGLang)."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from pydantic import Field

from llmsim.engine.batch import Batch
from llmsim.engine.kv.base import KVCache
from llmsim.engine.request import Request
from llmsim.engine.scheduler import Limits
from llmsim.engine.schedulers.chunked_prefill import ChunkedPrefill
from llmsim.spec.base import Place, Strict

if TYPE_CHECKING:
    from llmsim.spec.scenario import Scenario


class LongestPrefixOptions(Strict):
    """Options of ``scheduler: {kind: lpm}``."""

    most_sorted: int = Field(
        128, ge=1, le=100_000, description="while more requests wait than this, they go first come, first served",
        json_schema_extra={"unit": "requests"},
    )  # fmt: skip


class LongestPrefix(ChunkedPrefill):
    """Chunked prefill; of those who wait, the one of whose prompt the cache holds most goes first.

    The queue is put in order when somebody came, started, was thrown out or ended since the last time, and only while
    it is short: SGLang goes by arrival above 128, so that a step never looks at more. Requests nobody shares anything
    with may starve. With all requests there at once, one at a time, and a cache that holds the longest, this order is
    a depth-first walk of their tree, and no order has more hits.

    Source: Zheng et al. 2024, arXiv 2312.07104, §3 and Theorem 3.1; SGLang ``schedule_policy.py`` (``lpm``).
    """

    Options = LongestPrefixOptions
    options: LongestPrefixOptions  # type: ignore[assignment]  # its own keys, in place of the base's
    has_own_order = True
    whole_prompts = False

    def __init__(self, limits: Limits, kv: KVCache, options: Strict | None = None) -> None:
        super().__init__(limits, kv, options)
        self._in_order = False

    def submit(self, req: Request) -> None:
        """See :class:`Scheduler`."""
        self._in_order = False
        super().submit(req)

    def give_way(self, batch: Batch) -> Request:
        """See :class:`ChunkedPrefill`."""
        self._in_order = False
        return super().give_way(batch)

    def finish(self, batch: Batch, done: Sequence[Request], now_s: float) -> Sequence[Request]:
        """See :class:`Scheduler`."""
        self._in_order = self._in_order and not done
        return super().finish(batch, done, now_s)

    def _admit(self, batch: Batch, chunks: list[tuple[Request, int]], budget: int) -> bool:
        """See :class:`ChunkedPrefill`."""
        if not self._in_order and self.has_seat():
            self._put_in_order()
        unsettled = super()._admit(batch, chunks, budget)
        self._in_order = self._in_order and not chunks
        return unsettled

    def _put_in_order(self) -> None:
        """The longest match first, by arrival among equals; by arrival alone while too many wait."""
        self._in_order = True
        if len(self.waiting) <= self.options.most_sorted:
            self.waiting = deque(sorted(sorted(self.waiting, key=_arrival), key=self._negated_match))

    def _negated_match(self, req: Request) -> int:
        return -self.kv.find(req)

    def arrival_matters(self) -> bool:
        """See :class:`Scheduler`. Whoever comes may have the longest match."""
        return self.has_seat()

    @classmethod
    def conflicts(cls, options: dict[str, Any], scenario: Scenario, at: Place) -> Iterator[tuple[Place, str]]:
        """See :class:`Scheduler`."""
        if not any(scenario.engine_of(pool).caches_prefixes for pool in scenario.fleet):
            yield (
                at,
                "lpm goes by what a prefix cache holds; write `kv_cache: radix`, or `enable_prefix_caching: true`",
            )
        if scenario.router.kind == "central_queue":
            yield (
                at,
                "lpm is an order of the server's own queue, and router central_queue lets none form; take another one",
            )


def _arrival(req: Request) -> tuple[float, int]:
    return req.arrival_s, req.id
