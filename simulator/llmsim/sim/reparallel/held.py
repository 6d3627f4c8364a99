"""The instances that a mesh is laid over: everything the market offers, until it is taken."""

from __future__ import annotations

from collections.abc import Callable
from math import inf

from llmsim.measure.fleet_log import Kind
from llmsim.measure.ledger import Holding
from llmsim.sim.build import PoolPlan
from llmsim.sim.clock import COMPLETION, Clock
from llmsim.sim.estate import Estate
from llmsim.sim.instances import Instance
from llmsim.sim.reparallel.mesh import Device
from llmsim.workload.availability import Availability


class HeldInstances:
    """Takes what there is, up to the most that is wanted.

    Args:
        clock: The simulation's.
        plan: The pool whose instances they are.
        there: What the market has.
        most: Most instances held; None for all there are.
        start_s: From when an instance runs its image until it can be used.
        note: Told of every change.
        changed: Told when there are more, or will be fewer.
        lost: Told which one is gone, this moment.
    """

    def __init__(
        self,
        clock: Clock,
        plan: PoolPlan,
        there: Availability,
        most: int | None,
        start_s: float,
        *,
        note: Callable[[Kind, str], None],
        changed: Callable[[], None],
        lost: Callable[[str], None],
    ) -> None:
        assert plan.pool.spot is not None
        self._clock, self._most = clock, most or inf
        self._delay_s = 0.0
        self._later_s = plan.pool.provisioning.startup_delay_s + start_s
        self._note, self._changed, self._lost = note, changed, lost
        self._estate = Estate(clock, plan.pool, plan.accelerator.name, there, lambda: self._delay_s)
        self._estate.trade(
            there, plan.pool.spot.notice_s, changed=self._take, noticed=self._noticed, taken=self._taken
        )

    @property
    def holdings(self) -> list[Holding]:
        """What was held, and given back or taken. Pure query."""
        return self._estate.holdings

    @property
    def per_instance(self) -> int:
        """Devices of each. Pure query."""
        return self._estate.per_instance

    def open(self) -> None:
        """Take what can be had at 0 s; it can be used at once."""
        self._take()

    def let_time_pass(self) -> None:
        """From now on the market changes."""
        self._delay_s = self._later_s
        if self._estate.market:
            self._estate.market.open()

    def close(self) -> None:
        """The run is over: what is held was held until now."""
        for instance in list(self._estate.held):
            self._estate.end(instance)

    def usable(self) -> list[Device]:
        """Devices that can be used and will stay, in order. Pure query."""
        now_s = self._clock.now
        sound = [each for each in self._estate.held if each.ready_s <= now_s and each.deadline_s == inf]
        return [Device(each.name, number) for each in sound for number in range(self.per_instance)]

    def deadline_s(self, name: str = "") -> float:
        """When ``name``, or by default the first of all, will be taken; infinite when none is. Pure query."""
        named = [each.deadline_s for each in self._estate.held if name in ("", each.name)]
        return min(named, default=inf)

    def _take(self) -> None:
        while len(self._estate.held) < self._most and (instance := self._estate.take_one()):
            self._note("requested", instance.name)
            self._clock.call(instance.ready_s, COMPLETION, self._changed)

    def _noticed(self, instance: Instance, deadline_s: float) -> None:
        instance.deadline_s = deadline_s
        self._note("notice", instance.name)
        self._changed()

    def _taken(self, instance: Instance) -> None:
        self._estate.end(instance)
        self._lost(instance.name)
        self._take()  # with room for another one
        self._changed()
