"""Routers: which replica a request goes to."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

from llmsim.engine.kv.base import NoOptions
from llmsim.engine.request import Request
from llmsim.sim.clock import ARRIVAL
from llmsim.sim.replica import Replica
from llmsim.spec.base import Strict


class Destination(Protocol):
    """Where a request can be sent."""

    def submit(self, req: Request) -> str:
        """Take ``req`` in, or say why it can never run there; empty when it is in."""
        ...


class Router(ABC):
    """Sends each arriving request somewhere.

    Args:
        replicas: The replicas that take requests, in order; the list changes with the fleet.
        options: What the scenario says beside ``kind``.
    """

    Options: type[Strict] = NoOptions

    def __init__(self, replicas: Sequence[Replica], options: Strict | None = None) -> None:
        self.replicas = replicas

    @abstractmethod
    def choose(self, req: Request) -> Destination:
        """Where ``req``, which has just arrived, goes. There is at least one replica."""

    def joined(self, replica: Replica) -> None:  # noqa: B027 (not every router keeps something per replica)
        """``replica`` is in ``replicas`` from now on."""

    def left(self, replica: Replica) -> None:  # noqa: B027 (see joined)
        """``replica`` is no longer in ``replicas``."""


class RoundRobin(Router):
    """Each replica in turn."""

    _next = 0

    def choose(self, req: Request) -> Destination:
        """See :class:`Router`."""
        replica = self.replicas[self._next % len(self.replicas)]
        self._next += 1
        return replica


class LeastRequests(Router):
    """The replica with the fewest requests, waiting or running; the first of equals."""

    def choose(self, req: Request) -> Destination:
        """See :class:`Router`."""
        loads = [replica.num_requests for replica in self.replicas]
        return self.replicas[loads.index(min(loads))]


class CentralQueue(Router):
    """One queue for all; a replica takes from it when it has room. With batches of one: an M/M/c queue."""

    def __init__(self, replicas: Sequence[Replica], options: Strict | None = None) -> None:
        super().__init__(replicas, options)
        self._queue = _SharedQueue(self._head_changed)
        for replica in replicas:
            self.joined(replica)

    def joined(self, replica: Replica) -> None:
        """See :class:`Router`. It takes from the queue like the others."""
        replica.engine.scheduler.waiting = self._queue
        if self._queue:
            replica.wake()

    def left(self, replica: Replica) -> None:
        """See :class:`Router`. What waits, waits for the others."""
        replica.engine.scheduler.waiting = deque()

    def choose(self, req: Request) -> Destination:
        """See :class:`Router`."""
        return self

    def submit(self, req: Request) -> str:
        """``req`` joins the queue of all, behind the front end: the first replica's stands for it."""
        refusals = [replica.engine.refusal(req) for replica in self.replicas]
        if "" not in refusals:
            return refusals[0]
        first = self.replicas[0]
        delay_s = first.front_end.delay_s(req)
        if delay_s:
            entered = first.clock.at(first.clock.now + delay_s, ARRIVAL)
            entered.callbacks.append(lambda _: self._enter(req, refusals))
        else:
            self._enter(req, refusals)
        return ""

    def _enter(self, req: Request, refusals: Sequence[str]) -> None:
        """An empty replica, or whoever is first at a boundary, takes ``req``."""
        matters = [r.is_idle or r.engine.scheduler.arrival_matters() for r in self.replicas]
        self.replicas[0].engine.scheduler.submit(req)
        able = [replica for replica, refusal in zip(self.replicas, refusals, strict=True) if not refusal]
        # An empty replica takes it at once, unless its policy waits for more.
        eager = (r for r in able if not r.engine.kv.num_sequences and not r.engine.scheduler.waits)
        empty = next(eager, None)
        if empty:
            empty.wake()
        else:
            for replica, told in zip(self.replicas, matters, strict=True):
                if told:
                    replica.wake()

    def _head_changed(self) -> None:
        """Replicas that had no room for the old head of the queue may have room for the new one."""
        for replica in self.replicas:
            if replica.engine.scheduler.has_seat():
                replica.wake()


class _SharedQueue(deque[Request]):
    """A queue that tells when its head changes while something waits."""

    def __init__(self, head_changed: Callable[[], None]) -> None:
        super().__init__()
        self._head_changed = head_changed

    def appendleft(self, req: Request) -> None:
        super().appendleft(req)
        self._head_changed()

    def popleft(self) -> Request:
        req = super().popleft()
        if self:
            self._head_changed()
        return req
