"""Preemption by recompute, and what every preemption mode is asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llmsim.engine.preemption.host import HOST, HostMemory
from llmsim.engine.request import Request
from llmsim.spec.base import Strict

if TYPE_CHECKING:
    from llmsim.engine.kv.base import KVCache


class Recompute:
    """What a preempted request had is thrown away, and computed anew with what it generated (vLLM's default).

    Other modes derive from this one. The pool tells its mode what happens to requests; the mode says what they
    find when they come back, and when the KV that they need is there.

    Args:
        host: The memory behind the replica's accelerators, for modes that use it.

    Attributes:
        needs_blocks: Whether it works only with pools that give out blocks one by one, and share none.
        uses_host: Whether it needs a host link.
        num_kept: Requests that do not run and of which it keeps something.
        moved_out_tokens, moved_in_tokens: KV tokens it has sent to the host, and brought back, so far.
    """

    Options: type[Strict] = Strict
    needs_blocks = False
    uses_host = False
    num_kept = 0
    moved_out_tokens = 0
    moved_in_tokens = 0

    def __init__(self, host: HostMemory = HOST, options: Strict | None = None) -> None:
        self.host = host
        self.options = options

    def put_away(self, kv: KVCache, req: Request, written: int) -> int:
        """``req`` is thrown out of ``kv`` with ``written`` tokens in its KV. Changes the pool.

        Returns:
            How many of them it has for sure when it comes back.
        """
        kv.release(req)
        return 0

    def find(self, kv: KVCache, req: Request) -> int:
        """Tokens of ``req``, which waits, that need not be computed; less than ``prefill_target``. Pure query."""
        return req.computed

    def admit(self, kv: KVCache, req: Request, tokens: int, found: int) -> bool:
        """See :meth:`KVCache.admit`."""
        return kv.reserve(req, tokens)

    def came_back(self, req: Request, cached: int) -> None:
        """``req`` has room again, and its first ``cached`` tokens are in it already."""

    def freeing(self, kv: KVCache) -> None:
        """Blocks of ``kv`` are about to be given back."""

    def let_go(self, kv: KVCache, req: Request) -> int:
        """``req``, which waits, leaves the replica; returns how many tokens of it were kept, now gone."""
        return 0

    def ready_s(self, now_s: float) -> float:
        """When the KV is in place that the plan just made at ``now_s`` moves. Starts the moves."""
        return now_s
