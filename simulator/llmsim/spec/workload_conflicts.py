"""What each key of a workload allows and two together do not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from llmsim.spec.arrivals import MAX_REQUESTS, BurstArrivals, requests_per_s
from llmsim.spec.base import Place
from llmsim.spec.clients import Client, ClientFile, client_conflicts

if TYPE_CHECKING:
    from llmsim.spec.workload import Workload

SOURCES = ("trace", "profile", "clients")
"""Keys whose arrivals are taken where `arrival` says nothing else."""


def workload_conflicts(workload: Workload) -> Iterator[tuple[Place, str]]:
    """(place, message) of each mistake."""
    for conflicts in (_source_conflicts, _length_conflicts, _extent_conflicts):
        for key, message in conflicts(workload):
            yield (key,), message
    yield from _client_conflicts(workload)


def _source_conflicts(workload: Workload) -> Iterator[tuple[str, str]]:
    """(key, message) of each mistake about traces and profiles."""
    kind = workload.arrival.kind
    given = {key: getattr(workload, key) for key in SOURCES}
    if workload.trace and workload.profile:
        yield "profile", "there is a trace already; keep one of the two"
    if kind in given and given[kind] is None:
        yield "arrival", f"kind {kind} needs `{kind}:` beside `arrival:`"
    for source, value in given.items():
        if value and source not in ("clients", kind) and workload.input_tokens is not None:
            yield (
                source,
                "not used: times come from `arrival`, lengths from `input_tokens`; remove it or one of them",
            )
    if workload.time_scale != 1 and kind not in ("trace", "profile"):
        yield "time_scale", f"stretches a trace or a profile; with {kind} arrivals change their rate"
    for key in ("limit", "timestamp_unit"):
        if getattr(workload, key) is not None and workload.trace is None:
            yield key, "is about a trace, and there is none"


def _length_conflicts(workload: Workload) -> Iterator[tuple[str, str]]:
    """(key, message) of each mistake about where lengths come from."""
    if workload.clients is not None:
        return
    own = {key: getattr(workload, key) for key in ("input_tokens", "output_tokens")}
    missing = [key for key, value in own.items() if value is None]
    if len(missing) == 1 or (missing and workload.trace is None and workload.profile is None):
        for key in missing:
            yield (
                key,
                "missing: lengths come from input_tokens and output_tokens, a trace or a profile",
            )
    if workload.sessions is not None and workload.has_row_lengths:
        yield (
            "sessions",
            "draws lengths, and a trace says them row by row; write input_tokens and output_tokens",
        )
    if workload.sessions is not None and workload.n > 1:
        yield "n", "a session goes on from one answer; leave `n` or `sessions` out"
    if workload.sessions is not None and workload.cached_input_tokens:
        yield (
            "cached_input_tokens",
            "sessions share what was said before: leave this out, and set engine.enable_prefix_caching",
        )
    if workload.sessions is not None and workload.segments is not None:
        yield "segments", "a session's prompts go on from one another; leave `segments` or `sessions` out"
    if workload.n > 1 and workload.beam_width > 1:
        yield "n", "the beams of a search are one answer; leave `n` or `beam_width` out"
    if workload.lengths is not None and not workload.has_row_lengths:
        yield "lengths", "takes lengths from a trace; it needs `trace:`, and no input_tokens or output_tokens"


def _extent_conflicts(workload: Workload) -> Iterator[tuple[str, str]]:
    """(key, message) of each mistake about how many requests there are."""
    arrival, count, duration_s = workload.arrival, workload.num_requests, workload.duration_s
    if count is not None and duration_s is not None:
        yield "duration_s", "num_requests and duration_s both end the workload; keep one"
    if workload.counts_sessions and (count is not None or duration_s is not None):
        other = "num_requests" if count is not None else "duration_s"
        yield "num_sessions", f"{other} ends the workload too; keep one"
    if arrival.kind == "closed" and workload.max_concurrency is not None:
        yield "max_concurrency", "a closed loop has its own, `arrival.max_concurrency`; remove this one"
    if arrival.kind == "trace" and count is not None:
        yield "num_requests", "a trace ends with its rows; write `limit` to use fewer"
    if isinstance(arrival, BurstArrivals) and arrival.every_s is None and duration_s is not None:
        yield "duration_s", "one burst takes no time; write `num_requests`"
    each = workload.sessions.mean_requests if workload.sessions else 1
    if duration_s is not None and (expected := requests_per_s(arrival) * each * duration_s) > MAX_REQUESTS:
        yield "duration_s", f"about {expected:.3g} requests; at most {MAX_REQUESTS:,} can be simulated"
    has_end = (
        arrival.kind in ("trace", "profile")
        or isinstance(workload.clients, ClientFile)
        or workload.has_row_lengths
        or workload.counts_sessions
    )
    if count is None and duration_s is None and not has_end:
        yield "num_requests", "required, but missing (or `duration_s`): how many requests there are"


NOT_WITH_CLIENTS = (
    "trace", "profile", "lengths", "shared_prefix", "segments", "sessions", "num_sessions", "models",
)  # fmt: skip
"""Keys that clients say for themselves, or not at all."""


def _client_conflicts(workload: Workload) -> Iterator[tuple[Place, str]]:
    """(place, message) of each mistake about clients."""
    clients = workload.clients
    if clients is None:
        return
    for key in NOT_WITH_CLIENTS:
        if getattr(workload, key) is not None:
            message = (
                "is about one group of users; say it under `clients`"
                if key in Client.model_fields
                else "cannot go with `clients`"
            )
            yield (key,), message
    if workload.n > 1:
        yield ("n",), "cannot go with `clients`; leave it out"
    lengths = (workload.input_tokens is not None, workload.output_tokens is not None)
    if isinstance(clients, list):
        if not clients:
            yield ("clients",), "the list is empty; describe one client at least"
        yield from client_conflicts(clients, workload.arrival.kind, lengths)
        return
    if workload.arrival.kind != "clients":
        yield (
            ("arrival",),
            "the clients' file says when requests come; remove this, or write {kind: clients, rate_scale: 2}",
        )
    for key, given in zip(("input_tokens", "output_tokens"), lengths, strict=True):
        if given:
            yield (key,), "the clients' file says lengths; remove this"
