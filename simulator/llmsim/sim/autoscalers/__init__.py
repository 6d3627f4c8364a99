"""Autoscalers: how many replicas a pool should have."""

from llmsim.sim.autoscalers.base import Autoscaler, PoolView, Setting
from llmsim.sim.autoscalers.forecast import Forecast
from llmsim.sim.autoscalers.reactive import KVUsage, Queue, SloAttainment
from llmsim.sim.autoscalers.scheduled import Scheduled
from llmsim.sim.autoscalers.target_tracking import TargetTracking

__all__ = [
    "Autoscaler",
    "Forecast",
    "KVUsage",
    "PoolView",
    "Queue",
    "Scheduled",
    "Setting",
    "SloAttainment",
    "TargetTracking",
]
