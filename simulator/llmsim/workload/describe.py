"""A workload in words."""

from __future__ import annotations

from llmsim.spec.arrivals import (
    BurstArrivals,
    ClosedArrivals,
    GammaArrivals,
    ProfileArrivals,
    TraceArrivals,
)
from llmsim.spec.lengths import (
    ChoiceTokens,
    LogNormalTokens,
    NormalTokens,
    QuantileTokens,
    Tokens,
    UniformTokens,
)
from llmsim.spec.workload import Workload


def describe(workload: Workload, mean_rate: float | None) -> str:
    """``poisson arrivals, 10 req/s; 512 tokens in, 64 to 192 (uniform) out; 10,000 requests``. Pure."""
    lengths = f"{_prefix(workload)}{_lengths(workload)}"
    parts = [_arrivals(workload, mean_rate), _cap(workload), lengths, _extent(workload)]
    return "; ".join(part for part in parts if part)


def _arrivals(workload: Workload, mean_rate: float | None) -> str:
    rate = "" if mean_rate is None else f", {mean_rate:.4g} req/s"
    match workload.arrival:
        case ClosedArrivals(max_concurrency=users):
            return f"closed loop of {users:,} in flight"
        case BurstArrivals(size=size, every_s=every_s):
            return "all at once" if size is None else f"bursts of {size:,} every {every_s:g} s"
        case GammaArrivals(burstiness=burstiness):
            return f"gamma arrivals{rate}, burstiness {burstiness:g}"
        case TraceArrivals() | ProfileArrivals() as arrival:
            return f"arrivals of {arrival.kind} {workload.trace or workload.profile}{rate}"
        case arrival:
            return f"{arrival.kind} arrivals{rate}"


def _cap(workload: Workload) -> str:
    return "" if workload.max_concurrency is None else f"at most {workload.max_concurrency:,} in flight"


def _prefix(workload: Workload) -> str:
    shared = workload.shared_prefix
    if shared is None:
        return ""
    which = "one prefix" if shared.num_prefixes == 1 else f"one of {shared.num_prefixes:,} prefixes"
    return f"{which} of {shared.tokens:,} tokens, then "


def _lengths(workload: Workload) -> str:
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
        return f"{workload.num_requests:,} requests"
    return "" if workload.duration_s is None else f"{workload.duration_s:,g} s"
