"""What there is to see of a pool, gathered at each look in a time that grows with its replicas alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import nan
from statistics import fmean
from typing import Protocol

from llmsim.engine.request import Request
from llmsim.engine.run import TIE
from llmsim.sim.autoscalers.base import PoolView
from llmsim.sim.fleet import Fleet
from llmsim.sim.replica import Replica
from llmsim.sim.routers.base import Router
from llmsim.spec.targets import Slo


class Serving(Protocol):
    """A deployed replica; with data-parallel ranks, an engine each."""

    @property
    def replicas(self) -> Sequence[Replica]:
        """Its engines."""
        ...


class Supplied(Protocol):
    """A pool whose replicas come and go, as far as it concerns who says how many there should be."""

    @property
    def target(self) -> int:
        """Replicas wanted."""
        ...

    @property
    def serving(self) -> Sequence[Serving]:
        """Those that take requests."""
        ...

    @property
    def num_starting(self) -> int:
        """Those that will."""
        ...

    @property
    def num_draining(self) -> int:
        """Those that only finish what they have."""
        ...

    def want(self, replicas: int) -> None:
        """Change the number of replicas wanted."""
        ...


class Observer:
    """Looks at a pool. It reads counters that are kept anyway, and each request twice at most.

    Args:
        fleet: Open; its requests and door.
        supply: The pool.
        router: Of the pool's model, at the door.
        num_held: Says how many requests wait because there is no such replica, or no room at one to move to.
        has_router_alone: Whether no other pool serves that model.
        slo: What first tokens are judged by.
    """

    def __init__(
        self,
        fleet: Fleet,
        supply: Supplied,
        router: Router,
        num_held: Callable[[], int],
        *,
        has_router_alone: bool,
        slo: Slo,
    ) -> None:
        self._fleet = fleet
        self._supply = supply
        self._router = router
        self._num_held = num_held
        self._has_router_alone = has_router_alone
        self._has_fleet_alone = len(set(fleet.door.routers.values())) == 1
        self._last_s = fleet.clock.now
        self._num_offered = 0
        self._delivered: dict[Replica, int] = {}
        self._judge = _FirstTokens(slo)

    def look(self) -> PoolView:
        """The pool now, with what happened since the last look."""
        fleet, supply = self._fleet, self._supply
        now_s = fleet.clock.now
        serving = supply.serving
        replicas = [replica for each in serving for replica in each.replicas]
        usage = [replica.kv_usage for replica in replicas]
        waiting = sum(replica.num_waiting for replica in replicas)
        running = sum(replica.num_requests for replica in replicas) - waiting
        view = PoolView(
            now_s=now_s,
            interval_s=now_s - self._last_s,
            target=supply.target,
            serving=len(serving),
            starting=supply.num_starting,
            draining=supply.num_draining,
            running=running,
            waiting=self._router.num_waiting if self._has_router_alone else waiting,
            held=self._num_held(),
            kv_usage=fmean(usage) if usage else 0.0,
            kv_usage_max=max(usage, default=0.0),
            arrivals=self._arrivals(),
            completions=self._completions(replicas),
            ttft_attainment=self._judge.share_in_time(fleet.requests, now_s, self._is_mine),
        )
        self._last_s = now_s
        return view

    def _is_mine(self, req: Request) -> bool:
        """Whether ``req`` asks for the pool's model."""
        return self._has_fleet_alone or self._fleet.door.routers[req.model] is self._router

    def _arrivals(self) -> int:
        requests, first = self._fleet.requests, self._num_offered
        self._num_offered = last = len(requests)
        if self._has_fleet_alone:
            return last - first
        return sum(self._is_mine(requests[index]) for index in range(first, last))

    def _completions(self, replicas: Sequence[Replica]) -> int:
        """Delivered since the last look by those that serve now or served then."""
        before = self._delivered
        self._delivered = {replica: replica.engine.num_delivered for replica in replicas}
        gone = sum(replica.engine.num_delivered - count for replica, count in before.items()
                   if replica not in self._delivered)  # fmt: skip
        return gone + sum(count - before.get(replica, 0) for replica, count in self._delivered.items())


class _FirstTokens:
    """Judges first tokens, each request once: when its time is up, whether its first token had come by then.

    So a request that still waits counts as soon as it is late, not when it is served at last. With limits
    that differ between classes, all are judged after the longest. What can never run is not judged.
    """

    def __init__(self, slo: Slo) -> None:
        self._slo = slo
        self._limits_s: dict[str, float | None] = {}
        limits_ms = [limits.ttft_ms for limits in (slo, *slo.classes.values()) if limits.ttft_ms is not None]
        self._longest_s = max(limits_ms) / 1e3 if limits_ms else None
        self._next = 0

    def share_in_time(
        self, requests: Sequence[Request], now_s: float, is_mine: Callable[[Request], bool]
    ) -> float:
        """Of the requests whose time is up since the last call; nan when there were none."""
        if self._longest_s is None:
            return nan
        latest_s, judged, in_time = now_s * (1 + TIE) - self._longest_s, 0, 0
        while self._next < len(requests) and requests[self._next].arrival_s <= latest_s:
            req = requests[self._next]
            self._next += 1
            limit_s = self._limit_s(req.class_name)
            refused = req.status == "rejected" and req.left_s != req.left_s
            if limit_s is not None and not refused and is_mine(req):
                judged += 1
                in_time += req.first_token_s - req.arrival_s <= limit_s * (1 + TIE)
        return in_time / judged if judged else nan

    def _limit_s(self, class_name: str) -> float | None:
        if class_name not in self._limits_s:
            limit_ms = self._slo.of_class(class_name).ttft_ms
            self._limits_s[class_name] = None if limit_ms is None else limit_ms / 1e3
        return self._limits_s[class_name]
