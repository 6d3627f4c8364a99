"""A workload in words."""

from __future__ import annotations

from llmsim.spec.arrivals import (
    BurstArrivals,
    ClosedArrivals,
    GammaArrivals,
    ProfileArrivals,
    TraceArrivals,
)
from llmsim.spec.clients import Client, ClientFile
from llmsim.spec.lengths import (
    ChoiceTokens,
    LogNormalTokens,
    NormalTokens,
    QuantileTokens,
    Tokens,
    UniformTokens,
)
from llmsim.spec.workload import Workload

WHOSE = {"clients": "the clients'"}
"""Kinds of arrivals in words, where their names are none."""


def describe(workload: Workload, mean_rate: float | None) -> str:
    """``poisson arrivals, 10 req/s; 512 tokens in, 64 to 192 (uniform) out; 10,000 requests``. Pure."""
    lengths = f"{_prefix(workload)}{_lengths(workload)}"
    beams = f"{workload.beam_width:,} beams" if workload.beam_width > 1 else ""
    parts = [
        _arrivals(workload, mean_rate),
        _sessions(workload),
        _cap(workload),
        lengths,
        beams,
        _extent(workload),
    ]
    return "; ".join(part for part in parts if part)


def _arrivals(workload: Workload, mean_rate: float | None) -> str:
    what = "sessions/s" if workload.sessions else "req/s"
    rate = "" if mean_rate is None else f", {mean_rate:.4g} {what}"
    match workload.arrival:
        case ClosedArrivals(max_concurrency=users) if workload.sessions:
            return f"closed loop of {users:,} users"
        case ClosedArrivals(max_concurrency=users):
            return f"closed loop of {users:,} in flight"
        case BurstArrivals(size=size, every_s=every_s):
            return "all at once" if size is None else f"bursts of {size:,} every {every_s:g} s"
        case GammaArrivals(burstiness=burstiness):
            return f"gamma arrivals{rate}, burstiness {burstiness:g}"
        case TraceArrivals() | ProfileArrivals() as arrival:
            return f"arrivals of {arrival.kind} {workload.trace or workload.profile}{rate}"
        case arrival:
            return f"{WHOSE.get(arrival.kind, arrival.kind)} arrivals{rate}"


def _sessions(workload: Workload) -> str:
    sessions = workload.sessions
    return f"sessions of {sessions.mean_requests:.3g} requests on average" if sessions else ""


def _cap(workload: Workload) -> str:
    return "" if workload.max_concurrency is None else f"at most {workload.max_concurrency:,} in flight"


def _prefix(workload: Workload) -> str:
    shared, segments = workload.shared_prefix, workload.segments
    words = ""
    if shared is not None:
        which = "one prefix" if shared.num_prefixes == 1 else f"one of {shared.num_prefixes:,} prefixes"
        words = f"{which} of {shared.tokens:,} tokens, then "
    if segments is not None:
        words += f"{segments.per_prompt} of {segments.num_segments:,} segments of {segments.tokens:,} tokens, then "
    return words


def _clients(clients: list[Client] | ClientFile) -> str:
    if isinstance(clients, ClientFile):
        return f"those of {clients.file}{f', {clients.category}' if clients.category else ''}"
    total = sum(client.share or 0.0 for client in clients)
    said = [client.name + (f" {client.share / total:.0%}" if client.share else "") for client in clients]
    return f"{len(clients)} of them: {', '.join(said[:6])}{' …' if len(said) > 6 else ''}"


def _lengths(workload: Workload) -> str:
    if workload.clients is not None:
        return _clients(workload.clients)
    if workload.input_tokens is not None and workload.output_tokens is not None:
        return f"{_tokens(workload.input_tokens)} tokens in, {_tokens(workload.output_tokens)} out"
    if workload.has_row_lengths:
        drawn = workload.lengths is not None and workload.lengths.kind == "samples"
        return f"lengths {'drawn from' if drawn else 'of'} trace {workload.trace}"
    return f"lengths of profile {workload.profile}"


def _tokens(tokens: Tokens) -> str:
    match tokens:
        case UniformTokens():
            return f"{tokens.min:,} to {tokens.max:,} (uniform)"
        case NormalTokens() | LogNormalTokens():
            return f"{tokens.mean:,g} ± {tokens.std:,g} ({tokens.kind})"
        case QuantileTokens():
            return f"{tokens.tokens[0]:,} to {tokens.tokens[-1]:,} (quantiles)"
        case ChoiceTokens():
            return " or ".join(f"{count:,}" for count in tokens.tokens)
        case _:
            return f"{tokens:,}"


def _extent(workload: Workload) -> str:
    if workload.num_requests is not None:
        times = f" of {workload.n:,} completions" if workload.n > 1 else ""
        return f"{workload.num_requests:,} requests{times}"
    if workload.counts_sessions:
        return f"{workload.num_sessions:,} sessions"
    return "" if workload.duration_s is None else f"{workload.duration_s:,g} s"
