"""A stream whose requests bring others: those of sessions, by themselves or among other requests."""

from __future__ import annotations

from collections.abc import Iterator
from math import inf

from llmsim.engine.request import Request
from llmsim.workload.openings import Openings
from llmsim.workload.sessions import Session

SAME = ("class_name", "tenant", "priority", "model", "max_tokens", "width")
"""What all requests of a session have in common."""


class FollowedStream:
    """Requests of which some come when others have ended.

    Args:
        timed: Requests that no other one brings, in order of arrival.
        untimed: The same without times, in the order of a closed loop.
        live: Sessions that are going on, by ``session_id``; whoever opens one puts it there.
        follows: Whether there are sessions.
        width: Sequences that each of them runs as.
        total, end_s: How many requests there are in all, and when no more are sent. The last session is cut short
            where it would make more of them.

    Its attributes are those of :class:`RequestStream`.
    """

    def __init__(
        self,
        timed: Openings,
        untimed: Openings,
        live: dict[str, Session],
        *,
        follows: bool = True,
        width: int = 1,
        total: int | None,
        end_s: float = inf,
        max_concurrency: int | None = None,
        most_in_flight: int | None = None,
        mean_rate: float | None = None,
        description: str = "",
        labels: frozenset[str] = frozenset(),
        models: frozenset[str] = frozenset({""}),
    ) -> None:
        self.total = total if end_s == inf else None
        self.max_concurrency, self.most_in_flight = max_concurrency, most_in_flight
        self.mean_rate, self.labels, self.models = mean_rate, labels, models
        self.skipped: dict[str, int] = {}
        self._timed, self._untimed, self._live = timed, untimed, live
        self._most, self._end_s, self._description = total, end_s, description
        self._width = width
        self._drawn: Iterator[Request] | None = None
        self.following = self._after if follows else None

    def requests(self) -> Iterator[Request]:
        """The openings of an open loop, in order of arrival; from the first again at each call."""
        return self._counted(self._timed())

    def draw(self, arrival_s: float) -> Request | None:
        """The next opening of a closed loop, sent at ``arrival_s``; None when there is none left."""
        if self._drawn is None:
            self._drawn = self._counted(self._untimed())
        req = next(self._drawn, None) if arrival_s < self._end_s else None
        if req is not None:
            req.arrival_s = arrival_s
        return req

    def _after(self, req: Request, ended_s: float) -> Request | None:
        """What comes now that ``req`` has ended, with its time of arrival; None when nothing does."""
        session = self._live.get(req.session_id)
        if session is None:
            return None
        following = session.ask(ended_s) if req.status == "completed" else None
        if following is None or following.arrival_s >= self._end_s:
            del self._live[req.session_id]
            return None
        return self._alike(following, req)

    @staticmethod
    def _alike(following: Request, req: Request) -> Request:
        """``following``, whose user is that of ``req``."""
        for name in SAME:
            setattr(following, name, getattr(req, name))
        return following

    def sample(self, most: int) -> list[Request]:
        """The first requests, each session's all at once: what they are like, not when they come."""
        found: list[Request] = []
        for req in self._counted(self._untimed()):
            found.append(req)
            session = self._live.pop(req.session_id, None)
            while session is not None and (following := session.ask(0.0)) is not None:
                found.append(self._alike(following, req))
            if len(found) >= most:
                break
        return found[:most]

    def describe(self) -> str:
        """The workload in one line, for reports."""
        return self._description

    def _counted(self, openings: Iterator[Request]) -> Iterator[Request]:
        """``openings`` until the requests that they will bring are enough, or time is over."""
        self._live.clear()
        number = 0
        for req in openings:
            if req.arrival_s >= self._end_s:
                return
            session = self._live.get(req.session_id)
            req.id, req.width = number, self._width
            if session is not None:
                session.first = number
                if self._most is not None:
                    session.cut(self._most - number)
            number += 1 if session is None else len(session)
            yield req
            if number == self._most:
                return
