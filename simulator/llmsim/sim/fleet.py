"""Requests arrive, are routed, and come back done."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from typing import Protocol

from llmsim.engine.core import Engine
from llmsim.engine.request import Request
from llmsim.engine.run import TIE
from llmsim.sim.client import Client
from llmsim.sim.clock import ARRIVAL, Alarm, Clock
from llmsim.sim.conversations import Conversations, Following
from llmsim.sim.door import Door
from llmsim.sim.handover import Handover
from llmsim.sim.limited_door import LimitedDoor
from llmsim.sim.pipeline import PipelinedReplica
from llmsim.sim.prefill_replica import PipelinedPrefillReplica, PrefillReplica
from llmsim.sim.replica import NO_FRONT_END, FrontEnd, Replica
from llmsim.sim.routers.base import Destination, Router
from llmsim.spec.admission import Admission
from llmsim.spec.serving import Role

PROGRESS_EVERY = 2048
"""Requests between two reports of progress."""

NO_LIMITS = Admission()

Progress = Callable[[float, int, int | None], None]


class RequestSource(Protocol):
    """Where requests come from: an open loop's arrivals, or a closed loop's users."""

    total: int | None
    max_concurrency: int | None
    most_in_flight: int | None

    @property
    def following(self) -> Following | None:
        """What says which request another one brings; None where none does."""

    def requests(self) -> Iterator[Request]:
        """Open loop: every request, in order of arrival."""
        ...

    def draw(self, arrival_s: float) -> Request | None:
        """Closed loop: the next request, arriving at ``arrival_s``; None when no more come."""
        ...


class Fleet:
    """Replicas behind a door, and the users in front of it.

    Attributes:
        requests: Every request offered so far, in order of arrival.
        num_finished: How many of them are done, one way or another.
        replicas: All there ever were, by index; which of them take requests, the door's routers know.
        when_over: Called when every request is done and none will follow.
    """

    def __init__(self, clock: Clock, stream: RequestSource) -> None:
        self.clock = clock
        self.stream = stream
        self.requests: list[Request] = []
        self.num_finished = 0
        self.replicas: list[Replica] = []
        self.progress: Progress | None = None
        self.when_over: Callable[[], None] | None = None
        self.handover: Handover | None = None
        self._all_offered = False
        self._next_offers = 0
        self._next_user: Callable[[], None] | None = None
        self._client: Client | None = None
        self._conversations: Conversations | None = None

    def add(self, engine: Engine, front_end: FrontEnd = NO_FRONT_END, role: Role = "mixed") -> Replica:
        """A replica that runs ``engine``, which is numbered as the next. Nobody sends to it before it joins."""
        delivered = {"prefill": self._prefilled, "decode": self._decoded}.get(role, self._delivered)
        kinds = (
            (PrefillReplica, PipelinedPrefillReplica) if role == "prefill" else (Replica, PipelinedReplica)
        )
        replica = kinds[len(engine.stages) > 1](self.clock, engine, delivered, front_end)
        replica.role = role
        replica.when_dropped = self._dropped
        self.replicas.append(replica)
        return replica

    def joined(self, replica: Replica) -> None:
        """``replica`` takes requests from now on."""
        (self.handover if replica.role == "decode" and self.handover else self.door).joined(replica)

    def left(self, replica: Replica) -> None:
        """``replica`` takes no more requests."""
        (self.handover if replica.role == "decode" and self.handover else self.door).left(replica)

    def stop(self, replica: Replica) -> list[tuple[Request, int]]:
        """``replica``, which has left, is gone; returns its requests, each with its tokens of KV."""
        gone = replica.stop()
        if self.handover:
            gone += self.handover.lost(replica)
        if self.door.watches and replica.role != "decode":
            self.door.gone([req for req, _ in gone], replica)
        return gone

    def start_over(self, req: Request, lost_tokens: int) -> None:
        """``req``, which has lost its replica and so much KV, goes to another one and computes that anew."""
        req.moves += 1
        req.lost_tokens += lost_tokens
        req.stop_at = req.output_tokens
        self.door.come_back(req)

    def open(self, routers: Mapping[str, Router], admission: Admission = NO_LIMITS, seed: int = 0) -> None:
        """Let the users in: to each model's router, within the limits at the door."""
        self.door = (
            LimitedDoor(routers, self._send, self.clock, admission, seed, self._turned_away)
            if admission.has_limits
            else Door(routers, self._send)
        )
        if self.stream.most_in_flight is not None:
            self._client = Client(self.clock, self.stream.most_in_flight, self._offer)
        if self.stream.following is not None:
            self._conversations = Conversations(self.clock, self.stream.following, self._issue)
        if self.stream.max_concurrency is None:
            self.clock.process(self._open_loop())
        else:
            self._next_user = self._closed_loop_arrival
            for _ in range(self.stream.max_concurrency):
                self._closed_loop_arrival()

    def close(self) -> None:
        """End the run here: whatever is not done stays ``unfinished``."""
        for replica in self.replicas:
            replica.settle()
        for req in self.requests:
            if req.status in ("waiting", "running"):
                req.status = "unfinished"

    def _open_loop(self) -> Generator[Alarm, None, None]:
        clock = self.clock
        alarm = Alarm(clock)
        issue = self._issue
        for req in self.stream.requests():
            yield clock.again(alarm, req.arrival_s, ARRIVAL)
            moment_s = req.arrival_s * (1 + TIE)
            while (next_s := clock.acts_before(ARRIVAL, moment_s)) is not None:
                yield clock.at(next_s, ARRIVAL)
            issue(req)
        self._all_offered = True
        self.ended(())

    @property
    def _issue(self) -> Callable[[Request], None]:
        """What takes a request that is due."""
        return self._client.issue if self._client else self._offer

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
        self.door.arrive(req)
        if self.progress and len(self.requests) % PROGRESS_EVERY == 0:
            self.progress(self.clock.now, self.num_finished, self.stream.total)

    def _send(self, destination: Destination, req: Request) -> None:
        refusal = (self.handover.refusal(req) if self.handover else "") or destination.submit(req)
        if refusal:
            req.status, req.reason = "rejected", refusal
            self.door.refused(req, destination)
            self.ended((req,))

    def _turned_away(self, req: Request) -> None:
        self.ended((req,))

    def _dropped(self, replica: Replica, dropped: Sequence[tuple[Request, str]]) -> None:
        """The scheduler of ``replica`` has given requests up, with a reason each; they do not come back."""
        for req, reason in dropped:
            req.status, req.reason, req.left_s = "dropped", reason, self.clock.now
        requests = [req for req, _ in dropped]
        if self.door.watches and replica.role != "decode":
            self.door.gone(requests, replica)
        self.ended(requests)

    def _delivered(self, requests: Sequence[Request]) -> None:
        """``requests``, all of one replica, are with their users."""
        if self.door.watches:
            self.door.gone(requests, self.replicas[requests[0].replica])
        self.ended(requests)

    def _prefilled(self, requests: Sequence[Request]) -> None:
        """The prompts of ``requests``, all of one replica, are computed; some may be done with that."""
        assert self.handover is not None  # there are prefill replicas
        source = self.replicas[requests[0].replica]
        if self.door.watches:
            self.door.gone(requests, source)
        self.handover.prefilled([req for req in requests if req.generated < req.output_tokens], source)
        self.ended([req for req in requests if req.generated == req.output_tokens])

    def _decoded(self, requests: Sequence[Request]) -> None:
        assert self.handover is not None  # there are decode replicas
        self.handover.decoded(requests, self.replicas[requests[0].replica])

    def ended(self, requests: Sequence[Request]) -> None:
        """``requests`` are done, one way or another."""
        self.num_finished += len(requests)
        over = self._conversations.ended(requests) if self._conversations else len(requests)
        if self._next_user:
            for _ in range(over):
                self._next_user()
        if self._client:
            self._client.ended(len(requests))
        if self.when_over and self._is_over():
            self.when_over()

    def _is_over(self) -> bool:
        """Whether every request is done and none will follow. Pure query."""
        held = self._next_offers or (self._client.num_held if self._client else 0)
        pending = self._conversations.num_pending if self._conversations else 0
        return self._all_offered and not held and not pending and self.num_finished == len(self.requests)
