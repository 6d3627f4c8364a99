"""What a router knows of the replicas' loads: the truth, or a snapshot of it that grows old."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from llmsim.engine.request import Request
from llmsim.engine.run import TIE
from llmsim.sim.replica import Replica
from llmsim.sim.routers.base import Router, Setting
from llmsim.spec.base import Strict
from llmsim.units import Quantity


class LoadOptions(Strict):
    """Options of every router that goes by loads."""

    snapshot_interval_ms: Annotated[float, Quantity("ms")] = Field(
        0.0,
        ge=0,
        description="how often the router asks the replicas for their loads; 0 knows them at any time. The "
        "endpoint picker of the Gateway API inference extension and llm-d: 50",
    )
    counts_own: bool = Field(
        True,
        description="between two snapshots, add what the router itself has sent since (SGLang's and vLLM's routers "
        "keep such counts; llm-d's queue scorer goes by the scraped metrics alone: false)",
    )


class Snapshots:
    """When the router's knowledge is renewed: at the first request of each interval. Without one, always."""

    def __init__(self, options: LoadOptions, setting: Setting) -> None:
        self.counts_own = options.counts_own
        self._interval_s = options.snapshot_interval_ms / 1e3
        self._clock = setting.clock
        self._last = -1

    @property
    def are_live(self) -> bool:
        """Whether nothing is ever old."""
        return not self._interval_s

    def is_due(self) -> bool:
        """Whether the interval is over; from then on the next one runs."""
        interval = int(self._clock.now * (1 + TIE) / self._interval_s)
        due = interval != self._last
        self._last = interval
        return due


class RequestLoads(Router):
    """A router that keeps count of the requests at each replica.

    Live counts are told by whoever sends and delivers, so that no request costs a look at every
    replica; what is left is finding the least in a list of whole numbers.

    Attributes:
        known: Requests at each replica, waiting or running, as the router knows them, in the order of
            ``replicas``.
    """

    Options = LoadOptions
    options: LoadOptions
    watches = True

    def __init__(self, replicas: Sequence[Replica], options: Strict | None, setting: Setting) -> None:
        super().__init__(replicas, options, setting)
        self._snapshots = Snapshots(self.options, setting)
        self._live = [replica.num_requests for replica in self.replicas]
        self.known = self._live if self._snapshots.are_live else self._live.copy()
        self._number_off()

    def look(self) -> list[int]:
        """``known``, renewed if it is time."""
        if self.known is not self._live and self._snapshots.is_due():
            self.known[:] = self._live
        return self.known

    def sent(self, req: Request, replica: Replica) -> None:
        """See :class:`Router`."""
        position = self._positions.get(replica)
        if position is not None:
            self._live[position] = replica.num_requests
            if self.known is not self._live and self._snapshots.counts_own:
                self.known[position] += 1

    def gone(self, requests: Sequence[Request], replica: Replica) -> None:
        """See :class:`Router`."""
        position = self._positions.get(replica)
        if position is not None:
            self._live[position] = replica.num_requests

    def joined(self, replica: Replica) -> None:
        """See :class:`Router`. A newcomer is asked for its load at once."""
        super().joined(replica)
        self._live.append(replica.num_requests)
        if self.known is not self._live:
            self.known.append(self._live[-1])
        self._number_off()

    def left(self, replica: Replica) -> None:
        """See :class:`Router`."""
        position = self._positions[replica]
        super().left(replica)
        del self._live[position]
        if self.known is not self._live:
            del self.known[position]
        self._number_off()

    def _number_off(self) -> None:
        self._positions = {replica: position for position, replica in enumerate(self.replicas)}
