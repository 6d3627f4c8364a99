"""Simulated time, with a stated order of what happens at the same moment."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from math import inf
from typing import cast

import simpy
from simpy.events import Event

from llmsim.engine.run import TIE

COMPLETION, EXPIRY, ARRIVAL, SCHEDULING = 0, 1, 2, 3
"""Order at equal times: completions, then time-outs, arrivals, and scheduling (replica i has phase SCHEDULING + i:
replicas decide in their order, however they came to wake up), then insertion."""

CONTROL = 1 << 40
"""After all of them: a controller looks at what the moment has left behind."""


class Alarm(Event):
    """An event that fires at ``time_s`` (never, by itself, if infinite); its listeners can be moved."""

    def __init__(self, clock: Clock, time_s: float = inf) -> None:
        self.env = clock
        self.time_s = time_s
        self.callbacks = []
        self._value = None
        self._ok = True


class Clock(simpy.Environment):
    """A simpy environment that schedules at absolute times and in phases, and can be stopped."""

    def __init__(self) -> None:
        super().__init__()
        self.stopped = False
        """Whether the run ends here, whatever is still to come."""
        self.interrupted = False
        """Whether that is because the user said so."""
        self.events = 0
        # The environment's own heap: simpy's priorities are these phases, its counter settles the rest.
        self._events = cast(list[tuple[float, int, int, Event]], self._queue)

    def at(self, time_s: float, phase: int) -> Alarm:
        """An alarm at ``time_s``. Sums of floats are taken by the caller, once, not here."""
        alarm = Alarm(self, time_s)
        heappush(self._events, (time_s, phase, next(self._eid), alarm))
        return alarm

    def again(self, alarm: Alarm, time_s: float, phase: int) -> Alarm:
        """``alarm``, which has fired and was never moved, once more at ``time_s``."""
        alarm.time_s = time_s
        alarm.callbacks = []
        heappush(self._events, (time_s, phase, next(self._eid), alarm))
        return alarm

    def move(self, alarm: Alarm, time_s: float, phase: int) -> Alarm:
        """A new alarm at ``time_s`` that wakes whoever waits for ``alarm``, which wakes nobody now."""
        moved = self.at(time_s, phase)
        moved.callbacks, alarm.callbacks = alarm.callbacks, []
        return moved

    def call(self, time_s: float, phase: int, action: Callable[[], None]) -> None:
        """Call ``action`` at ``time_s``, after whatever of an earlier phase belongs to that moment."""

        def act(_: Event) -> None:
            next_s = self.acts_before(phase, time_s * (1 + TIE))
            if next_s is None:
                action()
            else:
                self.at(next_s, phase).callbacks.append(act)

        self.at(time_s, phase).callbacks.append(act)

    def acts_before(self, phase: int, horizon_s: float) -> float | None:
        """When the next event happens, if it is of an earlier phase and not later than ``horizon_s``."""
        if self._events:
            time_s, next_phase, _, _ = self._events[0]
            if next_phase < phase and time_s <= horizon_s:
                return time_s
        return None

    def has_plans(self, before: int) -> bool:
        """Whether an event of an earlier phase than ``before`` is to come, at any time. Pure query."""
        return any(phase < before and event.callbacks for _, phase, _, event in self._events)

    def run_all(self, until_s: float | None = None) -> None:
        """Process events until none is left, ``stopped`` is set, or time reaches ``until_s``."""
        queue = self._events
        horizon_s = inf if until_s is None else until_s
        count = 0
        while queue and not self.stopped and queue[0][0] <= horizon_s:
            time_s, _, _, event = heappop(queue)
            callbacks, event.callbacks = event.callbacks, None  # type: ignore[assignment]  # simpy's own mark
            if callbacks:  # an alarm that was moved away wakes nobody: time does not stop there
                self._now = time_s
            for callback in callbacks:
                callback(event)
            count += 1
            if not event._ok:  # a process that failed: its exception is the value
                raise event._value
        self.events += count
        if queue and not self.stopped:
            self._now = horizon_s
