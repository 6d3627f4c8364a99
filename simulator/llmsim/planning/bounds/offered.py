"""The requests that a run will offer, as columns, with each one's limits: drawn as the simulation draws them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from math import inf, nan
from pathlib import Path

import numpy as np
import numpy.typing as npt

from llmsim.engine.request import Request
from llmsim.spec.scenario import Scenario
from llmsim.spec.targets import Slo
from llmsim.workload.stream import Stream, open_stream

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

MOST_REQUESTS = 2_000_000
"""Longer workloads are not drawn ahead of their simulation."""


@dataclass(frozen=True)
class Offered:
    """Every request of a run. Columns have shape (num_requests,).

    Attributes:
        arrival_s: When it comes; nan where that depends on the fleet: in a closed loop, or behind a client that
            limits requests in flight.
        prompt: Prompt tokens.
        computed: Those of them that no prefix cache holds.
        output: Tokens to generate.
        ttft_s, tpot_s, e2el_s: Its limits; inf without one.
        itl_s: Limit of all gaps between tokens; inf without one.
        may_miss: How many requests may miss their limits before the target is missed.
    """

    arrival_s: Floats
    prompt: Ints
    computed: Ints
    output: Ints
    ttft_s: Floats
    tpot_s: Floats
    e2el_s: Floats
    itl_s: float
    may_miss: int

    def __len__(self) -> int:
        return len(self.prompt)

    @cached_property
    def lengths(self) -> tuple[Ints, Ints]:
        """The distinct (prompt, output), shape (2, distinct), and the place in it of each request."""
        return _distinct(self.prompt, self.output)

    @cached_property
    def prompts(self) -> tuple[Ints, Ints]:
        """The distinct (computed, cached) tokens of prompts, and the place of each request, likewise."""
        return _distinct(self.computed, self.prompt - self.computed)

    @property
    def deadline_s(self) -> Floats:
        """When the last token is due; inf where no limits say."""
        later = np.maximum(self.output - 1, 0)
        due = np.where(later > 0, self.ttft_s + self.tpot_s * np.maximum(later, 1), self.ttft_s)
        limit_s: Floats = self.arrival_s + np.minimum(self.e2el_s, due)
        return limit_s


def draw_offered(scenario: Scenario, base_dir: Path | None = None) -> Offered | None:
    """The requests of ``scenario``; None where they cannot be known before the run.

    That is where the run's end cuts off the workload, where requests wait for others, or where there are too many of
    them to hold.

    Raises:
        UserError: The workload cannot be read.
    """
    if scenario.simulation.max_duration_s is not None:
        return None
    stream = open_stream(scenario.workload, scenario.simulation.seed, base_dir)
    if stream.max_concurrency is not None and stream.total is None:
        return None  # users go on until time ends, and how many requests that makes depends on the fleet
    if stream.following is not None:
        return None
    if (stream.total or 0) > MOST_REQUESTS:
        return None
    rows: list[tuple[float, int, int, int]] = []
    names: list[str] = []
    for req in _all(stream):
        if len(rows) == MOST_REQUESTS:
            return None
        arrival_s = req.arrival_s if stream.most_in_flight is None else nan
        rows.append((arrival_s, req.input_tokens, req.input_tokens - req.cached_tokens, req.output_tokens))
        names.append(req.class_name)
    return _columns(rows, names, scenario.slo) if rows else None


def _all(stream: Stream) -> Iterator[Request]:
    if stream.max_concurrency is None:
        yield from stream.requests()
        return
    while (req := stream.draw(0.0)) is not None:
        req.arrival_s = nan
        yield req


def _columns(rows: list[tuple[float, int, int, int]], names: list[str], slo: Slo) -> Offered:
    table = np.array(rows, dtype=np.float64)
    classes = sorted(set(names))
    code = {name: place for place, name in enumerate(classes)}
    index = np.fromiter(map(code.__getitem__, names), np.int64, len(names))

    def limits_s(metric: str) -> Floats:
        limits = [getattr(slo.of_class(name), metric) for name in classes]
        seconds = np.array([inf if limit is None else limit / 1e3 for limit in limits])
        return np.asarray(seconds[index], dtype=np.float64)

    return Offered(
        arrival_s=table[:, 0],
        prompt=table[:, 1].astype(np.int64),
        computed=table[:, 2].astype(np.int64),
        output=table[:, 3].astype(np.int64),
        ttft_s=limits_s("ttft_ms"),
        tpot_s=limits_s("tpot_ms"),
        e2el_s=limits_s("e2el_ms"),
        itl_s=inf if slo.itl_ms is None else slo.itl_ms / 1e3,
        may_miss=may_miss(len(rows), slo.percentile),
    )


def may_miss(offered: int, share: float) -> int:
    """The most of ``offered`` requests that may miss while the rest are still ``share`` of them. Pure query."""
    count = int((1 - share) * offered) + 1
    while count and (offered - count) / offered < share:
        count -= 1
    return count


def _distinct(first: Ints, second: Ints) -> tuple[Ints, Ints]:
    pairs, index = np.unique(np.stack([first, second]), axis=1, return_inverse=True)
    return pairs, index.ravel()
