"""What a pool holds: instances that are paid for, and the replicas deployed on them."""

from __future__ import annotations

from math import inf
from typing import Literal

from llmsim.sim.places import Place
from llmsim.sim.replica import Replica


class Instance:
    """A machine that is held, and paid for.

    Attributes:
        name, zone: Which one, and where.
        is_spot: Whether it can be reclaimed.
        devices, free: Its accelerators, and those that no replica is deployed on.
        held_s, ready_s: Since when it is paid for, and when it runs its image.
        deadline_s: When it will be taken, as far as its owner has been told.
    """

    def __init__(
        self, name: str, zone: str, devices: int, *, is_spot: bool, held_s: float, ready_s: float
    ) -> None:
        self.name = name
        self.zone = zone
        self.is_spot = is_spot
        self.devices = self.free = devices
        self.held_s = held_s
        self.ready_s = ready_s
        self.deadline_s = inf
        self.replica_index: int | None = None


class Deployment:
    """A replica on the devices it was given; with data-parallel ranks, one engine each.

    Attributes:
        parts: (instance, devices taken there).
        place: Where it sits in the network.
        replicas: Its ranks, once it serves.
        state: ``starting``, ``warm`` (loaded, and idle), ``serving`` (takes requests), ``draining`` (finishes
            those it has), ``gone``.
        returns: Whether it will be warm when it has drained.
    """

    def __init__(self, parts: list[tuple[Instance, int]], place: Place | None) -> None:
        self.parts = parts
        self.place = place
        self.replicas: list[Replica] = []
        self.state: Literal["starting", "warm", "serving", "draining", "gone"] = "starting"
        self.returns = False
        for instance, count in parts:
            instance.free -= count

    @property
    def is_spot(self) -> bool:
        """Whether any of its instances can be reclaimed. Pure query."""
        return any(instance.is_spot for instance, _ in self.parts)

    @property
    def deadline_s(self) -> float:
        """When the first of its instances will be taken, as far as is known. Pure query."""
        return min(instance.deadline_s for instance, _ in self.parts)

    @property
    def num_requests(self) -> int:
        """Requests on it. Pure query."""
        return sum(replica.num_requests for replica in self.replicas)

    @property
    def is_empty(self) -> bool:
        """Whether nobody needs it any more. Pure query."""
        return all(replica.is_empty for replica in self.replicas)

    def is_on(self, instance: Instance) -> bool:
        """Whether it has devices of ``instance``. Pure query."""
        return any(each is instance for each, _ in self.parts)
