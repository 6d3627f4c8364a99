"""One queue in front of all replicas."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from llmsim.engine.request import Request
from llmsim.sim.replica import Replica
from llmsim.sim.routers.base import Destination, Router, Setting
from llmsim.spec.base import Place, Strict

if TYPE_CHECKING:
    from llmsim.spec.scenario import Scenario


class CentralQueue(Router):
    """One queue for all; a replica takes from it when it has room. With batches of one: an M/M/c queue."""

    def __init__(self, replicas: Sequence[Replica], options: Strict | None, setting: Setting) -> None:
        super().__init__((), options, setting)
        self.on_the_way = 0
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

    @property
    def num_waiting(self) -> int:
        """Requests that wait. Pure query."""
        return self.on_the_way + len(self._queue)

    def delay_s(self, req: Request) -> float:
        """The first replica's front end stands for that of the queue."""
        return self.replicas[0].delay_s(req)

    def submit(self, req: Request) -> str:
        """``req`` joins the queue of all: an empty replica, or whoever is first at a boundary, takes it."""
        if not self.replicas:  # the last one left while it was on the way
            self._queue.append(req)
            return ""
        refusals = [replica.engine.refusal(req) for replica in self.replicas]
        if "" not in refusals:
            return refusals[0]
        self.replicas[0].engine.scheduler.submit(req)
        able = [replica for replica, refusal in zip(self.replicas, refusals, strict=True) if not refusal]
        # An empty replica takes it at once, unless its policy waits for more.
        eager = (r for r in able if not r.engine.kv.num_sequences and not r.engine.scheduler.waits)
        empty = next(eager, None)
        if empty:
            empty.wake()
        else:
            for replica in self.replicas:
                if replica.is_idle or replica.engine.scheduler.arrival_matters():
                    replica.wake()
        return ""

    def withdraw(self, req: Request) -> bool:
        """See :class:`Destination`."""
        if req not in self._queue:
            return False
        self._queue.remove(req)
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
