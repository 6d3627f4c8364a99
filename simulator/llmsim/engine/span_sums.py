"""KV tokens that decoding reads under windows and other spans, kept up to date in O(changes)."""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heappop, heappush

from llmsim.engine.request import Request
from llmsim.spec.attention import FOREVER, Span


class SpanSum:
    """Σ ``span.read(context)`` over a batch, and how much it grows per iteration.

    Each sequence's read count is piecewise linear in its context; the heap holds the iterations at
    which a slope changes (a window that has filled up, a chunk that starts anew).
    """

    def __init__(self, span: Span) -> None:
        self.span = span
        self.read = 0
        self.growth = 0
        self._changes: list[tuple[int, int]] = []  # (iteration, ticket)
        self._live: dict[int, tuple[int, int, int]] = {}  # ticket -> (iteration, context, width) of its slope
        self._tickets: dict[Request, int] = {}
        self._next_ticket = 0

    def join(self, req: Request, iteration: int) -> None:
        """Count ``req``, whose context is ``join_context`` at ``iteration``."""
        ticket = self._next_ticket
        self._next_ticket += 1
        self._tickets[req] = ticket
        self.read += req.width * self.span.read(req.join_context)
        self._start_slope(ticket, iteration, req.join_context, req.width)

    def leave(self, req: Request, iteration: int) -> None:
        """Count ``req`` no longer."""
        started, context, width = self._live.pop(self._tickets.pop(req))
        slope = self.span.slope(context)
        self.read -= width * (self.span.read(context) + slope * (iteration - started))
        self.growth -= width * slope

    def advance(self, count: int, iteration: int) -> None:
        """``count`` iterations have passed; it is now ``iteration``. ``count`` ≤ :meth:`steady_for`."""
        self.read += count * self.growth
        while self._changes and self._changes[0][0] <= iteration:
            _, ticket = heappop(self._changes)
            if ticket in self._live:
                started, context, width = self._live[ticket]
                self.growth -= width * self.span.slope(context)
                self._start_slope(ticket, iteration, context + iteration - started, width)

    def steady_for(self, iteration: int) -> int:
        """Iterations from ``iteration`` on over which ``growth`` stays the same. Pure query."""
        return self._changes[0][0] - iteration if self._changes else FOREVER

    def _start_slope(self, ticket: int, iteration: int, context: int, width: int) -> None:
        self._live[ticket] = (iteration, context, width)
        self.growth += width * self.span.slope(context)
        steady = self.span.steady_for(context)
        if steady < FOREVER:
            heappush(self._changes, (iteration + steady, ticket))


def make_sums(spans: Sequence[Span]) -> list[SpanSum]:
    """One sum per span, in the given order."""
    return [SpanSum(span) for span in spans]
