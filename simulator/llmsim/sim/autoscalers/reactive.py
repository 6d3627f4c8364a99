"""Policies that react to what hurts: a queue, a full KV cache, late first tokens."""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil, isnan
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, model_validator

from llmsim.sim.autoscalers.base import Autoscaler, PoolView, enough, within
from llmsim.spec.base import Place, Strict
from llmsim.units import Quantity

if TYPE_CHECKING:
    from llmsim.spec.scenario import Scenario

Share = Annotated[float, Quantity("share")]


class QueueOptions(Strict):
    """Options of ``policy: {kind: queue}``."""

    upscale_threshold: float = Field(
        5.0,
        gt=0,
        le=1e6,
        description="more waiting requests per replica than this call for more (5 in vLLM's production stack: "
        "docs, autoscaling-keda)",
    )
    downscale_threshold: float = Field(
        0.0, ge=0, le=1e6, description="so many or fewer waiting requests per replica let one replica go"
    )

    @model_validator(mode="after")
    def _leave_room_between(self) -> QueueOptions:
        if self.downscale_threshold >= self.upscale_threshold:
            raise ValueError(
                f"downscale_threshold ({self.downscale_threshold:g}) must be less than upscale_threshold "
                f"({self.upscale_threshold:g})"
            )
        return self


class Queue(Autoscaler):
    """As many replicas as bring the queue at each down to a threshold; without a queue one fewer.

    An empty queue does not say how much room there is, so the pool tries: it gives up one replica each
    ``downscale_delay_s`` until a queue forms.
    """

    Options = QueueOptions
    options: QueueOptions

    def desired(self, view: PoolView) -> int:
        """See :class:`Autoscaler`."""
        queued, options = view.waiting + view.held, self.options
        if queued > options.upscale_threshold * view.target:
            return enough(queued, options.upscale_threshold)
        return view.target - (queued <= options.downscale_threshold * view.target)


class KVUsageOptions(Strict):
    """Options of ``policy: {kind: kv_usage}``."""

    target_kv_usage: Share = Field(
        0.7,
        gt=0,
        le=1,
        description="share of the KV cache that the pool is kept at; the default is an assumption",
    )
    of: Literal["mean", "max"] = Field("mean", description="over the replicas")
    tolerance: Share = Field(
        0.1, ge=0, lt=1, description="deviation from the target that changes nothing (Kubernetes' HPA: 0.1)"
    )


class KVUsage(Autoscaler):
    """KV use over its target, times the replicas that serve, rounded up: the rule of Kubernetes' HPA
    (``desiredReplicas = ceil(currentReplicas * currentMetricValue / desiredMetricValue)``)."""

    Options = KVUsageOptions
    options: KVUsageOptions

    def desired(self, view: PoolView) -> int:
        """See :class:`Autoscaler`."""
        options = self.options
        total = view.serving * (view.kv_usage if options.of == "mean" else view.kv_usage_max)
        if within(total, options.target_kv_usage * view.target, options.tolerance):
            return view.target
        return enough(total, options.target_kv_usage)


class SloOptions(Strict):
    """Options of ``policy: {kind: slo}``."""

    target_attainment: Share | None = Field(
        None, gt=0, le=1, description="share of first tokens in time below which replicas are added; null is "
        "the scenario's slo.percentile",
    )  # fmt: skip
    downscale_attainment: Share = Field(
        1.0, gt=0, le=1, description="share of first tokens in time from which on one replica goes"
    )

    @model_validator(mode="after")
    def _leave_room_between(self) -> SloOptions:
        if self.target_attainment is not None and self.downscale_attainment < self.target_attainment:
            raise ValueError(
                f"downscale_attainment ({self.downscale_attainment:g}) is less than target_attainment "
                f"({self.target_attainment:g})"
            )
        return self


class SloAttainment(Autoscaler):
    """Late first tokens add replicas, in proportion to how many are late; none late let one go.

    What is added is added to those that serve, so that those on their way count.
    """

    Options = SloOptions
    options: SloOptions

    def desired(self, view: PoolView) -> int:
        """See :class:`Autoscaler`."""
        attainment, goal = view.ttft_attainment, self.options.target_attainment or self.setting.attainment
        if isnan(attainment):
            return view.target - (not view.ongoing)
        if attainment < goal:
            return max(view.target, view.serving + max(1, ceil(view.serving * (goal - attainment))))
        return view.target - (attainment >= self.options.downscale_attainment)

    @classmethod
    def conflicts(cls, options: dict[str, Any], scenario: Scenario, pool: int) -> Iterator[tuple[Place, str]]:
        """See :class:`Autoscaler`."""
        if scenario.slo.ttft_ms is None and not any(each.ttft_ms for each in scenario.slo.classes.values()):
            yield (
                ("fleet", pool, "autoscale", "policy"),
                "slo goes by the time to first token, and there is no target; write `slo: {ttft_ms: …}`",
            )
        if scenario.fleet[pool].role == "decode":
            yield (
                ("fleet", pool, "autoscale", "policy"),
                "slo goes by the time to first token, which the prefill pool makes; take kv_usage, queue or "
                "target_tracking",
            )
