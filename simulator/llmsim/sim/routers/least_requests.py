"""Routers that go by the number of requests at each replica."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from llmsim.engine.request import Request
from llmsim.sim.replica import Replica
from llmsim.sim.routers.base import Setting
from llmsim.sim.routers.loads import LoadOptions, RequestLoads
from llmsim.spec.base import Strict


class LeastRequests(RequestLoads):
    """The replica with the fewest requests, waiting or running; the first of equals."""

    def choose(self, req: Request) -> Replica:
        """See :class:`Router`."""
        known = self.look()
        return self.replicas[known.index(min(known))]


class PowerOfTwoOptions(LoadOptions):
    """Options of ``router: {kind: power_of_two}``."""

    d: int = Field(2, ge=1, description="replicas that are compared for a request")


class PowerOfTwo(RequestLoads):
    """Of ``d`` replicas picked at random, the one with the fewest requests; the first of equals.

    Source: Mitzenmacher 2001, "The Power of Two Choices in Randomized Load Balancing", IEEE TPDS 12(10).
    """

    Options = PowerOfTwoOptions
    options: PowerOfTwoOptions

    def __init__(self, replicas: Sequence[Replica], options: Strict | None, setting: Setting) -> None:
        super().__init__(replicas, options, setting)
        self._uniforms = setting.uniforms("power_of_two")

    def choose(self, req: Request) -> Replica:
        """See :class:`Router`."""
        known, count = self.look(), len(self.replicas)
        if self.options.d >= count:
            return self.replicas[known.index(min(known))]
        picked: set[int] = set()
        while len(picked) < self.options.d:
            picked.add(int(next(self._uniforms) * count))
        return self.replicas[min(sorted(picked), key=known.__getitem__)]
