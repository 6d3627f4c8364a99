"""Requests arrive, are routed, and come back done."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Protocol

from llmsim.engine.core import Engine
from llmsim.engine.request import Request
from llmsim.engine.run import TIE
from llmsim.sim.clock import ARRIVAL, Alarm, Clock
from llmsim.sim.pipeline import PipelinedReplica
from llmsim.sim.replica import NO_FRONT_END, Delivered, FrontEnd, Replica
from llmsim.sim.routers import Router

PROGRESS_EVERY = 2048
"""Requests between two reports of progress."""

Progress = Callable[[float, int, int | None], None]


class RequestSource(Protocol):
    """Where requests come from: an open loop's arrivals, or a closed loop's users."""

    total: int | None
    max_concurrency: int | None

    def requests(self) -> Iterator[Request]:
        """Open loop: every request, in order of arrival."""
        ...

    def draw(self, arrival_s: float) -> Request | None:
        """Closed loop: the next request, arriving at ``arrival_s``; None when no more come."""
        ...


class Fleet:
    """Replicas behind a router, and the users in front of it.

    Attributes:
        requests: Every request offered so far, in order of arrival.
        num_finished: How many of them have been delivered or refused.
        replicas: Those the router sends to; :meth:`join` and :meth:`leave` change them.
        at_the_door: Requests that found no replica to go to; the next one that joins takes them.
    """

    def __init__(self, clock: Clock, stream: RequestSource) -> None:
        self.clock = clock
        self.stream = stream
        self.requests: list[Request] = []
        self.num_finished = 0
        self.replicas: list[Replica] = []
        self.at_the_door: deque[Request] = deque()
        self.progress: Progress | None = None
        self.when_over: Callable[[], None] | None = None
        self._all_replicas: list[Replica] = []
        self._all_offered = False
        self._next_offers = 0
        self._next_user: Callable[[], None] | None = None

    def add(
        self, engine: Engine, front_end: FrontEnd = NO_FRONT_END, delivered: Delivered | None = None
    ) -> Replica:
        """A replica that runs ``engine``; nobody sends to it before it joins.

        Args:
            engine: Its index is the replica's.
            front_end: What a request passes before the engine sees it.
            delivered: Told of what it completes; by default those are done.
        """
        kind = PipelinedReplica if len(engine.stages) > 1 else Replica
        replica = kind(self.clock, engine, delivered or self.deliver, front_end)
        self._all_replicas.append(replica)
        return replica

    def open(self, router: Router) -> None:
        """Let the users in."""
        self.router = router
        if self.stream.max_concurrency is None:
            self.clock.process(self._open_loop())
        else:
            self._next_user = self._closed_loop_arrival
            for _ in range(self.stream.max_concurrency):
                self._closed_loop_arrival()

    def join(self, replica: Replica) -> None:
        """``replica`` takes requests from now on, first of all those that found nobody."""
        self.replicas.append(replica)
        self.router.joined(replica)
        for _ in range(len(self.at_the_door)):
            self.send(self.at_the_door.popleft())

    def leave(self, replica: Replica) -> None:
        """``replica`` takes no new requests from now on."""
        self.replicas.remove(replica)
        self.router.left(replica)

    def close(self) -> None:
        """End the run here: whatever is not done stays ``unfinished``."""
        for replica in self._all_replicas:
            replica.settle()
        for req in self.requests:
            if req.status in ("waiting", "running"):
                req.status = "unfinished"

    def send(self, req: Request) -> None:
        """``req`` goes where the router says; with no replica, it waits at the door."""
        if not self.replicas:
            self.at_the_door.append(req)
            return
        refusal = self.router.choose(req).submit(req)
        if refusal:
            req.status, req.reason = "rejected", refusal
            self.deliver((req,))

    def deliver(self, requests: Sequence[Request]) -> None:
        """``requests`` are done, or refused for good."""
        self.num_finished += len(requests)
        if self._next_user:
            for _ in requests:
                self._next_user()
        if self.when_over and self._is_over():
            self.when_over()

    def _is_over(self) -> bool:
        """Whether every request is done and none will follow. Pure query."""
        return self._all_offered and not self._next_offers and self.num_finished == len(self.requests)

    def _open_loop(self) -> Generator[Alarm, None, None]:
        clock = self.clock
        alarm = Alarm(clock)
        for req in self.stream.requests():
            yield clock.again(alarm, req.arrival_s, ARRIVAL)
            moment_s = req.arrival_s * (1 + TIE)
            while (next_s := clock.acts_before(ARRIVAL, moment_s)) is not None:
                yield clock.at(next_s, ARRIVAL)
            self._offer(req)
        self._all_offered = True
        self.deliver(())

    def _closed_loop_arrival(self) -> None:
        """A user sends the next request, now: after all completions of this moment."""
        req = self.stream.draw(self.clock.now)
        if req is None:
            self._all_offered = True
        else:
            self._next_offers += 1
            self.clock.at(self.clock.now, ARRIVAL).callbacks.append(lambda _: self._offer_next(req))

    def _offer_next(self, req: Request) -> None:
        self._next_offers -= 1
        self._offer(req)

    def _offer(self, req: Request) -> None:
        self.requests.append(req)
        self.send(req)
        if self.progress and len(self.requests) % PROGRESS_EVERY == 0:
            self.progress(self.clock.now, self.num_finished, self.stream.total)
