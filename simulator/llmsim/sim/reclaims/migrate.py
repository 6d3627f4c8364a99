"""Migration: the KV of running requests moves to other replicas within the notice."""

from __future__ import annotations

from pydantic import Field

from llmsim.sim.clock import COMPLETION
from llmsim.sim.exodus import Exodus
from llmsim.sim.instances import Deployment
from llmsim.sim.reclaims.base import Reclaim
from llmsim.spec.base import Strict

LOOK_AGAIN_S = 1.0
"""While there is no other replica to go to, one may yet come."""

SHORTEST_WAIT_S = 1e-3
"""Looks at the KV come ever closer to the moment of leaving; the last ones are not worth it."""


class MigrateOptions(Strict):
    """Options of ``on_reclaim: {kind: migrate}``."""

    margin: float = Field(
        0.2, ge=0, le=10, description="share by which the time for the transfers is planned longer than alone"
    )


class Migrate(Reclaim):
    """Serve until the KV just gets away in time, then send it, request by request, oldest first.

    As SpotServe's just-in-time arrangement (arXiv 2311.15566, §4.1), for replicas that keep their shape. A
    request whose KV has arrived goes on with the same remaining length; of one that the deadline cuts
    off, the tokens that got through are kept and the rest computed anew. Without another replica to go
    to, it serves on until the end.
    """

    Options = MigrateOptions
    moves_kv = True
    options: MigrateOptions

    def noticed(self, deployment: Deployment, deadline_s: float) -> None:
        """See :class:`Reclaim`."""
        self.supply.leave(deployment)
        self._wait_or_go(deployment, deadline_s)

    def _wait_or_go(self, deployment: Deployment, deadline_s: float) -> None:
        """Look again when the transfers would just be done in time, as the KV is now; go when that is now."""
        clock = self.supply.clock
        if deployment.state == "gone":
            return
        targets = [each for each in self.supply.serving if each.place is not None]
        if not targets:
            retry_s = clock.now + LOOK_AGAIN_S
            if retry_s < deadline_s:
                clock.call(retry_s, COMPLETION, lambda: self._wait_or_go(deployment, deadline_s))
            return
        needed_s = (1 + self.options.margin) * self.supply.moves.seconds(
            deployment.place,
            targets[0].place,
            sum(replica.kv_tokens for replica in deployment.replicas) * self.supply.plan.kv_bytes_per_token,
        )
        if deployment.is_empty or deadline_s - needed_s <= clock.now:
            Exodus(self.supply, deployment).begin()
        else:
            wait_s = max(SHORTEST_WAIT_S, (deadline_s - needed_s - clock.now) / 2)
            clock.call(clock.now + wait_s, COMPLETION, lambda: self._wait_or_go(deployment, deadline_s))
