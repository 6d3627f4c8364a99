"""The loop that scales a pool: look at it now and then, ask its policy, and change what is wanted."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from functools import partial
from typing import Protocol

from simpy.events import Event

from llmsim import plugins
from llmsim.engine.run import TIE
from llmsim.sim.autoscalers.base import Autoscaler, Setting
from llmsim.sim.clock import CONTROL, Alarm, Clock
from llmsim.sim.door import Door
from llmsim.sim.fleet import Fleet
from llmsim.sim.handover import Handover
from llmsim.sim.options import options_of
from llmsim.sim.pool_view import Observer, Supplied
from llmsim.sim.routers.base import Router
from llmsim.spec.autoscale import Autoscale
from llmsim.spec.scenario import Scenario
from llmsim.spec.serving import Pool


class Delays:
    """Lets a pool grow and shrink only to what was wanted for long enough: one rule for all policies.

    It grows to the least that was wanted in the last ``upscale_delay_s``, and shrinks to the most of the
    last ``downscale_delay_s`` (Kubernetes' stabilisation windows). What a pool starts with counts as wanted
    before. From zero it grows at once: somebody waits.
    """

    def __init__(self, upscale_s: float, downscale_s: float, start_s: float, replicas: int) -> None:
        self._upscale_s = upscale_s
        self._downscale_s = downscale_s
        self._wanted = deque([(start_s, replicas)])

    def settle(self, now_s: float, wanted: int, current: int) -> int:
        """How many there shall be, now that ``wanted`` are, and ``current`` were so far."""
        history, moment_s = self._wanted, now_s * (1 + TIE)
        history.append((now_s, wanted))
        longest_s = max(self._upscale_s, self._downscale_s)
        while len(history) > 1 and history[1][0] <= moment_s - longest_s:
            history.popleft()  # the one that held when the window began stays
        if not current:
            return wanted
        least = min(self._within(moment_s - self._upscale_s))
        most = max(self._within(moment_s - self._downscale_s))
        return least if least > current else min(current, most)

    def _within(self, start_s: float) -> list[int]:
        """What was wanted at ``start_s`` and since."""
        recent: list[int] = []
        for time_s, wanted in reversed(self._wanted):
            recent.append(wanted)
            if time_s <= start_s:
                break
        return recent


class Scaler:
    """Scales one pool.

    Args:
        fleet: For the clock, and to know when it is over.
        supply: The pool.
        limits: Range, delays and interval.
        policy: Says how many there should be.
        observer: Sees the pool.
    """

    def __init__(
        self, fleet: Fleet, supply: Supplied, limits: Autoscale, policy: Autoscaler, observer: Observer
    ) -> None:
        self._clock: Clock = fleet.clock
        self._supply = supply
        self._limits = limits
        self._policy = policy
        self._observer = observer
        calm = policy.follows_load
        self._delays = Delays(
            limits.upscale_delay_s if calm else 0.0,
            limits.downscale_delay_s if calm else 0.0,
            self._clock.now,
            supply.target,
        )
        self._start_s = self._lively_s = self._clock.now
        self._num_ticks = 0
        self._is_called = False
        self._alarm = self._tick()

    def call(self) -> None:
        """A request waits at the door: if nobody was wanted, look again in this moment (Knative's activator)."""
        if not self._supply.target and not self._is_called:
            self._is_called = True
            self._clock.call(self._clock.now, CONTROL, self._answer)

    def stop(self) -> None:
        """Look no more."""
        self._alarm.callbacks = []

    def _answer(self) -> None:
        self._is_called = False
        self._look()

    def _tick(self) -> Alarm:
        """An alarm for the next look."""
        self._num_ticks += 1
        return self._alarm_at(self._due_s)

    @property
    def _due_s(self) -> float:
        return self._start_s + self._num_ticks * self._limits.interval_s

    def _alarm_at(self, time_s: float) -> Alarm:
        alarm = self._clock.at(time_s, CONTROL)
        alarm.callbacks.append(self._ring)
        return alarm

    def _ring(self, _: Event) -> None:
        """Look, after whatever else belongs to this moment."""
        next_s = self._clock.acts_before(CONTROL, self._due_s * (1 + TIE))
        if next_s is not None:
            self._alarm = self._alarm_at(next_s)
            return
        changed = self._look()
        if changed or self._clock.has_plans(before=CONTROL):
            self._lively_s = self._clock.now
        patience_s = self._limits.upscale_delay_s + self._limits.downscale_delay_s
        if self._clock.now - self._lively_s <= patience_s:
            self._alarm = self._tick()  # else nothing is left that could happen: do not keep the run alive

    def _look(self) -> bool:
        """Look, ask, and say how many there shall be; returns whether that is news."""
        view, limits = self._observer.look(), self._limits
        wanted = max(self._policy.desired(view), limits.min_replicas, bool(view.ongoing))
        wanted = min(wanted, limits.max_replicas)
        settled = self._delays.settle(view.now_s, wanted, view.target)
        if settled == view.target:
            return False
        self._supply.want(settled)
        return True


class PoolSupply(Supplied, Protocol):
    """A supply that knows its pool."""

    @property
    def pool(self) -> Pool:
        """As the scenario says it."""
        ...

    @property
    def startup_s(self) -> float:
        """Time from wanting one more replica until it serves, as far as it is known beforehand."""
        ...


class Autoscaling:
    """Scales the pools of a fleet that have an ``autoscale`` section.

    Args:
        fleet: Open, with nothing served yet.
        supplies: The pools that can change.
        scenario: Its pools and targets.
    """

    def __init__(self, fleet: Fleet, supplies: Sequence[PoolSupply], scenario: Scenario) -> None:
        models = Counter(scenario.model_of(pool).ref for pool in scenario.fleet)
        self._scalers: dict[Router, list[Scaler]] = {}
        for supply in supplies:
            limits = supply.pool.autoscale
            if limits is None:
                continue
            model = scenario.model_of(supply.pool).ref
            router = fleet.door.routers[model]
            policy_class = plugins.AUTOSCALERS.get(limits.policy.kind)
            setting = Setting(supply.startup_s, scenario.slo.percentile)
            policy = policy_class(options_of(policy_class, limits.policy), setting)
            gate: Door | Handover = fleet.door
            held_by = router
            if supply.pool.role == "decode" and fleet.handover:
                gate, held_by = fleet.handover, fleet.handover.router_of(model)
            observer = Observer(
                fleet,
                supply,
                router,
                partial(gate.num_held, held_by),
                has_router_alone=models[model] == 1,
                slo=scenario.slo,
            )
            scaler = Scaler(fleet, supply, limits, policy, observer)
            self._scalers.setdefault(held_by, []).append(scaler)
            gate.when_held = self._held

    def stop(self) -> None:
        """The fleet is over."""
        for scalers in self._scalers.values():
            for scaler in scalers:
                scaler.stop()

    def _held(self, router: Router) -> None:
        for scaler in self._scalers.get(router, ()):
            scaler.call()
