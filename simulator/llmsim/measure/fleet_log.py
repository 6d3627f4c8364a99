"""What happened to the fleet itself: who came, who went, and what was lost with them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Literal, NamedTuple

Kind = Literal["requested", "serving", "notice", "reclaimed", "crashed", "draining", "released", "migrated"]


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


@dataclass
class FleetLog:
    """The changes, in order of time."""

    events: list[FleetEvent] = field(default_factory=list)

    def add(self, event: FleetEvent) -> None:
        """Append one."""
        self.events.append(event)

    def summary(self, start_s: float, end_s: float) -> dict[str, Any]:
        """Counts of the whole run, and the seconds between two times in which a pool had nobody to serve."""
        reclaims = [event for event in self.events if event.kind in ("reclaimed", "crashed")]
        return {
            "reclaims": len(reclaims),
            "requests_hit": sum(event.requests for event in self.events),
            "lost_kv_tokens": sum(event.lost_tokens for event in self.events),
            "moved_kv_tokens": sum(event.moved_tokens for event in self.events),
            "moved_bytes": sum(event.moved_bytes for event in self.events),
            "downtime_s": sum(self._downtimes_s(start_s, end_s)),
        }

    def serving(self, pool: str) -> list[tuple[float, int]]:
        """The step function (time in s, replicas of ``pool`` that serve from then on)."""
        steps: list[tuple[float, int]] = []
        for event in self.events:
            if event.pool == pool and (not steps or steps[-1][1] != event.serving):
                steps.append((event.time_s, event.serving))
        return steps

    def _downtimes_s(self, start_s: float, end_s: float) -> Iterator[float]:
        """Per pool, the time without any replica that serves."""
        for pool in dict.fromkeys(event.pool for event in self.events):
            steps = [*self.serving(pool), (end_s, 0)]
            for (since_s, serving), (until_s, _) in pairwise(steps):
                if not serving:
                    yield max(0.0, min(until_s, end_s) - max(since_s, start_s))
