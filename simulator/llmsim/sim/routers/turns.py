"""Routers that know nothing: each in turn, or any."""

from __future__ import annotations

from collections.abc import Sequence

from llmsim.engine.request import Request
from llmsim.sim.replica import Replica
from llmsim.sim.routers.base import Router, Setting
from llmsim.spec.base import Strict


class RoundRobin(Router):
    """Each replica in turn."""

    _next = 0

    def choose(self, req: Request) -> Replica:
        """See :class:`Router`."""
        replica = self.replicas[self._next]
        self._next = (self._next + 1) % len(self.replicas)
        return replica

    def left(self, replica: Replica) -> None:
        """See :class:`Router`. Whoever was next stays next."""
        position = self.replicas.index(replica)
        super().left(replica)
        self._next -= position < self._next
        if self._next >= len(self.replicas):
            self._next = 0


class RandomChoice(Router):
    """Any replica, all equally likely."""

    def __init__(self, replicas: Sequence[Replica], options: Strict | None, setting: Setting) -> None:
        super().__init__(replicas, options, setting)
        self._uniforms = setting.uniforms("random")

    def choose(self, req: Request) -> Replica:
        """See :class:`Router`."""
        return self.replicas[int(next(self._uniforms) * len(self.replicas))]
