"""The stream of requests a workload offers, made as it is read and never held."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from llmsim.engine.request import Request
from llmsim.files.traces import Trace
from llmsim.rng import Streams, streams
from llmsim.spec.arrivals import ClosedArrivals
from llmsim.spec.workload import Workload
from llmsim.workload.clients import open_clients
from llmsim.workload.describe import describe
from llmsim.workload.followed import FollowedStream
from llmsim.workload.labels import label_source
from llmsim.workload.openings import StartLengths, prefix_source, timed, untimed, with_shared
from llmsim.workload.plain import RequestStream
from llmsim.workload.segments import Segments, with_segments
from llmsim.workload.sessions import Session
from llmsim.workload.sources import ArrivalSource, arrival_source, length_source, open_profile, open_trace

Stream = RequestStream | FollowedStream
"""What offers requests."""


def open_stream(workload: Workload, seed: int, base_dir: Path | None = None) -> Stream:
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
    if workload.clients is not None:
        return open_clients(workload, seed, base_dir)
    draws = streams(seed)
    trace, profile = open_trace(workload, base_dir), open_profile(workload, base_dir)
    source = arrival_source(workload, draws, trace, profile)
    start = length_source(workload, draws, trace, profile)
    if workload.sessions is not None:
        return _with_sessions(workload, draws, source, start)
    return _plain(workload, draws, source, start, trace)


def _plain(
    workload: Workload, draws: Streams, source: ArrivalSource, start: StartLengths, trace: Trace | None
) -> RequestStream:
    """Requests that nothing ties to one another."""
    total = workload.num_requests if workload.num_requests is not None else source.count
    if total is None and workload.duration_s is None and trace is not None and workload.has_row_lengths:
        total = len(trace)
    return RequestStream(
        source,
        _with_parts(workload, draws, start),
        total=total,
        end_s=workload.duration_s or source.end_s,
        max_concurrency=_users(workload),
        most_in_flight=workload.max_concurrency,
        skipped=dict(trace.skipped) if trace else {},
        description=describe(workload, source.mean_rate),
        cached_tokens=workload.cached_input_tokens,
        max_tokens=workload.max_tokens,
        copies=workload.n,
        width=workload.beam_width,
        start_labels=label_source(workload, draws, trace),
        labels=workload.labels.union(
            trace.labels if trace and workload.has_row_lengths else (),
            ("hash_ids",) if workload.n > 1 else (),
        ),
        models=_models(workload, trace),
    )


def _with_parts(workload: Workload, draws: Streams, start: StartLengths) -> StartLengths:
    """Lengths with the prefixes and segments that prompts share."""
    start, segments = with_shared(start, prefix_source(workload, draws)), workload.segments
    return start if segments is None else with_segments(start, lambda: Segments(segments, draws("segments")))


def _with_sessions(
    workload: Workload, draws: Streams, source: ArrivalSource, start: StartLengths
) -> FollowedStream:
    """Sessions that begin when ``source`` says."""
    assert workload.sessions is not None  # asked before
    live: dict[str, Session] = {}
    endless = untimed(
        workload,
        start,
        draws,
        live,
        max_tokens=workload.max_tokens,
        start_labels=label_source(workload, draws, None),
    )

    def openings() -> Iterator[Request]:
        return islice(endless(), workload.num_sessions)

    return FollowedStream(
        lambda: timed(openings(), source),
        openings,
        live,
        width=workload.beam_width,
        total=workload.num_requests,
        end_s=workload.duration_s or source.end_s,
        max_concurrency=_users(workload),
        most_in_flight=workload.max_concurrency,
        mean_rate=source.mean_rate and source.mean_rate * workload.sessions.mean_requests,
        description=describe(workload, source.mean_rate),
        labels=workload.labels,
        models=_models(workload, None),
    )


def _users(workload: Workload) -> int | None:
    """Users of a closed loop; None in an open one."""
    arrival = workload.arrival
    return arrival.max_concurrency if isinstance(arrival, ClosedArrivals) else None


def _models(workload: Workload, trace: Trace | None) -> frozenset[str]:
    """The models that requests ask for; "" where they name none."""
    named = trace.labels.get("model") if trace is not None and workload.has_row_lengths else None
    return frozenset(workload.models or named or ("",))
