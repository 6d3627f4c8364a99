"""Replicas that compute prompts only."""

from __future__ import annotations

from llmsim.engine.request import Request
from llmsim.sim.pipeline import PipelinedReplica
from llmsim.sim.replica import Replica


class PrefillReplica(Replica):
    """Brings out one token of each request, with which its prompt is computed; another replica goes on."""

    def submit(self, req: Request) -> str:
        """See :class:`Replica`."""
        req.stop_at = req.generated + 1
        return super().submit(req)


class PipelinedPrefillReplica(PrefillReplica, PipelinedReplica):
    """The same, pipelined."""
