"""The stream of requests a workload offers, made as it is read and never held."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import count
from math import inf, nan
from pathlib import Path

import numpy as np

from llmsim.engine.request import Request
from llmsim.files.traces import Trace
from llmsim.rng import streams
from llmsim.spec.arrivals import ClosedArrivals
from llmsim.spec.workload import Workload
from llmsim.workload import lengths
from llmsim.workload.describe import describe
from llmsim.workload.labels import Draws, label_source, labelled
from llmsim.workload.prefixes import Prefixes, with_prefixes
from llmsim.workload.sources import ArrivalSource, arrival_source, length_source, open_profile, open_trace

BLOCK = 4096
"""Requests drawn at a time; has no influence on them."""


def open_stream(workload: Workload, seed: int, base_dir: Path | None = None) -> RequestStream:
    """The requests of ``workload``.

    Args:
        workload: What the scenario says.
        seed: Seed of the random streams; those of arrivals and of lengths do not move each other.
        base_dir: What relative paths are relative to; the working directory by default.

    Raises:
        TraceError: The trace cannot be read, or has no times where they are needed.
        CatalogError: There is no such profile.
        ScenarioError: The profile has no arrivals where they are needed, or the trace says itself what
            is to be drawn.
    """
    base_dir = base_dir or Path()
    trace, profile = open_trace(workload, base_dir), open_profile(workload, base_dir)
    draws = streams(seed)
    source = arrival_source(workload, draws, trace, profile)
    total = workload.num_requests if workload.num_requests is not None else source.count
    if total is None and workload.duration_s is None and trace is not None and workload.has_row_lengths:
        total = len(trace)
    start_lengths = length_source(workload, draws, trace, profile)
    if workload.shared_prefix is not None:
        shared = partial(Prefixes, workload.shared_prefix, 0)
        start_lengths = with_prefixes(start_lengths, lambda: shared(draws("prefixes")))
    return RequestStream(
        source,
        start_lengths,
        total=total,
        end_s=workload.duration_s or source.end_s,
        max_concurrency=workload.arrival.max_concurrency
        if isinstance(workload.arrival, ClosedArrivals)
        else None,
        most_in_flight=workload.max_concurrency,
        skipped=dict(trace.skipped) if trace else {},
        description=describe(workload, source.mean_rate),
        cached_tokens=workload.cached_input_tokens,
        max_tokens=workload.max_tokens,
        start_labels=label_source(workload, draws, trace),
        labels=workload.labels.union(trace.labels if trace and workload.has_row_lengths else ()),
        models=_models(workload, trace),
    )


def _models(workload: Workload, trace: Trace | None) -> frozenset[str]:
    """The models that requests ask for; "" where they name none."""
    named = trace.labels.get("model") if trace is not None and workload.has_row_lengths else None
    return frozenset(workload.models or named or ("",))


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
    """

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
        start_labels: Callable[[], Draws] = dict,
        labels: frozenset[str] = frozenset(),
        models: frozenset[str] = frozenset({""}),
    ) -> None:
        self.total = total if end_s == inf else None
        self.max_concurrency = max_concurrency
        self.most_in_flight = most_in_flight
        self.skipped = skipped or {}
        self.mean_rate = source.mean_rate
        self._source = source
        self._start_lengths = start_lengths
        self._most = total
        self._end_s = end_s
        self._description = description
        self._cached_tokens = cached_tokens
        self._max_tokens = max_tokens
        self.labels = labels
        self.models = models
        self._start_labels = start_labels
        self._drawn = self._without_times()

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

    def _without_times(self) -> Iterator[Request]:
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
        return map(self._with_cache, found) if self._cached_tokens else found

    def _with_limit(self, req: Request) -> Request:
        """``req`` with its user's limit, at which a longer output is cut."""
        assert self._max_tokens is not None  # else nobody asks
        req.max_tokens = self._max_tokens
        req.output_tokens = req.stop_at = min(req.output_tokens, req.max_tokens)
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
