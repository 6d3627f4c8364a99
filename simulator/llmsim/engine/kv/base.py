"""What the engine asks of a KV cache."""

from __future__ import annotations

from abc import ABC, abstractmethod

from llmsim.engine.preemption.recompute import Recompute
from llmsim.engine.request import Request
from llmsim.spec.attention import FOREVER
from llmsim.spec.base import Strict


class NoOptions(Strict):
    """A policy without options."""


class Growth:
    """Blocks that one batch's decoding sequences will ask for, iteration by iteration.

    The default never asks: right for caches that reserve everything when a request is admitted.

    Attributes:
        next_return: Iterations done by when blocks come back that no request's end gives; ``FOREVER`` for never.
    """

    next_return = FOREVER

    def join(self, req: Request, iteration: int) -> None:
        """``req``, holding ``kv_tokens``, decodes from ``iteration`` on."""

    def leave(self, req: Request, tokens: int) -> None:
        """``req`` decodes no longer; by now it was given room for ``tokens`` tokens."""

    def need(self, iteration: int) -> int:
        """Blocks that ``iteration`` asks for. Pure query."""
        return 0

    def need_over(self, iteration: int, count: int) -> int:
        """Blocks that ``count`` iterations from ``iteration`` on ask for together. Pure query."""
        return 0

    def give_back(self, iteration: int) -> int:
        """Blocks that come back now that ``iteration`` iterations are done; ``next_return`` moves on."""
        return 0

    def room(self, iteration: int, free_blocks: int) -> int:
        """Iterations from ``iteration`` on that ``free_blocks`` allow. Pure query."""
        return FOREVER


class KVCache(ABC):
    """A replica's KV pool, counted in blocks.

    Attributes:
        num_blocks, free_blocks: Size of the pool, and what of it nobody holds.
        block_size: Tokens in a block.
        num_tokens: Tokens of sequences that it holds together, if every layer keeps them all.
        num_sequences: Sequences of the requests that hold something, those that are parked left out.
        now_s: When it is asked, which is said before each plan, before a run's completions, and when all leave.
        parked: Requests that hold what they had while they do not run, in the order in which they were stopped.
        surely_fits: Tokens that an empty pool holds of any request, without asking :meth:`fits`.
        is_oracle: Whether admission reads the true output length.
        preemption: What becomes of the KV of who is thrown out.
    """

    Options: type[Strict] = NoOptions
    is_oracle = False

    def __init__(
        self, num_tokens: int, block_size: int, max_model_len: int, options: Strict | None = None
    ) -> None:
        self.block_size = block_size
        self.num_blocks = num_tokens // block_size
        self.free_blocks = self.num_blocks
        self.num_tokens = self.num_blocks * block_size
        self.max_model_len = max_model_len
        self.num_sequences = 0
        self.now_s = 0.0
        self.parked: dict[Request, None] = {}
        self.surely_fits = 0
        self.preemption = Recompute()

    @abstractmethod
    def fits(self, req: Request) -> bool:
        """Whether an empty pool could hold ``req`` to its end. Pure query."""

    def blocks_of(self, tokens: int) -> int:
        """Blocks of a request that has room for ``tokens`` tokens, none of them computed yet. Pure query."""
        return -(-tokens // self.block_size)

    @abstractmethod
    def reserve(self, req: Request, tokens: int) -> bool:
        """Give ``req`` room for its first ``tokens`` tokens. Changes the pool, or returns False."""

    def find(self, req: Request) -> int:
        """Tokens of ``req``, which waits, that need not be computed: it has them, or the pool still does.

        Less than ``prefill_target``: at least one token is always computed. Pure query.
        """
        return self.preemption.find(self, req)

    def admit(self, req: Request, tokens: int, found: int = 0) -> bool:
        """Give ``req``, which waits, room for its first ``tokens`` tokens. Changes the pool, or returns False.

        Args:
            found: What :meth:`find` has just said; ``req.computed`` becomes that. 0 reuses nothing.
        """
        return self.preemption.admit(self, req, tokens, found)

    @abstractmethod
    def release(self, req: Request) -> None:
        """Take back all that ``req`` holds. Changes the pool."""

    def take_back(self, blocks: int) -> None:
        """``blocks`` that decoding sequences held are free again. Changes the pool."""
        self.preemption.freeing(self)
        self.free_blocks += blocks

    def put_away(self, req: Request, written: int) -> int:
        """``req`` is thrown out with ``written`` tokens in its KV. Changes the pool.

        Returns:
            How many of them it has for sure when it comes back, without having to compute them.
        """
        return self.preemption.put_away(self, req, written)

    def expect(self, req: Request, now_s: float) -> None:  # noqa: B027  # most need not know
        """``req`` has come to the server at ``now_s`` and will be looked for: what is far may come nearer."""

    def ready_s(self, now_s: float) -> float:
        """When the KV is in place that the plan just made at ``now_s`` moves: its first iteration starts then."""
        return self.preemption.ready_s(now_s)

    def behind(self, wait_s: float, first_s: float) -> float:
        """Seconds of an iteration of ``first_s`` that has to wait ``wait_s`` for KV; the one may hide in the other."""
        return wait_s + first_s

    def park(self, req: Request) -> None:
        """``req`` runs no longer, and keeps its KV without taking a seat."""
        self.num_sequences -= req.width
        self.parked[req] = None

    def unpark(self, req: Request) -> None:
        """``req``, if it is parked, takes a seat again."""
        if req in self.parked:
            del self.parked[req]
            self.num_sequences += req.width

    def reclaim(self, req: Request) -> None:
        """The room of ``req``, which is parked, is taken back: it is preempted in earnest. Changes the pool."""
        self.unpark(req)
        req.computed = max(req.given_tokens, self.put_away(req, req.computed))

    def let_go(self, req: Request) -> int:
        """``req``, which waits, leaves; returns how many tokens of its KV were here, to be computed anew."""
        tokens = self.preemption.let_go(self, req)
        if req in self.parked:
            self.unpark(req)
            self.release(req)
            tokens = req.computed
        if tokens:
            req.computed = req.given_tokens
        return tokens

    def hold(self, tokens: int) -> Request | None:
        """Room for ``tokens`` tokens that no sequence runs on, such as KV on its way in or out; None without it.

        Returns:
            What holds the room until it is given to :meth:`unhold`. Changes the pool, unless None.
        """
        holder = Request(-1, 0.0, tokens, 1)
        if not self.reserve(holder, tokens):
            return None
        self.num_sequences -= 1  # it takes no seat
        return holder

    def unhold(self, holder: Request) -> None:
        """Take the room back. Changes the pool."""
        self.num_sequences += 1
        self.release(holder)

    def new_growth(self) -> Growth:
        """The growth of a new, empty batch."""
        return Growth()
