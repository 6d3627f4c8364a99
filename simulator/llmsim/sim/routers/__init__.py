"""Routers: which replica a request goes to."""

from llmsim.sim.routers.affinity import PrefixAffinity, SessionAffinity
from llmsim.sim.routers.base import Destination, Router, Setting
from llmsim.sim.routers.central_queue import CentralQueue
from llmsim.sim.routers.least_requests import LeastRequests, PowerOfTwo
from llmsim.sim.routers.least_tokens import LeastTokens
from llmsim.sim.routers.turns import RandomChoice, RoundRobin
from llmsim.sim.routers.weighted import Weighted

__all__ = [
    "CentralQueue",
    "Destination",
    "LeastRequests",
    "LeastTokens",
    "PowerOfTwo",
    "PrefixAffinity",
    "RandomChoice",
    "RoundRobin",
    "Router",
    "SessionAffinity",
    "Setting",
    "Weighted",
]
