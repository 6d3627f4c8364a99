"""What capacity a spot pool has over time: a trace's, or drawn from reclaim rates."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import accumulate, count

import numpy as np

from llmsim import rng
from llmsim.files.spot.events import CapacityEvent, merged
from llmsim.files.spot.read import read_capacity
from llmsim.spec.spot import Hazard, Spot

SECONDS_PER_HOUR = 3600.0


@dataclass(frozen=True)
class Availability:
    """Capacity from 0 s on.

    Attributes:
        initial: What is there at 0 s, as additions.
        events: What changes after that, in order of time. May never end: take one at a time.
        source: Where it comes from, in words.
        zones: All that it names, in order of appearance; "" in a trace without zones.
    """

    initial: tuple[CapacityEvent, ...]
    events: Iterable[CapacityEvent]
    source: str
    zones: tuple[str, ...] = ()

    @property
    def most(self) -> int:
        """Most instances there ever are; of capacity without end, those of the start. Pure query."""
        events: tuple[CapacityEvent, ...] = self.events if isinstance(self.events, tuple) else ()
        changes: list[int] = [event.change for event in (*self.initial, *events)]
        return max(accumulate(changes, initial=0))


def availability(spot: Spot, *, pool: str, instances: int, seed: int) -> Availability:
    """The capacity that ``spot`` describes.

    Args:
        spot: Its paths are absolute.
        pool: Name of the pool; random streams are named after it.
        instances: How many instances the pool wants; a hazard has as many, a trace its own number.
        seed: Of the run.

    Raises:
        TraceError: The trace cannot be read or never has capacity.
    """
    if spot.hazard is not None:
        rate = f"{spot.hazard.reclaims_per_instance_hour:g} reclaims per instance-hour"
        zones = f"{len(spot.hazard.zones)} zone{'s' * (len(spot.hazard.zones) != 1)}"
        initial = tuple(_instances(spot.hazard.zones, instances))
        return Availability(
            initial,
            hazard_events(spot.hazard, initial, pool, seed),
            f"{rate} in {zones}",
            tuple(spot.hazard.zones),
        )
    trace = read_capacity(
        spot.trace or "", names=spot.names, time_scale=spot.time_scale, start_s=spot.start_s
    )
    return Availability(trace.initial, trace.events, f"{trace.format}, {trace.source}", trace.zones)


def _instances(zones: Sequence[str], instances: int) -> Iterator[CapacityEvent]:
    """``instances`` dealt to ``zones`` in turn, each by name."""
    for index in range(instances):
        zone = zones[index % len(zones)]
        yield CapacityEvent(0.0, "add", zone, f"{zone}/{index // len(zones)}")


def hazard_events(
    hazard: Hazard, initial: Sequence[CapacityEvent], pool: str, seed: int
) -> Iterator[CapacityEvent]:
    """Reclaims and returns of ``initial``, in order of time, without end (none when the rate is 0).

    In each zone reclaims form a Poisson process. With λ reclaims per instance-hour, n instances held
    and a share c of zone-wide ones, single reclaims come at rate (1 − c)·λ·n and a loss of the whole
    zone at rate c·λ, so that an instance's own rate is λ whatever c is (the common-shock model of
    Marshall and Olkin 1967). What is taken returns after an exponential outage; a zone's instances lost
    together return together. Availability is then 1/λ over 1/λ + mean outage.

    Args:
        hazard: Rates.
        initial: The instances there at 0 s, by name.
        pool: Names the random streams: one for each of its zones.
        seed: Of the run.
    """
    by_zone: dict[str, list[str]] = {}
    for event in initial:
        by_zone.setdefault(event.zone, []).append(event.instance or "")
    return merged(
        _zone_events(hazard, zone, names, rng.stream(seed, f"spot/{pool}/{zone}"))
        for zone, names in by_zone.items()
    )


def _zone_events(
    hazard: Hazard, zone: str, names: list[str], random: np.random.Generator
) -> Iterator[CapacityEvent]:
    """One zone's events. Exponential gaps have no memory, so one is drawn anew after every change."""
    rate = hazard.reclaims_per_instance_hour / SECONDS_PER_HOUR
    single_rate, zone_rate = (1 - hazard.correlated_share) * rate, hazard.correlated_share * rate
    held, away = list(names), list[tuple[float, int, list[str]]]()
    order = count()
    now = 0.0
    while rate > 0:
        total = single_rate * len(held) + zone_rate * bool(held)
        reclaim_s = now + random.exponential(1 / total) if held else float("inf")
        if away and away[0][0] <= reclaim_s:
            now, _, back = heappop(away)
            held += back
            yield from (CapacityEvent(now, "add", zone, name) for name in back)
            continue
        now = reclaim_s
        if random.random() * total < zone_rate:
            lost, held = held, []
        else:
            lost = [held.pop(int(random.integers(len(held))))]
        heappush(away, (now + random.exponential(hazard.mean_outage_s), next(order), lost))
        yield from (CapacityEvent(now, "remove", zone, name) for name in lost)
