"""Requests that nothing ties to one another, made as they are read and never held."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count, islice
from math import inf, nan

import numpy as np

from llmsim.engine.request import Request
from llmsim.workload import lengths
from llmsim.workload.labels import Draws, labelled
from llmsim.workload.sequences import sequences
from llmsim.workload.sources import ArrivalSource

BLOCK = 4096
"""Requests drawn at a time; has no influence on them."""


class RequestStream:
    """Requests in order of arrival.

    Attributes:
        total: How many there are; None where time ends them.
        max_concurrency: Requests in flight in a closed loop; None in an open one.
        most_in_flight: Requests that an open loop's client lets be in flight; None is no limit.
        skipped: Rows of the trace that are not offered, by reason.
        mean_rate: Requests per second offered; None in a closed loop or one burst.
        labels: Attributes that the requests have beside their lengths (``session_id``, ``hash_ids``, ``model``).
        models: The models that they ask for; "" where they name none.
        following: None: no request brings another.
    """

    following: None = None

    def __init__(
        self,
        source: ArrivalSource,
        start_lengths: Callable[[], lengths.Take],
        *,
        total: int | None,
        end_s: float = inf,
        max_concurrency: int | None = None,
        most_in_flight: int | None = None,
        skipped: dict[str, int] | None = None,
        description: str = "",
        cached_tokens: float = 0,
        max_tokens: int | None = None,
        copies: int = 1,
        width: int = 1,
        start_labels: Callable[[], Draws] = dict,
        labels: frozenset[str] = frozenset(),
        models: frozenset[str] = frozenset({""}),
    ) -> None:
        self.total = None if total is None or end_s < inf else total * copies
        self.max_concurrency = max_concurrency
        self.most_in_flight = most_in_flight
        self.skipped = skipped or {}
        self.mean_rate = source.mean_rate and source.mean_rate * copies
        self._source = source
        self._start_lengths = start_lengths
        self._most = total
        self._end_s = end_s
        self._description = description
        self._cached_tokens = cached_tokens
        self._max_tokens = max_tokens
        self._copies = copies
        self._width = width
        self.labels = labels
        self.models = models
        self._start_labels = start_labels
        self._drawn = self.untimed()

    def requests(self) -> Iterator[Request]:
        """Every request of an open loop, in order of arrival; from the first again at each call."""
        take_times, take_lengths, labels = self._source.start(), self._start_lengths(), self._start_labels()
        for first, size in self._blocks():
            times = take_times(size)
            kept = int(np.searchsorted(times, self._end_s, side="left"))
            yield from self._requests(first, times[:kept].tolist(), take_lengths(size), labels)
            if kept < size:
                return

    def draw(self, arrival_s: float) -> Request | None:
        """The next request of a closed loop, sent at ``arrival_s``; None when there is none left."""
        req = next(self._drawn, None) if arrival_s < self._end_s else None
        if req is not None:
            req.arrival_s = arrival_s
        return req

    def describe(self) -> str:
        """The workload in one line, for reports."""
        return self._description

    def sample(self, most: int) -> list[Request]:
        """The first requests: what they are like, not when they come."""
        return list(islice(self.untimed(), most))

    def untimed(self) -> Iterator[Request]:
        """Every request, without a time; from the first again at each call."""
        take_lengths, labels = self._start_lengths(), self._start_labels()
        for first, size in self._blocks():
            yield from self._requests(first, [nan] * size, take_lengths(size), labels)

    def _requests(
        self, first: int, times: list[float], drawn: lengths.Lengths, draws: Draws
    ) -> Iterator[Request]:
        found = _requests(first, times, drawn)
        if drawn.labels or draws:
            size = len(drawn.inputs)
            found = labelled(found, (drawn.labels or {}) | {name: draw(size) for name, draw in draws.items()})
        if self._max_tokens is not None:
            found = map(self._with_limit, found)
        if self._cached_tokens:
            found = map(self._with_cache, found)
        if self._width > 1:
            found = map(self._with_width, found)
        return found if self._copies == 1 else sequences(found, self._copies)

    def _with_limit(self, req: Request) -> Request:
        """``req`` with its user's limit, at which a longer output is cut."""
        assert self._max_tokens is not None  # else nobody asks
        req.max_tokens = self._max_tokens
        req.output_tokens = req.stop_at = min(req.output_tokens, req.max_tokens)
        return req

    def _with_width(self, req: Request) -> Request:
        """``req`` as so many sequences."""
        req.width = self._width
        return req

    def _with_cache(self, req: Request) -> Request:
        """``req`` with the start of its prompt in the prefix cache; its last token is computed anyway."""
        cached = self._cached_tokens
        tokens = int(cached) if cached >= 1 else int(cached * req.input_tokens)
        req.cached_tokens = req.given_tokens = req.computed = min(tokens, req.input_tokens - 1)
        return req

    def _blocks(self) -> Iterator[tuple[int, int]]:
        """(id of the first request, number of requests) of each block."""
        for first in count(0, BLOCK):
            size = BLOCK if self._most is None else min(BLOCK, self._most - first)
            if size <= 0:
                return
            yield first, size


def _requests(first: int, times: list[float], drawn: lengths.Lengths) -> Iterator[Request]:
    """Requests with ids from ``first``, one per time; further lengths are left over."""
    ids, inputs, outputs = count(first), drawn.inputs.tolist(), drawn.outputs.tolist()
    if drawn.class_names is None:
        return map(Request, ids, times, inputs, outputs)
    return map(Request, ids, times, inputs, outputs, drawn.class_names)
