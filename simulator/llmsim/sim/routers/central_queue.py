"""One queue in front of all replicas."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from llmsim import plugins
from llmsim.engine.request import Request
from llmsim.sim.clock import ARRIVAL
from llmsim.sim.replica import Replica
from llmsim.sim.routers.base import Destination, Router, Setting
from llmsim.spec.base import Place, Strict

if TYPE_CHECKING:
    from llmsim.spec.scenario import Scenario


class CentralQueue(Router):
    """One queue for all; a replica takes from it when it has room. With batches of one: an M/M/c queue."""

    def __init__(self, replicas: Sequence[Replica], options: Strict | None, setting: Setting) -> None:
        super().__init__((), options, setting)
        self._coming: dict[Request, None] = {}
        """Requests in the front end."""
        self._queue = _SharedQueue(self._head_changed)
        for replica in replicas:
            self.joined(replica)

    def choose(self, req: Request) -> Destination:
        """See :class:`Router`."""
        return self

    def joined(self, replica: Replica) -> None:
        """See :class:`Router`. It takes from the queue from now on."""
        super().joined(replica)
        replica.engine.scheduler.waiting = self._queue
        if self._queue:
            replica.wake()

    def left(self, replica: Replica) -> None:
        """See :class:`Router`. It takes no more from the queue, and has one of its own for what it preempts."""
        super().left(replica)
        replica.engine.scheduler.waiting = deque()
        if self._queue:  # it may have been the one that was to take from it
            self._head_changed()

    @property
    def num_waiting(self) -> int:
        """Requests that wait. Pure query."""
        return len(self._coming) + len(self._queue)

    def submit(self, req: Request) -> str:
        """``req`` joins the queue of all, behind the front end: the first replica's stands for it."""
        refusals = [replica.engine.refusal(req) for replica in self.replicas]
        if "" not in refusals:
            return refusals[0]
        first = self.replicas[0]
        delay_s = first.front_end.delay_s(req)
        if delay_s:
            self._coming[req] = None
            first.clock.call(first.clock.now + delay_s, ARRIVAL, lambda: self._enter(req))
        else:
            self._join(req)
        return ""

    def put_first(self, req: Request) -> None:
        """``req``, which was taken and has lost its replica, is the next."""
        self._queue.appendleft(req)

    def _enter(self, req: Request) -> None:
        """``req`` leaves the front end, unless it has given up."""
        if req in self._coming:
            del self._coming[req]
            self._join(req)

    def _join(self, req: Request) -> None:
        """An empty replica, or whoever is first at a boundary, takes ``req``."""
        if not self.replicas:  # the last one left while it was on the way
            self._queue.append(req)
            return
        matters = [r.is_idle or r.engine.scheduler.arrival_matters() for r in self.replicas]
        self.replicas[0].engine.scheduler.submit(req)
        able = [replica for replica in self.replicas if not replica.engine.refusal(req)]
        # An empty replica takes it at once, unless its policy waits for more.
        eager = (r for r in able if not r.engine.kv.num_sequences and not r.engine.scheduler.waits)
        empty = next(eager, None)
        if empty:
            empty.wake()
        else:
            for replica, told in zip(self.replicas, matters, strict=True):
                if told:
                    replica.wake()

    def withdraw(self, req: Request) -> bool:
        """See :class:`Destination`."""
        if req in self._coming:
            del self._coming[req]
        elif req in self._queue:
            self._queue.remove(req)
        else:
            return False
        return True

    def _head_changed(self) -> None:
        """Replicas that had no room for the old head of the queue may have room for the new one."""
        for replica in self.replicas:
            if replica.engine.scheduler.has_seat():
                replica.wake()

    @classmethod
    def conflicts(cls, options: dict[str, Any], scenario: Scenario) -> Iterator[tuple[Place, str]]:
        """See :class:`Router`."""
        if scenario.admission.max_queued_requests_per_replica is not None:
            yield (
                ("admission", "max_queued_requests_per_replica"),
                "central_queue has one queue for all replicas; write max_queued_requests",
            )
        for index, pool in enumerate(scenario.fleet):
            kind = scenario.engine_of(pool).scheduler.kind
            if plugins.SCHEDULERS.get(kind).has_own_order:
                yield (
                    ("router",),
                    f"central_queue serves in order of arrival, and scheduler '{kind}' of pool {index} has an "
                    "order of its own; take another router or scheduler",
                )
        models = Counter(scenario.model_of(pool).ref for pool in scenario.fleet)
        for index, pool in enumerate(scenario.fleet):
            if pool.autoscale is not None and models[scenario.model_of(pool).ref] > 1:
                yield (
                    ("fleet", index, "autoscale"),
                    "central_queue has one queue for all pools of a model, so no pool has a load of its own to be "
                    "scaled by; take another router, or one pool",
                )


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

    def remove(self, req: Request) -> None:
        super().remove(req)
        if self:
            self._head_changed()
