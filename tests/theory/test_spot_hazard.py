"""Reclaims from rates: what is drawn obeys the rates that were asked for."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import groupby, islice, takewhile
from math import sqrt

import pytest

from llmsim.files.spot.events import CapacityEvent
from llmsim.spec.spot import Spot
from llmsim.workload.availability import Availability, availability

HOUR_S = 3600.0


def made(seed: int = 0, *, pool: str = "main", instances: int = 12, **hazard: object) -> Availability:
    """Capacity from a hazard."""
    given = {"reclaims_per_instance_hour": 1.5, "mean_outage_s": 600.0, "zones": ["a", "b", "c"]} | hazard
    return availability(Spot.model_validate({"hazard": given}), pool=pool, instances=instances, seed=seed)


@dataclass
class Seen:
    """What happened up to a time."""

    reclaims: int = 0
    held_s: float = 0.0
    held_squared_s: float = 0.0
    zones: dict[str, int] = field(default_factory=dict)

    @classmethod
    def until(cls, end_s: float, capacity: Availability) -> Seen:
        """Instance-seconds, and Σ over zones of ∫ n² dt, from 0 s to ``end_s``."""
        seen, now = cls(), 0.0
        for event in capacity.initial:
            seen.zones[event.zone] = seen.zones.get(event.zone, 0) + 1
        last = CapacityEvent(end_s, "add", capacity.initial[0].zone, count=0)
        for event in [*takewhile(lambda event: event.time_s < end_s, capacity.events), last]:
            seen.held_s += (event.time_s - now) * sum(seen.zones.values())
            seen.held_squared_s += (event.time_s - now) * sum(n * n for n in seen.zones.values())
            now = event.time_s
            seen.reclaims += event.count * (event.kind == "remove")
            seen.zones[event.zone] += event.change
        return seen


@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
def test_reclaims_are_rate_times_instance_hours(share: float) -> None:
    """N − λ∫n dt is a martingale of variance (1 − c)λ∫n dt + cλ∫n² dt, zone by zone: within four sigma."""
    rate = 1.5 / HOUR_S
    seen = Seen.until(600 * HOUR_S, made(seed=3, correlated_share=share))
    sigma = sqrt((1 - share) * rate * seen.held_s + share * rate * seen.held_squared_s)

    assert abs(seen.reclaims - rate * seen.held_s) <= 4 * sigma


@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
def test_availability_is_up_over_up_and_down(share: float) -> None:
    """With 40 minutes up and 10 minutes down on average, capacity is there 80% of the time."""
    hours = 3000
    seen = Seen.until(hours * HOUR_S, made(seed=1, correlated_share=share))

    assert 0.8 == pytest.approx(seen.held_s / (hours * HOUR_S * 12), rel=0.02)


def test_a_zone_goes_as_a_whole() -> None:
    """With only correlated reclaims a zone is all there or all gone; and it returns as it went."""
    events = islice(made(correlated_share=1.0).events, 2000)
    counts = dict.fromkeys("abc", 4)
    for (_, zone, _), group in groupby(events, key=lambda event: (event.time_s, event.zone, event.kind)):
        counts[zone] += sum(event.change for event in group)
        assert counts[zone] in (0, 4)


def test_single_reclaims_come_one_at_a_time() -> None:
    """Without correlation no two instances go at once."""
    times = [event.time_s for event in islice(made(correlated_share=0.0).events, 2000)]

    assert len(times) == len(set(times))


def test_only_what_is_there_goes() -> None:
    """Each instance goes and returns in turn, and times never fall."""
    capacity = made(correlated_share=0.3)
    there = {event.instance for event in capacity.initial}
    last_s = 0.0
    for event in islice(capacity.events, 3000):
        assert (event.instance in there) == (event.kind == "remove")
        assert event.time_s >= last_s
        there ^= {event.instance}
        last_s = event.time_s


def test_streams_are_named() -> None:
    """The same seed gives the same events; a zone more moves none of the others; another pool has its own."""
    first = list(islice(made(7, instances=2, zones=["a", "b"]).events, 200))
    wider = made(7, instances=3, zones=["a", "b", "c"]).events

    assert first == list(islice(made(7, instances=2, zones=["a", "b"]).events, 200))
    assert first == list(islice((event for event in wider if event.zone != "c"), 200))
    assert first != list(islice(made(7, pool="other", instances=2, zones=["a", "b"]).events, 200))


def test_no_rate_no_events() -> None:
    """Capacity that is never taken has no events."""
    assert [] == list(made(reclaims_per_instance_hour=0.0).events)
