"""A pool whose number of replicas follows its load, its latency, or the clock."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from llmsim import plugins
from llmsim.spec.base import Strict, raise_problems
from llmsim.spec.policy import Policy, PolicyRef
from llmsim.units import Quantity

Seconds = Annotated[float, Quantity("s"), Field(ge=0, le=1e9)]


class Autoscale(Strict):
    """Who decides how many replicas there are, how often, and how slowly.

    Names and defaults are Ray Serve's (``AutoscalingConfig``, docs.ray.io, 2.5x; its ``metrics_interval_s`` is
    ``interval_s`` here). Kubernetes' HPA looks every 15 s and waits 0 s and 300 s, SkyServe every 20 s and waits
    300 s and 1,200 s.
    """

    policy: Annotated[PolicyRef, Policy(plugins.AUTOSCALERS)] = Field(
        description="what the wanted number of replicas goes by"
    )
    min_replicas: Annotated[int, Field(ge=0)] = Field(
        1, description="never fewer; 0 lets an idle pool go, and the next request waits until one is back"
    )
    max_replicas: Annotated[int, Field(gt=0)] = Field(description="never more")
    interval_s: Annotated[float, Quantity("s"), Field(ge=0.1, le=1e6)] = Field(
        10.0, description="how often the policy looks"
    )
    upscale_delay_s: Seconds = Field(
        30.0,
        description="how long the policy must have wanted more until the pool grows, to the least of that time",
    )
    downscale_delay_s: Seconds = Field(
        600.0,
        description="how long the policy must have wanted fewer until the pool shrinks, to the most of that time",
    )

    @model_validator(mode="after")
    def _is_a_range(self) -> Autoscale:
        if self.min_replicas > self.max_replicas:
            message = f"is more than max_replicas ({self.max_replicas}); lower it, or raise max_replicas"
            raise_problems("Autoscale", [(("min_replicas",), message)])
        return self
