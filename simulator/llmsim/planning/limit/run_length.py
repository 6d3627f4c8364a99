"""How long a load has to be offered before its latencies tell whether the fleet takes it.

Where arrivals come faster than they are served by a share ε, work of (1 + ε)·W has come after a window W and W of it
is done: the last request waits about ε·W. So W = limit/ε makes an excess of one step of the search show as a delay
of the whole limit. A fleet also needs some residence times before it is as full as it will be, so W is at least
stay/ε; where sessions bring requests, the stay is that of a whole session.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil

from llmsim.files.changes import Change
from llmsim.files.scenario_file import LoadedScenario
from llmsim.spec.arrivals import CHANGING, BurstArrivals, ClosedArrivals, TraceArrivals
from llmsim.spec.targets import Slo
from llmsim.spec.workload import Workload
from llmsim.workload.stream import open_stream

LEAST_REQUESTS = 100
ROUNDS = 10
"""Requests for each user of a closed loop: the first ones all come at once."""
MOST_REQUESTS = 10_000
"""A run is lengthened to so many at most; one that the user made longer stays so."""
LONE_REQUESTS = 100


@dataclass(frozen=True)
class RunLength:
    """Lengthens what is too short; leaves a trace, and a profile played once, as long as they are.

    Attributes:
        given: The scenario as the user wrote it.
        window_s: Least time over which requests should arrive.
    """

    given: LoadedScenario
    window_s: float

    @classmethod
    def for_targets(cls, given: LoadedScenario, stay_s: float, resolution: float) -> RunLength:
        """Long enough to tell loads apart that differ by the share ``resolution``.

        Args:
            given: The scenario.
            stay_s: Mean time from arrival to last token of a request that is alone.
            resolution: Above 0.
        """
        sessions = given.scenario.workload.all_sessions
        stay_s = max([stay_s, *(one.mean_stay_s(stay_s) for one in sessions)])
        slo = given.scenario.slo
        limits_s = [limit / 1e3 for limit in _limits_ms(slo)]
        return cls(given, max([stay_s, *limits_s]) / resolution)

    def changes(self, loaded: LoadedScenario) -> list[Change]:
        """What makes ``loaded``, the scenario at some load, last as long as needed. Pure but for opening a trace."""
        workload = loaded.scenario.workload
        if isinstance(workload.arrival, BurstArrivals) or _ends_with_its_source(workload):
            return []
        rate = self._rate(loaded)
        if workload.num_requests is not None:
            count = self._count(loaded, workload.num_requests, rate)
            return [_set("num_requests", count)] if count != workload.num_requests else []
        assert workload.duration_s is not None
        if not rate:
            return []
        wanted_s = min(max(self.window_s, LEAST_REQUESTS / rate), MOST_REQUESTS / rate)
        return [_set("duration_s", wanted_s)] if wanted_s > workload.duration_s else []

    def is_short(self, loaded: LoadedScenario) -> bool:
        """Whether requests of ``loaded`` arrive over less than the window."""
        workload = loaded.scenario.workload
        stream = open_stream(workload, 0, loaded.base_dir)
        if workload.duration_s is not None:
            return workload.duration_s < self.window_s
        if stream.total is None:
            return False
        if isinstance(workload.arrival, ClosedArrivals):
            return stream.total < ROUNDS * workload.arrival.max_concurrency
        return stream.total < (stream.mean_rate or 0.0) * self.window_s * (1 - 1e-9)

    def _count(self, loaded: LoadedScenario, given: int, rate: float | None) -> int:
        arrival = loaded.scenario.workload.arrival
        if isinstance(arrival, ClosedArrivals):
            return max(given, min(ROUNDS * arrival.max_concurrency, MOST_REQUESTS))
        own_rate = self._rate(self.given)
        if isinstance(arrival, CHANGING) and not isinstance(arrival, TraceArrivals) and rate and own_rate:
            return max(LEAST_REQUESTS, round(given * rate / own_rate))  # the same hours at any rate
        needed = max(LEAST_REQUESTS, ceil(self.window_s * (rate or 0.0)))
        return max(given, min(needed, MOST_REQUESTS))

    def _rate(self, loaded: LoadedScenario) -> float | None:
        return open_stream(loaded.scenario.workload, 0, loaded.base_dir).mean_rate


def lone(loaded: LoadedScenario) -> Iterator[Change]:
    """What makes requests of the same lengths come one at a time: the load below all others."""
    workload = loaded.scenario.workload
    yield Change(("workload", "arrival"), {"kind": "closed", "max_concurrency": 1}, "one request at a time")
    yield _set("duration_s", None)
    yield _set("time_scale", 1.0)
    if workload.has_row_lengths and workload.num_requests is None:
        yield _set("limit", min(workload.limit or LONE_REQUESTS, LONE_REQUESTS))
    else:
        yield _set("num_requests", min(workload.num_requests or LONE_REQUESTS, LONE_REQUESTS))


def _ends_with_its_source(workload: Workload) -> bool:
    """Whether requests last as long as their trace or profile does."""
    return workload.num_requests is None and workload.duration_s is None


def _set(name: str, value: float | None) -> Change:
    return Change(("workload", name), value, f"workload.{name}={value}")


def _limits_ms(slo: Slo) -> Iterator[float]:
    for targets in (slo, *slo.classes.values()):
        for limit in (targets.ttft_ms, targets.e2el_ms):
            if limit is not None:
                yield limit
