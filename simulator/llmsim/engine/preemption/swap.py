"""Preemption by swapping: KV goes to host memory, and comes back before its request goes on."""

from __future__ import annotations

from itertools import takewhile
from math import inf
from typing import TYPE_CHECKING

from pydantic import Field

from llmsim.engine.pipe import Pipe
from llmsim.engine.preemption.host import HOST, HostMemory
from llmsim.engine.preemption.recompute import Recompute
from llmsim.engine.request import Request
from llmsim.engine.run import TIE
from llmsim.spec.base import Strict
from llmsim.units import GIB

if TYPE_CHECKING:
    from llmsim.engine.kv.base import KVCache


class SwapOptions(Strict):
    """Options of ``preemption_mode: {kind: swap}``."""

    swap_space: float = Field(
        4.0,
        ge=0,
        le=1e6,
        description="host memory of each accelerator that KV is put away in; who finds it full is recomputed",
        json_schema_extra={"unit": "GiB"},
    )


class Swap(Recompute):
    """A preempted request's KV is copied to host memory, and back before it goes on.

    The iteration that needed the blocks starts when the copy is out, as does every other one planned meanwhile; the
    iteration that a request comes back with starts when its KV is in, behind what goes out at the same decision, as
    it may take the same blocks. Coming back costs one token of prefill, as after :meth:`Batch.pause`. A request that
    finds the host full is recomputed. What a prefix cache still has need not come back.

    A scheduler may also move the KV of parked requests while iterations run: :meth:`send_out`, :meth:`send_in`.

    Only tokens that were computed are copied, at the full rate of the link: the time that vLLM loses to small copies,
    block by block (paper, Fig. 19), is left out, as no figure is published for it. Of layers that keep a window what
    they keep is copied; recurrent states count nothing where all layers keep all. A request of several sequences goes
    on from what one of them has, as with recompute.

    Source: Kwon et al. 2023, arXiv 2309.06180, §4.5; vLLM V0, ``--preemption-mode swap`` and ``--swap-space``.
    """

    Options = SwapOptions
    options: SwapOptions
    uses_host = True

    def __init__(self, host: HostMemory = HOST, options: SwapOptions | None = None) -> None:
        super().__init__(host, options or SwapOptions())
        self.room = host.tokens_in(self.options.swap_space * GIB)
        """Tokens that the host holds, of which …"""
        self.held = 0
        """… this many are taken."""
        self.out, self.back = Pipe(host.bytes_per_s), Pipe(host.bytes_per_s)
        self._away: dict[Request, int] = {}  # tokens on the host, or on their way, by whose they are
        self._leaving: dict[Request, float] = {}  # when the copies under way are there, the first one first
        self._returning: dict[Request, float] = {}
        self._going = self._coming = 0
        """Tokens that the plan under way moves."""
        self._out_s = 0.0
        """When the last of what has gone is out."""

    @property
    def num_kept(self) -> int:  # type: ignore[override]  # counted here
        """See :class:`Recompute`."""
        return len(self._away)

    def put_away(self, kv: KVCache, req: Request, written: int) -> int:
        """See :class:`Recompute`."""
        tokens = kv.worth_tokens(req, written)
        kv.release(req)
        if req in self._leaving:  # the copy under way is waited for
            self._out_s = max(self._out_s, self._leaving.pop(req))
            return written
        if not self._take_room(req, tokens):
            return 0
        self._going += tokens
        return written

    def _take_room(self, req: Request, tokens: int) -> bool:
        """Room on the host for ``tokens`` tokens of ``req``; False when there is none, or nothing to keep."""
        if not tokens or self.held + tokens > self.room:
            return False
        self._away[req] = tokens
        self.held += tokens
        return True

    def admit(self, kv: KVCache, req: Request, tokens: int, found: int) -> bool:
        """See :class:`Recompute`."""
        if not kv.reserve(req, tokens):
            return False
        self.came_back(req, 0)
        return True

    def came_back(self, req: Request, cached: int) -> None:
        """See :class:`Recompute`."""
        self._coming += max(0, self._forget(req) - cached)

    def let_go(self, kv: KVCache, req: Request) -> int:
        """See :class:`Recompute`."""
        return self._forget(req)

    def _forget(self, req: Request) -> int:
        self._leaving.pop(req, None)
        self._returning.pop(req, None)
        tokens = self._away.pop(req, 0)
        self.held -= tokens
        return tokens

    def ready_s(self, now_s: float) -> float:
        """See :class:`Recompute`."""
        size = self.host.bytes_per_token
        if self._going:
            self._out_s = self.out.send(self._going * size, now_s)
            self.moved_out_tokens += self._going
            self._going = 0
        ready_s = max(now_s, self._out_s)
        if self._coming:
            ready_s = self.back.send(self._coming * size, ready_s)
            self.moved_in_tokens += self._coming
            self._coming = 0
        return ready_s

    # --- while iterations run -------------------------------------------------------------------

    def is_away(self, req: Request) -> bool:
        """Whether the KV of ``req`` is on the host, and nowhere else. Pure query."""
        return req in self._away and req not in self._leaving and req not in self._returning

    def send_out(self, kv: KVCache, req: Request, now_s: float) -> bool:
        """Start to copy out the KV of ``req``, which is parked and holds its blocks until then; False without room."""
        tokens = kv.worth_tokens(req, req.computed)
        if not self._take_room(req, tokens):
            return False
        self._leaving[req] = self.out.send(tokens * self.host.bytes_per_token, now_s)
        self.moved_out_tokens += tokens
        return True

    def stay(self, req: Request) -> None:
        """``req``, whose KV is being copied out, goes on with what it has on the device."""
        self._forget(req)

    def send_in(self, kv: KVCache, req: Request, now_s: float) -> bool:
        """Start to bring back the KV of ``req``, which is away, and park it; False when the pool has no room.

        It gets room for the token that it goes on with as well.
        """
        if not kv.reserve(req, req.computed + 1):
            return False
        kv.park(req)
        tokens = self._away[req]
        self._returning[req] = self.back.send(tokens * self.host.bytes_per_token, max(now_s, self._out_s))
        self.moved_in_tokens += tokens
        return True

    def arrived(self, kv: KVCache, now_s: float) -> tuple[list[Request], list[Request]]:
        """Copies done by now: whose blocks are free with that, and whose KV is back. Changes the pool."""
        moment_s = now_s * (1 + TIE)
        gone = list(takewhile(lambda req: self._leaving[req] <= moment_s, self._leaving))
        back = list(takewhile(lambda req: self._returning[req] <= moment_s, self._returning))
        for req in gone:
            del self._leaving[req]
            kv.unpark(req)
            kv.release(req)
        for req in back:
            self._forget(req)
        return gone, back

    @property
    def next_s(self) -> float:
        """When the next copy under way is done; ∞ without one. Pure query."""
        first = (next(iter(ends.values()), inf) for ends in (self._leaving, self._returning))
        return min(first)
