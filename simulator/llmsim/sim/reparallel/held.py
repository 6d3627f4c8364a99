"""The instances that a mesh is laid over: everything the market offers, until it is taken."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import inf

from llmsim.files.prices import pool_prices
from llmsim.measure.fleet_log import Kind
from llmsim.measure.ledger import Holding
from llmsim.sim.clock import COMPLETION, Clock
from llmsim.sim.market import Market
from llmsim.sim.reparallel.mesh import Device
from llmsim.spec.serving import Pool
from llmsim.workload.availability import Availability


@dataclass
class Held:
    """An instance: since when it is held, from when it can be used, when it will be taken."""

    name: str
    zone: str
    held_s: float
    ready_s: float
    deadline_s: float = inf


class HeldInstances:
    """Takes what there is, up to the most that is wanted, and keeps the books.

    Args:
        clock: The simulation's.
        pool: Whose instances they are.
        there: What the market has.
        most: Most instances held; None for all there are.
        start_s: From when an instance runs its image until it can be used.
        note: Told of every change.
        changed: Told when there are more, or will be fewer.
        lost: Told which one is gone, this moment.

    Attributes:
        holdings: What was held, and given back or taken.
        per_instance: Devices of each.
    """

    def __init__(
        self,
        clock: Clock,
        pool: Pool,
        there: Availability,
        most: int | None,
        start_s: float,
        *,
        note: Callable[[Kind, str], None],
        changed: Callable[[], None],
        lost: Callable[[str], None],
    ) -> None:
        assert pool.spot is not None
        self.holdings: list[Holding] = []
        self._clock, self._pool, self._most = clock, pool, most or inf
        self._delay_s = pool.provisioning.startup_delay_s + start_s
        self._prices = pool_prices(pool)
        self.per_instance = self._prices.num_accelerators
        self._note, self._changed, self._lost = note, changed, lost
        self._held: dict[str, Held] = {}
        self._market = Market(
            clock,
            there,
            pool.spot.notice_s,
            changed=self._offered,
            noticed=self._noticed,
            taken=self._taken,
            held_in=self._names_in,
        )

    def open(self) -> None:
        """Take what can be had at 0 s; it can be used at once."""
        self._take(0.0)

    def let_time_pass(self) -> None:
        """From now on the market changes."""
        self._market.open()

    def close(self) -> None:
        """The run is over: what is held was held until now."""
        for name in list(self._held):
            self._end(name)

    def usable(self) -> list[Device]:
        """Devices that can be used and will stay, in order. Pure query."""
        now_s = self._clock.now
        sound = [each for each in self._held.values() if each.ready_s <= now_s and each.deadline_s == inf]
        return [Device(each.name, number) for each in sound for number in range(self.per_instance)]

    def deadline_s(self, name: str = "") -> float:
        """When ``name``, or by default the first of all, will be taken; infinite when none is. Pure query."""
        if name:
            return self._held[name].deadline_s
        return min((each.deadline_s for each in self._held.values()), default=inf)

    def _offered(self) -> None:
        self._take(self._delay_s)

    def _take(self, delay_s: float) -> None:
        now_s = self._clock.now
        while (zones := self._market.zones()) and len(self._held) < self._most:
            name = self._market.take(zones[0])
            self._held[name] = Held(name, zones[0], now_s, now_s + delay_s)
            self._note("requested", name)
            self._clock.call(now_s + delay_s, COMPLETION, self._changed)

    def _names_in(self, zone: str) -> list[str]:
        return [each.name for each in reversed(self._held.values()) if each.zone == zone]

    def _noticed(self, name: str, deadline_s: float) -> None:
        self._held[name].deadline_s = deadline_s
        self._note("notice", name)
        self._changed()

    def _taken(self, name: str) -> None:
        self._end(name)
        self._lost(name)
        self._offered()  # with room for another one
        self._changed()

    def _end(self, name: str) -> None:
        held = self._held.pop(name)
        self.holdings.append(
            Holding.of_pool(
                self._pool.name,
                self._prices,
                self.per_instance,
                is_spot=True,
                accelerator=self._pool.accelerator,
                start_s=held.held_s,
                end_s=self._clock.now,
                instance=name,
                instance_type=self._pool.instance or "",
                zone=held.zone,
            )
        )
