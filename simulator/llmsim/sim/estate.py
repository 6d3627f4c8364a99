"""What a pool holds: instances, asked for, given back, or taken; and what was paid for."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from math import inf

from llmsim.files.prices import PoolPrices, pool_prices
from llmsim.measure.ledger import Holding
from llmsim.sim.clock import Clock
from llmsim.sim.instances import Instance
from llmsim.sim.market import Market
from llmsim.spec.serving import Pool
from llmsim.workload.availability import Availability

Parts = list[tuple[Instance, int]]
"""Devices for a replica: (instance, how many of it)."""


class Estate:
    """The instances of one pool.

    Args:
        clock: The simulation's.
        pool: Whose.
        accelerator: Catalogue name of its devices.
        availability: Of spot capacity; None for a pool on demand.
        delay_s: Seconds until an instance asked for now can be used.

    Attributes:
        held: What it holds, in the order it was asked for.
        holdings: What was held, and given back or taken.
        per_instance: Devices of an instance type; 1 without one.
        market: Where spot instances come from, once :meth:`trade` has opened it.
    """

    def __init__(
        self,
        clock: Clock,
        pool: Pool,
        accelerator: str,
        availability: Availability | None,
        delay_s: Callable[[], float],
    ) -> None:
        self.held: list[Instance] = []
        self.holdings: list[Holding] = []
        self.market: Market | None = None
        self._clock = clock
        self._pool = pool
        self._accelerator = accelerator
        self._delay_s = delay_s
        self._prices: PoolPrices = pool_prices(pool)
        self.per_instance = self._prices.num_accelerators
        self._numbers = count()
        zones = availability.zones if availability else ()
        self._has_zones = len(zones) > 1
        """Whether capacity comes from several zones; a single one is the pool's own, whatever its trace calls it."""
        self._home = pool.zone or (zones[0] if self._has_zones else "")
        """Where instances on demand are: beside the spot ones."""

    def trade(
        self,
        availability: Availability,
        notice_s: float,
        *,
        changed: Callable[[], None],
        noticed: Callable[[Instance, float], None],
        taken: Callable[[Instance], None],
    ) -> None:
        """Take part in a spot market; the others are told of what :class:`Market` tells."""
        self.market = Market(
            self._clock,
            availability,
            notice_s,
            changed=changed,
            noticed=lambda name, deadline_s: noticed(self._called(name), deadline_s),
            taken=lambda name: taken(self._called(name)),
            held_in=self._names_in,
        )

    def find(self, devices: int, *, is_spot: bool) -> Parts | None:
        """So many free devices, of instances held or of more; None where there are not enough.

        Instances asked for in vain stay until :meth:`give_back_idle`.
        """
        parts: Parts = []
        needed = devices
        for instance in self.held:
            if instance.is_spot is is_spot and instance.deadline_s == inf and instance.free and needed:
                parts.append((instance, min(instance.free, needed)))
                needed -= parts[-1][1]
        while needed > 0:
            more = self._acquire(is_spot=is_spot, needed=needed)
            if more is None:
                return None
            parts.append((more, min(more.free, needed)))
            needed -= parts[-1][1]
        return parts

    def take_one(self) -> Instance | None:
        """One more spot instance, where the pool holds the fewest; None where the market has no more."""
        return self._acquire(is_spot=True, needed=self.per_instance)

    def zone_of(self, parts: Parts) -> str | None:
        """The zone for a replica on ``parts``; None is the pool's own. Pure query."""
        return parts[0][0].zone or None if self._has_zones else None

    def give_back_idle(self) -> list[Instance]:
        """Give back instances that nothing is deployed on; returns them."""
        idle = [each for each in self.held if each.free == each.devices]
        for instance in idle:
            self.end(instance)
            if instance.is_spot and self.market:
                self.market.give_back(instance.name, instance.zone)
        return idle

    def end(self, instance: Instance) -> None:
        """``instance`` is held, and paid for, no longer."""
        self.held.remove(instance)
        self.holdings.append(
            Holding.of_pool(
                self._pool.name,
                self._prices,
                instance.devices,
                is_spot=instance.is_spot,
                accelerator=self._accelerator,
                start_s=instance.held_s,
                end_s=self._clock.now,
                replica=instance.replica_index,
                instance=instance.name,
                instance_type=self._pool.instance or "",
                zone=instance.zone,
            )
        )

    def _acquire(self, *, is_spot: bool, needed: int) -> Instance | None:
        """One more instance, or None where the market has no more."""
        if is_spot:
            zones = self.market.zones() if self.market else []
            if not zones or self.market is None:
                return None
            zone = min(zones, key=self._held_there)
            name = self.market.take(zone)
        else:
            zone, name = self._home, f"{self._pool.name}/{next(self._numbers)}"
        now_s = self._clock.now
        size = self._prices.num_accelerators if self._pool.instance else needed
        instance = Instance(name, zone, size, is_spot=is_spot, held_s=now_s, ready_s=now_s + self._delay_s())
        self.held.append(instance)
        return instance

    def _held_there(self, zone: str) -> int:
        return sum(instance.zone == zone for instance in self.held if instance.is_spot)

    def _names_in(self, zone: str) -> list[str]:
        """Spot instances held in ``zone``, the newest first. Pure query."""
        return [each.name for each in reversed(self.held) if each.is_spot and each.zone == zone]

    def _called(self, name: str) -> Instance:
        return next(instance for instance in self.held if instance.name == name)
