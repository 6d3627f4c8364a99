"""Prefill and decode on different replicas: how a request gets from one to the other."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from llmsim import plugins
from llmsim.spec.base import Strict
from llmsim.spec.policy import Policy, PolicyRef


class Disaggregation(Strict):
    """Takes effect where pools have the roles ``prefill`` and ``decode``."""

    kv_transfer: Literal["whole", "layerwise"] = Field(
        "whole",
        description="whole: the KV is sent when the prompt is computed; layerwise: each layer's while the next one is",
    )
    router: Annotated[PolicyRef, Policy(plugins.ROUTERS)] = Field(
        "least_requests", validate_default=True, description="which decode replica a request goes to"
    )
