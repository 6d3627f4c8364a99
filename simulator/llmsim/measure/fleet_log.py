"""What happened to the fleet itself: who came, who went, and what was lost with them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from math import fsum
from typing import Any, Literal, NamedTuple

Kind = Literal["requested", "serving", "notice", "reclaimed", "crashed", "draining", "released", "migrated"]

Steps = list[tuple[float, int]]
"""A step function: (time in s, value from then on), in order of time, each time once."""


class FleetEvent(NamedTuple):
    """One change.

    Attributes:
        time_s: When.
        kind: An instance was requested, given notice of, reclaimed, crashed or released; a replica came to
            serve, or drains; requests were migrated.
        pool, instance: Whose; the instance "" where the event is a replica's.
        serving: Replicas of the pool that take requests, after it.
        requests: Requests hit: they had begun, and lost their place.
        lost_tokens: Tokens of KV that went with it, to be computed anew.
        moved_tokens: Tokens of KV that reached another replica.
        moved_bytes: Bytes sent for that.
    """

    time_s: float
    kind: Kind
    pool: str
    instance: str = ""
    serving: int = 0
    requests: int = 0
    lost_tokens: int = 0
    moved_tokens: int = 0
    moved_bytes: float = 0.0


class Assumed(NamedTuple):
    """What the fleet took as given: what, how much, and where that comes from."""

    label: str
    value: str
    source: str


@dataclass
class FleetLog:
    """The changes, in order of time.

    Attributes:
        pools: Names of the pools that can change.
        fixed: Replicas of the pools that cannot.
        events: What happened.
        assumed: Machines, storage and links that the run took as given.
        capacity: By pool, where its spot capacity comes from.
        given_up: Why the run was ended although more could have happened; "" where it was not.
    """

    pools: tuple[str, ...] = ()
    fixed: int = 0
    events: list[FleetEvent] = field(default_factory=list)
    assumed: list[Assumed] = field(default_factory=list)
    capacity: dict[str, str] = field(default_factory=dict)
    given_up: str = ""

    def add(self, event: FleetEvent) -> None:
        """Append one."""
        self.events.append(event)

    def summary(self, start_s: float, end_s: float) -> dict[str, Any]:
        """Counts of the whole run, and the seconds between two times in which a pool had nobody to serve.

        ``reclaims`` and ``crashes`` count instances (see :meth:`losses_s`). ``requests_hit`` counts a request
        each time it loses its place, with its KV or without. ``lost_kv_tokens`` are computed anew,
        ``moved_kv_tokens`` are not. ``downtime_s`` adds up over pools.
        """
        return {
            "reclaims": len(self.losses_s("reclaimed")),
            "crashes": len(self.losses_s("crashed")),
            "requests_hit": sum(event.requests for event in self.events),
            "lost_kv_tokens": sum(event.lost_tokens for event in self.events),
            "moved_kv_tokens": sum(event.moved_tokens for event in self.events),
            "moved_bytes": sum(event.moved_bytes for event in self.events),
            "downtime_s": fsum(self._downtimes_s(start_s, end_s)),
        }

    def losses_s(self, kind: Literal["reclaimed", "crashed"]) -> list[float]:
        """When instances went, in order; those given back empty after notice were reclaimed too."""
        noticed: set[tuple[str, str]] = set()
        times_s = []
        for event in self.events:
            who = event.pool, event.instance
            if event.kind == "notice":
                noticed.add(who)
            elif event.kind == "released" and who in noticed:
                noticed.discard(who)
                times_s += [event.time_s] * (kind == "reclaimed")
            elif event.kind in ("reclaimed", "crashed"):
                noticed.discard(who)
                times_s += [event.time_s] * (kind == event.kind)
        return times_s

    def serving(self, pool: str | None = None) -> Steps:
        """Replicas that take requests, of ``pool`` or of all pools that can change; 0 before the first."""
        now = dict.fromkeys(self.pools if pool is None else (pool,), 0)
        steps: Steps = [(0.0, 0)]
        for event in self.events:
            if event.pool in now and now[event.pool] != event.serving:
                now[event.pool] = event.serving
                if steps[-1][0] == event.time_s:
                    steps.pop()
                if not steps or steps[-1][1] != sum(now.values()):
                    steps.append((event.time_s, sum(now.values())))
        return steps

    def _downtimes_s(self, start_s: float, end_s: float) -> Iterator[float]:
        """Per pool, the time without any replica that serves."""
        for pool in self.pools:
            for since_s, until_s, serving in within(self.serving(pool), start_s, end_s):
                if not serving:
                    yield until_s - since_s


def within(steps: Steps, start_s: float, end_s: float) -> Iterator[tuple[float, float, int]]:
    """(from, until, value) of the parts of a step function between two times. Pure."""
    for (since_s, value), (until_s, _) in pairwise([*steps, (end_s, 0)]):
        first_s, last_s = max(since_s, start_s), min(until_s, end_s)
        if last_s > first_s:
            yield first_s, last_s, value
