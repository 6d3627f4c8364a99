"""A front door with limits: who is turned away, who gives up, and who comes back."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import Literal

from llmsim.engine.request import Request
from llmsim.rng import stream
from llmsim.sim.clock import ARRIVAL, EXPIRY, Clock
from llmsim.sim.door import Door, Send
from llmsim.sim.replica import Replica
from llmsim.sim.routers.base import Destination, Router
from llmsim.spec.admission import Admission

QUEUE_FULL = "the queue was full (max_queued_requests)"
REPLICA_FULL = "its replica's queue was full (max_queued_requests_per_replica)"
TIMED_OUT = "waited longer than queue_timeout_s"


class Ticket:
    """A request at the door, over all its tries.

    Attributes:
        req: The request.
        tries: How often it has been turned away or given up.
        destination: Where it was sent in this try; None while it waits at the door.
        was_in: Whether it has been let in before, and has only lost its replica.
    """

    __slots__ = ("destination", "req", "tries", "was_in")

    def __init__(self, req: Request) -> None:
        self.req = req
        self.tries = 0
        self.destination: Destination | None = None
        self.was_in = False


class LimitedDoor(Door):
    """Turns requests away while too many wait, lets them give up after a time, and takes them back.

    A request stays one request however often it comes; it arrived when it first did. What can never
    run is refused for good, without a retry.

    Args:
        routers, send: As :class:`Door`.
        clock: For time-outs and back-offs.
        admission: The limits.
        seed: Of the back-offs' jitter.
        ended: Told of each request that was turned away or gave up for good.
    """

    def __init__(
        self,
        routers: Mapping[str, Router],
        send: Send,
        clock: Clock,
        admission: Admission,
        seed: int,
        ended: Callable[[Request], None],
    ) -> None:
        super().__init__(routers, send)
        self._clock = clock
        self._limits = admission
        self._jitter = stream(seed, "door.backoff")
        self._ended = ended
        self._waiting: dict[Router, deque[Ticket]] = {router: deque() for router in routers.values()}
        self._deadlines: deque[tuple[float, Ticket, int]] = deque()
        """(time, ticket, its tries then): never out of order, as every request has the same patience."""
        self._patience: dict[Request, Ticket] = {}
        """Those with a deadline, by request."""
        self._is_watching = False

    def num_held(self, router: Router) -> int:
        """See :class:`Door`."""
        return len(self._waiting[router])

    def arrive(self, req: Request) -> None:
        """``req`` has come for the first time."""
        self._try(Ticket(req))

    def come_back(self, req: Request) -> None:
        """See :class:`Door`. It was let in before, so no limit holds for it; its patience goes on."""
        ticket = self._patience.get(req) or Ticket(req)
        ticket.destination, ticket.was_in = None, True
        router = self.routers[req.model]
        if router.replicas:
            self._send_on(router, ticket, self.choose(router, req))
        else:
            self._waiting[router].append(ticket)
            self.when_held(router)

    def hand_to(self, replica: Replica, req: Request) -> None:
        """See :class:`Door`."""
        ticket = self._patience.get(req) or Ticket(req)
        self._send_on(self.routers[replica.model], ticket, replica)

    def joined(self, replica: Replica) -> None:
        """See :class:`Door`."""
        router = self.routers[replica.model]
        waiting = self._waiting[router]
        router.joined(replica)
        while waiting and router.replicas:
            self._route(router, waiting.popleft())

    def _try(self, ticket: Ticket) -> None:
        router = self.routers[ticket.req.model]
        waiting = self._waiting[router]
        most = self._limits.max_queued_requests
        if most is not None and len(waiting) + router.num_waiting >= most:
            self._turn_away(ticket, "rejected", QUEUE_FULL)
            return
        if self._limits.queue_timeout_s is not None:
            self._deadlines.append((self._clock.now + self._limits.queue_timeout_s, ticket, ticket.tries))
            self._patience[ticket.req] = ticket
            self._watch()
        if router.replicas:
            self._route(router, ticket)
        else:
            waiting.append(ticket)
            self.when_held(router)

    def _route(self, router: Router, ticket: Ticket) -> None:
        req = ticket.req
        destination = self.choose(router, req)
        most = self._limits.max_queued_requests_per_replica
        if most is not None and destination.num_waiting >= most and not ticket.was_in:
            self._turn_away(ticket, "rejected", REPLICA_FULL)
            return
        self._send_on(router, ticket, destination)

    def _send_on(self, router: Router, ticket: Ticket, destination: Destination) -> None:
        ticket.destination = destination
        self.send(destination, ticket.req)
        if router.watches:
            router.sent(ticket.req, destination)

    def _watch(self) -> None:
        """Wake up at the first deadline, unless that is settled already."""
        if self._deadlines and not self._is_watching:
            self._is_watching = True
            self._clock.call(self._deadlines[0][0], EXPIRY, self._expire)

    def _expire(self) -> None:
        """Let go of those whose time is up, and forget those that have started meanwhile."""
        self._is_watching = False
        deadlines = self._deadlines
        while deadlines:
            deadline_s, ticket, tries = deadlines[0]
            req = ticket.req
            waits = ticket.tries == tries and req.status == "waiting" and req.scheduled_s != req.scheduled_s
            if waits and deadline_s > self._clock.now:
                break
            deadlines.popleft()
            if ticket.tries == tries:
                self._patience.pop(req, None)
            if waits:
                self._give_up(ticket)
        self._watch()

    def _give_up(self, ticket: Ticket) -> None:
        req, router = ticket.req, self.routers[ticket.req.model]
        if ticket.destination is None:
            self._waiting[router].remove(ticket)
        elif ticket.destination.withdraw(req):
            router.gone((req,), ticket.destination)
        self._turn_away(ticket, "dropped", TIMED_OUT)

    def _turn_away(self, ticket: Ticket, status: Literal["rejected", "dropped"], reason: str) -> None:
        """Back after a while, or gone for good."""
        req, tries = ticket.req, ticket.tries
        ticket.tries, ticket.destination, ticket.was_in = tries + 1, None, False
        if tries < self._limits.max_retries:
            jitter = self._limits.jitter_factor * (2 * self._jitter.random() - 1)
            again_s = self._clock.now + self._limits.backoff_s(tries) * (1 + jitter)
            self._clock.call(again_s, ARRIVAL, lambda: self._try(ticket))
            return
        req.status, req.left_s = status, self._clock.now
        req.reason = f"{reason}, {tries} retries included" if tries else reason
        self._ended(req)
