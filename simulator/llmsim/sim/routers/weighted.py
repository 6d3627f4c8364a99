"""The router that divides requests among pools by given shares."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, field_validator

from llmsim import plugins
from llmsim.engine.request import Request
from llmsim.errors import CatalogError
from llmsim.registry import nearest
from llmsim.sim.replica import Replica
from llmsim.sim.routers.base import Destination, Router, Setting
from llmsim.spec.base import Place, Strict

if TYPE_CHECKING:
    from llmsim.spec.scenario import Scenario


class WeightedOptions(Strict):
    """Options of ``router: {kind: weighted}``."""

    weights: dict[str, Annotated[float, Field(ge=0)]] = Field(
        min_length=1, description="share of the requests of each pool, by its name; 0 or left out gets none"
    )
    within: str = Field("round_robin", description="the router inside a pool, with its default options")

    @field_validator("weights")
    @classmethod
    def _any(cls, value: dict[str, float]) -> dict[str, float]:
        if not sum(value.values()):
            raise ValueError("every weight is 0; give one pool more")
        return value

    @field_validator("within")
    @classmethod
    def _router(cls, value: str) -> str:
        if value in ("weighted", "central_queue"):
            raise ValueError(f"{value} cannot be inside of a pool; name another router")
        try:
            plugins.ROUTERS.get(value)
        except CatalogError as error:
            raise ValueError(str(error)) from None
        return value


class Weighted(Router):
    """A pool at random, by the weights; within it, a router of its own.

    Weights are on pools because that is what a gateway's weighted back ends are (Gateway API
    ``backendRefs.weight``, Envoy weighted clusters): canaries, and pools of unlike accelerators. While a
    pool has no replica, its share goes to the others in proportion.
    """

    Options = WeightedOptions
    options: WeightedOptions
    watches = True

    def __init__(self, replicas: Sequence[Replica], options: Strict | None, setting: Setting) -> None:
        super().__init__((), options, setting)
        self.needs = plugins.ROUTERS.get(self.options.within).needs
        self._uniforms = setting.uniforms("weighted")
        within = plugins.ROUTERS.get(self.options.within)
        self._pools: dict[str, Router] = {
            pool: within((), within.Options(), setting._replace(name=f"{setting.name}{pool}"))
            for pool in self.options.weights
        }
        for replica in replicas:
            self.joined(replica)

    def choose(self, req: Request) -> Destination:
        """See :class:`Router`."""
        open_pools = [pool for pool, router in self._pools.items() if router.replicas]
        shares = list(accumulate(self.options.weights[pool] for pool in open_pools))
        place = bisect_right(shares, next(self._uniforms) * shares[-1])
        return self._pools[open_pools[min(place, len(shares) - 1)]].choose(req)

    def joined(self, replica: Replica) -> None:
        """See :class:`Router`. A pool without a weight takes no part."""
        if self.options.weights.get(replica.pool):
            super().joined(replica)
            self._pools[replica.pool].joined(replica)

    def left(self, replica: Replica) -> None:
        """See :class:`Router`."""
        if self.options.weights.get(replica.pool):
            super().left(replica)
            self._pools[replica.pool].left(replica)

    def sent(self, req: Request, replica: Replica) -> None:
        """See :class:`Router`."""
        self._pools[replica.pool].sent(req, replica)

    def gone(self, requests: Sequence[Request], replica: Replica) -> None:
        """See :class:`Router`."""
        self._pools[replica.pool].gone(requests, replica)

    @classmethod
    def conflicts(cls, options: dict[str, Any], scenario: Scenario) -> Iterator[tuple[Place, str]]:
        """See :class:`Router`."""
        pools = [pool.name for pool in scenario.fleet]
        for name in options["weights"]:
            if name not in pools:
                yield ("router", "weights", name), f"no pool is called '{name}'; {nearest(name, pools)}"
        served = {scenario.model_of(pool).ref for pool in scenario.fleet if options["weights"].get(pool.name)}
        for pool in scenario.fleet:
            if scenario.model_of(pool).ref not in served:
                yield (
                    ("router", "weights"),
                    f"no pool with {scenario.model_of(pool).ref} has a weight; add '{pool.name}'",
                )
        yield from plugins.ROUTERS.get(options["within"]).conflicts({}, scenario)
