"""The fleet's front door: it finds each request's router, and keeps it while there is no replica."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence

from llmsim.engine.request import Request
from llmsim.sim.replica import Replica
from llmsim.sim.routers.base import Destination, Router

Send = Callable[[Destination, Request], None]


class Door:
    """Everyone is let in.

    Args:
        routers: The router of each model, under every name that requests or replicas may give it.
        send: Puts a request on its way to a destination.

    Attributes:
        watches: Whether it is to be told of requests that left a replica.
        when_held: Called with the router of a request that has to wait here for a replica.
    """

    def __init__(self, routers: Mapping[str, Router], send: Send) -> None:
        self.routers = routers
        self.send = send
        self.watches = any(router.watches for router in routers.values())
        self.when_held: Callable[[Router], None] = lambda _: None
        self._last: tuple[int, Destination | None] = (-1, None)  # a group, and where it goes
        self._held: dict[Router, deque[Request]] = {router: deque() for router in routers.values()}

    def num_held(self, router: Router) -> int:
        """Requests that wait here for one of ``router``'s replicas. Pure query."""
        return len(self._held[router])

    def arrive(self, req: Request) -> None:
        """``req`` goes on to a replica of its model; while there is none it waits here."""
        router = self.routers[req.model]
        if not router.replicas:
            self._held[router].append(req)
            self.when_held(router)
            return
        destination = self.choose(router, req)
        self.send(destination, req)
        if router.watches:
            router.sent(req, destination)

    def choose(self, router: Router, req: Request) -> Destination:
        """Where ``req`` goes: where the one before it went, if they are of a group, or where ``router`` says."""
        if req.group < 0:
            return router.choose(req)
        group, destination = self._last
        if destination is None or group != req.group:
            destination = router.choose(req)
            self._last = (req.group, destination)
        return destination

    def come_back(self, req: Request) -> None:
        """``req`` was on a replica that is gone, and needs another."""
        self.arrive(req)

    def hand_to(self, replica: Replica, req: Request) -> None:
        """``req`` goes on at ``replica``, where its KV is."""
        self.send(replica, req)
        router = self.routers[replica.model]
        if router.watches:
            router.sent(req, replica)

    def gone(self, requests: Sequence[Request], replica: Replica) -> None:
        """``requests`` have left ``replica``: delivered, refused, dropped, lost or handed over."""
        self.routers[replica.model].gone(requests, replica)

    def refused(self, req: Request, destination: Destination) -> None:
        """``destination`` can never serve ``req``."""
        self.routers[req.model].gone((req,), destination)

    def joined(self, replica: Replica) -> None:
        """``replica`` accepts requests from now on; those that waited for one go on, in order."""
        router = self.routers[replica.model]
        held = self._held[router]
        router.joined(replica)
        while held and router.replicas:
            self.arrive(held.popleft())

    def left(self, replica: Replica) -> None:
        """``replica`` accepts no more requests."""
        self._last = (-1, None)
        self.routers[replica.model].left(replica)
