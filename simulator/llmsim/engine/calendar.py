"""Requests filed under the iteration at which they are to be looked at."""

from __future__ import annotations

from heapq import heappop, heappush

from llmsim.engine.request import Request


class Calendar:
    """One date per request. Filing costs O(1) where the date is taken already, else O(log dates)."""

    def __init__(self) -> None:
        self._dates: list[int] = []  # a heap of the keys of _filed
        self._filed: dict[int, list[Request]] = {}
        self._date_of: dict[Request, int] = {}

    def put(self, req: Request, date: int) -> None:
        """``req`` is due at ``date``, and at no other."""
        self._date_of[req] = date
        if date in self._filed:
            self._filed[date].append(req)
        else:
            self._filed[date] = [req]
            heappush(self._dates, date)

    def discard(self, req: Request) -> None:
        """``req`` is not due any more."""
        self._date_of.pop(req, None)

    @property
    def next(self) -> int:
        """The first date with anybody filed; those filed may have left. Only while :meth:`__len__` is not 0."""
        return self._dates[0]

    def due(self, date: int) -> list[Request]:
        """Those due by ``date`` leave, in order."""
        found = []
        while self._dates and self._dates[0] <= date:
            day = heappop(self._dates)
            for req in self._filed.pop(day):
                if self._date_of.get(req) == day:
                    del self._date_of[req]
                    found.append(req)
        return found

    def __len__(self) -> int:
        return len(self._dates)
