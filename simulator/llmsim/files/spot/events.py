"""Capacity that comes and goes: the one form every availability trace is read into."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from heapq import merge
from itertools import pairwise
from operator import attrgetter
from typing import Literal


@dataclass(frozen=True, slots=True)
class CapacityEvent:
    """Instances that become available, or are taken away.

    Attributes:
        time_s: When, in simulated seconds.
        kind: ``add`` or ``remove``. A reclaim's notice is given ``notice_s`` before its ``remove``.
        zone: Where; "" in a trace without zones.
        instance: Which one, where the trace names it; None for any ``count`` of the zone.
        count: How many; 1 for a named instance.
    """

    time_s: float
    kind: Literal["add", "remove"]
    zone: str = ""
    instance: str | None = None
    count: int = 1

    @property
    def change(self) -> int:
        """``count`` with its sign."""
        return self.count if self.kind == "add" else -self.count


@dataclass(frozen=True)
class CapacityTrace:
    """How many instances can be had over time.

    Attributes:
        source: How the user named the file.
        format: What it is written in, in words.
        initial: What is there from the beginning: additions at 0 s.
        events: What changes after that, in order of time.
        end_s: Where the trace ends. What is there then stays.
    """

    source: str
    format: str
    initial: tuple[CapacityEvent, ...]
    events: tuple[CapacityEvent, ...]
    end_s: float

    @property
    def initial_count(self) -> int:
        """Instances at 0 s."""
        return sum(event.count for event in self.initial)

    def counts(self) -> list[tuple[float, int]]:
        """The step function (time in s, instances from then on), starting at 0 s, one entry per change."""
        steps = [(0.0, self.initial_count)]
        for event in self.events:
            count = steps[-1][1] + event.change
            if steps[-1][0] == event.time_s:
                steps.pop()
            steps.append((event.time_s, count))
        return steps

    @property
    def instance_hours(self) -> float:
        """∫ instances dt from 0 to ``end_s``, in hours."""
        steps = [*self.counts(), (self.end_s, 0)]
        held_s = sum(n * (after - time) for (time, n), (after, _) in pairwise(steps))
        return held_s / 3600.0

    @property
    def zones(self) -> tuple[str, ...]:
        """All zones it names, in order of appearance."""
        return tuple(dict.fromkeys(event.zone for event in (*self.initial, *self.events)))

    @property
    def has_capacity(self) -> bool:
        """Whether there is ever an instance."""
        return bool(self.initial) or any(event.kind == "add" for event in self.events)


def from_start(
    events: Iterable[CapacityEvent], start_s: float, time_scale: float
) -> tuple[tuple[CapacityEvent, ...], tuple[CapacityEvent, ...]]:
    """(initial, later) events of a trace cut at ``start_s`` and stretched; what is held there is initial.

    Args:
        events: In order of time; removals remove what is there.
        start_s: Where the run begins, in the trace's own seconds.
        time_scale: Simulated seconds in one of the trace's.
    """
    held: dict[tuple[str, str | None], int] = {}
    later = []
    for event in events:
        if event.time_s > start_s:
            later.append(replace(event, time_s=(event.time_s - start_s) * time_scale))
            continue
        key = event.zone, event.instance
        held[key] = held.get(key, 0) + event.change
    initial = tuple(CapacityEvent(0.0, "add", *key, count=n) for key, n in held.items() if n)
    return initial, tuple(later)


def merged(parts: Iterable[Iterable[CapacityEvent]]) -> Iterator[CapacityEvent]:
    """Events of several zones in order of time, each part in its own order; lazy."""
    return merge(*parts, key=attrgetter("time_s"))
