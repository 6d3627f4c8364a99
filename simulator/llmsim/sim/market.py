"""Spot capacity on the clock: what can be had, who is told that it will be taken, and when it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count, tee

from llmsim.files.spot.events import CapacityEvent
from llmsim.sim.clock import COMPLETION, Clock
from llmsim.workload.availability import Availability


class Market:
    """Instances that a pool may take, by zone.

    Capacity that nobody holds goes first; only then is somebody's instance reclaimed. Who that is, is
    decided when notice is given.

    Args:
        clock: The simulation's.
        availability: What there is.
        notice_s: Warning before an instance is taken.
        changed: Told when there is more to be had.
        noticed: Told which instance will be taken, and when.
        taken: Told which instance is taken now.
        held_in: Which instances the pool holds in a zone, those to be taken first in front.
    """

    def __init__(
        self,
        clock: Clock,
        availability: Availability,
        notice_s: float,
        *,
        changed: Callable[[], None],
        noticed: Callable[[str, float], None],
        taken: Callable[[str], None],
        held_in: Callable[[str], list[str]],
    ) -> None:
        self._clock = clock
        self._notice_s = notice_s
        self._changed, self._noticed, self._taken, self._held_in = changed, noticed, taken, held_in
        self._offers: dict[str, dict[str, None]] = {}
        self._doomed: dict[str, float] = {}
        self._numbers = count()
        for event in availability.initial:
            self._add(event)
        ahead, due = tee(availability.events)
        self._ahead = (event for event in ahead if event.kind == "remove")
        self._due = iter(due)
        self._victims: dict[int, list[str]] = {}
        """Whom each coming removal takes, by the identity of its event."""

    def open(self) -> None:
        """Let time change it."""
        self._await_notice()
        self._await_event()

    def zones(self) -> list[str]:
        """Zones with something to be had, in order of appearance. Pure query."""
        return [zone for zone, names in self._offers.items() if names]

    def take(self, zone: str) -> str:
        """The name of an instance of ``zone``, which is the pool's from now on."""
        name = next(iter(self._offers[zone]))
        del self._offers[zone][name]
        return name

    def give_back(self, name: str, zone: str) -> None:
        """The pool needs ``name`` no longer; others may, unless it is about to be taken."""
        if name not in self._doomed:
            self._offers.setdefault(zone, {})[name] = None

    def _await_notice(self) -> None:
        event = next(self._ahead, None)
        if event is not None:
            at_s = max(self._clock.now, event.time_s - self._notice_s)
            self._clock.call(at_s, COMPLETION, lambda: self._give_notice(event))

    def _await_event(self) -> None:
        event = next(self._due, None)
        if event is not None:
            self._clock.call(event.time_s, COMPLETION, lambda: self._let_happen(event))

    def _give_notice(self, event: CapacityEvent) -> None:
        """Choose who is taken at ``event``, and say so; at the moment itself it is too late for that."""
        for name in self._choose(event) if event.time_s > self._clock.now else ():
            self._doomed[name] = event.time_s
            self._victims.setdefault(id(event), []).append(name)
            self._noticed(name, event.time_s)
        self._await_notice()

    def _choose(self, event: CapacityEvent) -> Iterator[str]:
        held = [name for name in self._held_in(event.zone) if name not in self._doomed]
        if event.instance is not None:
            yield from (name for name in held if name == event.instance)
        else:
            yield from held[: max(0, event.count - len(self._offers.get(event.zone, ())))]

    def _let_happen(self, event: CapacityEvent) -> None:
        if event.kind == "add":
            self._add(event)
            self._changed()
        else:
            self._remove(event)
        self._await_event()

    def _add(self, event: CapacityEvent) -> None:
        offers = self._offers.setdefault(event.zone, {})
        for _ in range(event.count):
            offers[event.instance or f"{event.zone or 'spot'}/{next(self._numbers)}"] = None

    def _remove(self, event: CapacityEvent) -> None:
        held = self._held_in(event.zone)
        chosen = self._victims.pop(id(event), [])
        for name in chosen:
            self._doomed.pop(name, None)
        victims = [name for name in chosen if name in held]  # not those given back since
        left = event.count - len(victims)
        offers = self._offers.get(event.zone, {})
        for name in [event.instance] if event.instance else list(offers)[::-1]:
            if left > 0 and name in offers:
                del offers[name]
                left -= 1
        unwarned = [name for name in held if name not in victims and event.instance in (None, name)]
        for name in (*victims, *unwarned[:left]):
            self._taken(name)
