"""Users and agents that go on once they have an answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from llmsim.engine.request import Request
from llmsim.sim.clock import ARRIVAL, Clock

Following = Callable[[Request, float], Request | None]
"""What comes now that a request has ended at that time, with its time of arrival; None when nothing does."""


class Conversations:
    """Sends what follows a request when its time has come.

    Args:
        clock: Of the simulation.
        following: Says what follows.
        issue: Takes a request that is due.

    Attributes:
        num_pending: Requests that are to come because another one has ended.
    """

    def __init__(self, clock: Clock, following: Following, issue: Callable[[Request], None]) -> None:
        self._clock = clock
        self._following = following
        self._issue = issue
        self.num_pending = 0

    def ended(self, requests: Sequence[Request]) -> int:
        """``requests`` have ended; returns how many of them nothing follows."""
        clock, over = self._clock, 0
        for req in requests:
            following = self._following(req, clock.now)
            if following is None:
                over += 1
            else:
                self.num_pending += 1
                clock.call(following.arrival_s, ARRIVAL, partial(self._send, following))
        return over

    def _send(self, req: Request) -> None:
        self.num_pending -= 1
        self._issue(req)
