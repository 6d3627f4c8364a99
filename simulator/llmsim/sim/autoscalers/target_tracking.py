"""So many requests for each replica."""

from __future__ import annotations

from collections import deque
from typing import Annotated

from pydantic import Field

from llmsim.sim.autoscalers.base import NOTHING_KNOWN, Autoscaler, PoolView, Setting, enough, within
from llmsim.spec.base import Strict
from llmsim.units import Quantity


class TargetTrackingOptions(Strict):
    """Options of ``policy: {kind: target_tracking}``."""

    target_ongoing_requests: float = Field(
        gt=0,
        le=1e6,
        description="requests per replica, running or waiting, that the pool is kept at (Ray Serve's name; Knative's "
        "is concurrency). Half of what a replica runs at its latency target is a start",
    )
    look_back_period_s: Annotated[float, Quantity("s")] = Field(
        30.0, ge=0, le=1e6, description="ongoing requests are averaged over this time; Knative: 60"
    )
    tolerance: Annotated[float, Quantity("share")] = Field(
        0.1, ge=0, lt=1, description="deviation from the target that changes nothing (Kubernetes' HPA: 0.1)"
    )


class TargetTracking(Autoscaler):
    """Ongoing requests over ``target_ongoing_requests``, rounded up.

    Source: Ray Serve's ``replica_queue_length_autoscaling_policy`` (docs.ray.io), and the same ratio in
    Knative's and Kubernetes' autoscalers.
    """

    Options = TargetTrackingOptions
    options: TargetTrackingOptions

    def __init__(self, options: TargetTrackingOptions, setting: Setting = NOTHING_KNOWN) -> None:
        super().__init__(options, setting)
        self._seen: deque[tuple[float, int]] = deque()

    def desired(self, view: PoolView) -> int:
        """See :class:`Autoscaler`."""
        seen, options = self._seen, self.options
        seen.append((view.now_s, view.ongoing))
        while len(seen) > 1 and seen[0][0] <= view.now_s - options.look_back_period_s:
            seen.popleft()
        total = sum(ongoing for _, ongoing in seen) / len(seen)
        if within(total, options.target_ongoing_requests * view.target, options.tolerance):
            return view.target
        return enough(total, options.target_ongoing_requests)
