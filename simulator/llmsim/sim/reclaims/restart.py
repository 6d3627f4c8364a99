"""Reclaims without any move: go on until the end, or stop taking requests."""

from __future__ import annotations

from llmsim.sim.instances import Deployment
from llmsim.sim.reclaims.base import Reclaim


class Restart(Reclaim):
    """Serve as if nothing were coming; then everything on it starts over elsewhere."""

    def noticed(self, deployment: Deployment, deadline_s: float) -> None:
        """See :class:`Reclaim`."""


class Drain(Reclaim):
    """Take no new requests from the notice on; what is done in time is saved, the rest starts over."""

    def noticed(self, deployment: Deployment, deadline_s: float) -> None:
        """See :class:`Reclaim`."""
        if deployment.state == "serving":
            self.supply.drain(deployment)
