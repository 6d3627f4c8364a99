"""When a run is given up: the fleet loses instance after instance, and nobody is served."""

from __future__ import annotations

from dataclasses import dataclass, field

from llmsim.measure.fleet_log import FleetEvent, FleetLog
from llmsim.sim.fleet import Fleet

LOSSES = 10_000
"""Instances lost in a row, without a request done, after which none ever will be: an assumption."""


@dataclass
class WatchedLog(FleetLog):
    """A log that stops the clock once ``LOSSES`` instances went while requests were there and none was done.

    Reclaims that come faster than an instance starts, or than a request that starts over can end, would go on
    for ever.

    Attributes:
        fleet: Whose clock and requests they are.
    """

    fleet: Fleet = field(kw_only=True, repr=False)
    _num_finished: int = 0
    _losses: int = 0

    def add(self, event: FleetEvent) -> None:
        """See :class:`FleetLog`."""
        super().add(event)
        if event.kind not in ("reclaimed", "crashed"):
            return
        fleet = self.fleet
        if self._num_finished != fleet.num_finished or fleet.num_finished == len(fleet.requests):
            self._num_finished, self._losses = fleet.num_finished, 0
        self._losses += 1
        if self._losses == LOSSES:
            self.given_up = f"{LOSSES:,} instances were lost in a row without a request being done"
            fleet.clock.stopped = True
