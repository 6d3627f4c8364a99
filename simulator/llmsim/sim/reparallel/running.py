"""A pipeline at run time: its bytes come, it goes on with the requests it was given, it joins, it stops."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from llmsim.engine.request import Request
from llmsim.sim.build import PoolPlan
from llmsim.sim.clock import COMPLETION, SCHEDULING
from llmsim.sim.fleet import Fleet
from llmsim.sim.maker import Maker
from llmsim.sim.reparallel.switch import Pipeline
from llmsim.sim.replica import Replica

Hit = list[tuple[Request, int]]
"""Requests, each with the tokens it had in the KV cache."""


class Running:
    """A copy of the model on its devices.

    Args:
        shape: Stages, ranks and devices.
        fleet: Where its replica joins.
        maker: Makes it.

    Attributes:
        contexts: Requests that wait for it to begin, each with its KV tokens.
        serves: Whether it has begun.
    """

    def __init__(self, shape: Pipeline, fleet: Fleet, maker: Maker) -> None:
        self.shape = shape
        self.contexts: Hit = []
        self._fleet, self._clock, self._maker = fleet, fleet.clock, maker
        self._replica: Replica | None = None
        self._has_joined = self._is_gone = False

    @property
    def serves(self) -> bool:
        """Whether its bytes are there, and it is. Pure query."""
        return self._replica is not None

    @property
    def tokens(self) -> int:
        """KV tokens of its requests. Pure query."""
        waiting = sum(tokens for _, tokens in self.contexts)
        return waiting + (self._replica.kv_tokens if self._replica else 0)

    def holding(self, tokens: int) -> Pipeline:
        """Its shape with so many tokens. Pure query."""
        return Pipeline(self.shape.stages, self.shape.ranks, self.shape.devices, tokens)

    def open(self, plan: PoolPlan) -> None:
        """It is there at 0 s; routers begin with it."""
        (self._replica,) = self._maker.make(plan)
        self._has_joined = True

    def start(self, plan: PoolPlan, told: Callable[[], None]) -> None:
        """Its bytes are there. Nothing happens if it was stopped before."""
        if self._is_gone:
            return
        (self._replica,) = self._maker.make(plan)
        told()
        self._clock.call(
            self._clock.now, COMPLETION, partial(self._resume, self._replica)
        )  # its process has begun

    def _resume(self, replica: Replica) -> None:
        """It forms its first batch of the requests that came with it; then it joins the others."""
        if self._is_gone:
            return
        for req, tokens in self.contexts:
            req.moves += 1
            req.computed = max(req.computed, min(tokens, req.prefill_target - 1))
            replica.submit(req)
        self.contexts = []
        self._clock.call(self._clock.now, SCHEDULING + replica.engine.index + 1, partial(self._join, replica))

    def _join(self, replica: Replica) -> None:
        if not self._is_gone:
            self._has_joined = True
            self._fleet.door.joined(replica)

    def stop(self) -> Hit:
        """It ends in the middle of whatever it does, for good; returns its requests."""
        self._is_gone = True
        replica, door = self._replica, self._fleet.door
        if replica is None:
            return self.contexts
        if self._has_joined:
            door.left(replica)
        hit = replica.stop()
        self._maker.end(replica)
        if door.watches:
            door.gone([req for req, _ in hit], replica)
        return self.contexts + hit
