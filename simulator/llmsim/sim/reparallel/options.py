"""What a scenario says of a pool that reconfigures as a whole."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from llmsim.sim.reparallel.switch import Tactics
from llmsim.spec.base import Strict
from llmsim.units import Quantity

Rate = Annotated[float, Quantity("1/s"), Field(gt=0, le=1e9)]
Seconds = Annotated[float, Quantity("s"), Field(ge=0, le=3600)]


class MeshOptions(Strict):
    """What all such policies need to know."""

    request_rate: Rate = Field(
        description="requests per second to keep up with, where the instances can",
        json_schema_extra={"unit": "1/s"},
    )
    most_instances: int | None = Field(None, gt=0, description="most instances held; null is all there are")
    estimate: Literal["cost_model", "spotserve"] = Field(
        "cost_model",
        description="how a plan's latency is judged; spotserve divides a prefill's time by its micro-batches, as the "
        "formula in its artifact does, and so thinks better of deep pipelines",
    )
    switch_s: Seconds = Field(
        0.5, description="from stopping a pipeline to starting another one on the same devices, bytes aside"
    )
    engine_start_s: Seconds = Field(
        10.0, description="start of engine processes and their communicators where none run"
    )

    @property
    def fixed_for(self) -> int | None:
        """Instances that a plan which does not adapt is chosen for; None: those of the start."""
        return None

    @property
    def tactics(self) -> Tactics:
        """What the options come to."""
        return Tactics()


class ReparallelizeOptions(MeshOptions):
    """Options of ``on_reclaim: {kind: reparallelize}``."""

    migrate: bool = Field(
        True, description="weights and KV move between devices; false restarts everything from storage"
    )
    match: bool = Field(
        True, description="devices are mapped by the bytes they can keep; false takes them in order"
    )
    contexts: bool = Field(
        True, description="interrupted requests go on with their KV; false starts them over"
    )
    progressive: bool = Field(
        True, description="a pipeline starts when its own bytes are there, not when all are"
    )
    adapt: bool = Field(
        True, description="the plan is chosen anew; false keeps the one of the first instances"
    )

    @property
    def tactics(self) -> Tactics:
        """See :class:`MeshOptions`."""
        return Tactics(
            adapts=self.adapt,
            keeps_pipelines=self.migrate,
            from_peers=self.migrate,
            keeps_contexts=self.migrate and self.contexts,
            keeps_tokens=self.migrate and self.contexts,
            matches=self.migrate and self.match,
            progressive=self.progressive,
        )


class RerouteOptions(MeshOptions):
    """Options of ``on_reclaim: {kind: reroute}``."""

    plan_for: int | None = Field(
        None, gt=0, description="instances that the fixed plan is chosen for; null is those of the start"
    )

    @property
    def fixed_for(self) -> int | None:
        """See :class:`MeshOptions`."""
        return self.plan_for

    @property
    def tactics(self) -> Tactics:
        """See :class:`MeshOptions`."""
        return Tactics(
            adapts=False,
            from_peers=False,
            keeps_contexts=False,
            keeps_tokens=False,
            matches=False,
            progressive=True,
        )
