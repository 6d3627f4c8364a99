"""Where a workload's arrival times and lengths come from: its own numbers, a trace, or a profile."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from math import inf
from pathlib import Path

from llmsim.errors import InvariantError, Problem, ScenarioError, TraceError
from llmsim.files.traces import Trace, read_trace
from llmsim.rng import Streams
from llmsim.spec.arrivals import (
    MAX_REQUESTS,
    Arrival,
    BurstArrivals,
    ConstantArrivals,
    DiurnalArrivals,
    GammaArrivals,
    MmppArrivals,
    ModulatedGammaArrivals,
    PoissonArrivals,
    ProfileArrivals,
    TraceArrivals,
    requests_per_s,
)
from llmsim.spec.workload import Workload
from llmsim.workload import arrivals, lengths
from llmsim.workload.diurnal import day
from llmsim.workload.modulated import MmppTimes, modulated_gamma
from llmsim.workload.profile import RateProfile, WorkloadProfile, load_profile

Start = Callable[[], arrivals.Take]
"""Begins anew."""


@dataclass(frozen=True)
class ArrivalSource:
    """Arrival times that can be read from the start as often as wanted.

    Attributes:
        start: Begins anew.
        mean_rate: Requests per second; None where the process has none of its own.
        count: How many there are; None when there is no end.
        end_s: When they end by themselves.
    """

    start: Start
    mean_rate: float | None = None
    count: int | None = None
    end_s: float = inf


def open_trace(workload: Workload, base_dir: Path) -> Trace | None:
    """The workload's trace. Raises TraceError."""
    if workload.trace is None:
        return None
    path = base_dir / Path(workload.trace).expanduser()
    return read_trace(
        path, limit=workload.limit, timestamp_unit=workload.timestamp_unit, source=workload.trace
    )


def open_profile(workload: Workload, base_dir: Path) -> WorkloadProfile | None:
    """The workload's profile. Raises CatalogError."""
    return None if workload.profile is None else load_profile(workload.profile, base_dir)


def arrival_source(
    workload: Workload, streams: Streams, trace: Trace | None, profile: WorkloadProfile | None
) -> ArrivalSource:
    """When requests arrive. Raises TraceError, ScenarioError when trace or profile holds lengths only."""
    arrival = workload.arrival
    if isinstance(arrival, TraceArrivals):
        return _from_trace(workload, trace)
    if isinstance(arrival, ProfileArrivals):
        return _from_profile(workload, arrival, streams, profile)
    return drawn_source(arrival, streams)


def drawn_source(arrival: Arrival, streams: Streams) -> ArrivalSource:
    """Arrivals that need neither a trace nor a profile."""
    rate = requests_per_s(arrival) or None
    match arrival:
        case PoissonArrivals():
            start: Start = partial(_renewal, arrival.request_rate, 1.0, streams)
        case GammaArrivals():
            start = partial(_renewal, arrival.request_rate, arrival.burstiness, streams)
        case DiurnalArrivals():
            start = partial(_days, day(arrival), streams)
        case MmppArrivals():
            start = partial(MmppTimes, arrival, streams)
        case ModulatedGammaArrivals():
            start = partial(modulated_gamma, arrival, streams)
        case ConstantArrivals():
            start = partial(arrivals.SteadyArrivals, 1 / arrival.request_rate)
        case BurstArrivals(size=int(size), every_s=float(every_s)):
            start = partial(arrivals.SteadyArrivals, every_s, size)
        case BurstArrivals():
            start = partial(arrivals.SteadyArrivals, 0.0)
        case _:
            start = nothing_by_itself
    return ArrivalSource(start, rate)


def faster(arrival: Arrival, factor: float) -> Arrival:
    """``arrival`` at ``factor`` times its rate. Pure."""
    if isinstance(arrival, BurstArrivals) and arrival.every_s:
        return arrival.model_copy(update={"every_s": arrival.every_s / factor})
    return arrival.model_copy(update={"request_rate": requests_per_s(arrival) * factor})


def _renewal(rate: float, burstiness: float, streams: Streams) -> arrivals.Take:
    return arrivals.gamma(rate, burstiness, streams("arrivals"))


def _days(profile: RateProfile, streams: Streams) -> arrivals.Take:
    return arrivals.ProfileTimes(profile, 1.0, 1.0, streams("arrivals"))


def nothing_by_itself() -> arrivals.Take:
    """Times of what has none."""
    raise InvariantError("a closed loop has no arrivals of its own: draw its requests one by one")


def _from_trace(workload: Workload, trace: Trace | None) -> ArrivalSource:
    if trace is None or trace.arrival_s is None:
        message = (
            "holds lengths only; say when requests arrive, e.g. `arrival: {kind: poisson, request_rate: 10}`"
        )
        raise TraceError(Problem(workload.trace or "", message))
    times = trace.arrival_s * workload.time_scale
    rate = (len(trace) - 1) / (trace.duration_s * workload.time_scale) if trace.duration_s else None
    return ArrivalSource(lambda: arrivals.GivenArrivals(times), rate, count=len(trace))


def _from_profile(
    workload: Workload, arrival: ProfileArrivals, streams: Streams, profile: WorkloadProfile | None
) -> ArrivalSource:
    """The profile's arrivals, once over its length unless the workload says how far."""
    if profile is None or profile.rate is None:
        message = f"profile '{workload.profile}' holds lengths only; say when requests arrive"
        raise ScenarioError(Problem("workload.arrival", message))
    rate, time_scale = profile.rate, workload.time_scale
    own_rate = mean_rate(rate) / time_scale
    scale = arrival.factor(own_rate)
    counted = workload.num_requests is not None or workload.counts_sessions
    end_s = inf if counted else rate.duration_s * time_scale
    expected = own_rate * scale * (workload.duration_s or end_s)
    if not counted and expected > MAX_REQUESTS:
        message = f"about {expected:.3g} requests; at most {MAX_REQUESTS:,} can be simulated"
        raise ScenarioError(Problem("workload.arrival", message))
    return ArrivalSource(
        lambda: arrivals.ProfileTimes(rate, scale, time_scale, streams("arrivals")),
        own_rate * scale,
        end_s=end_s,
    )


def mean_rate(profile: RateProfile) -> float:
    """Requests per second over the whole profile."""
    return float(arrivals.expected_requests(profile)[-1] / profile.duration_s)


def length_source(
    workload: Workload, streams: Streams, trace: Trace | None, profile: WorkloadProfile | None
) -> Callable[[], lengths.Take]:
    """Begins anew with the requests' lengths, at each call."""
    if workload.input_tokens is not None and workload.output_tokens is not None:
        return partial(lengths.independent, workload.input_tokens, workload.output_tokens, streams)
    if trace is not None:
        if workload.lengths is not None and workload.lengths.kind == "samples":
            return lambda: lengths.random_rows(trace, streams("lengths"))
        return partial(lengths.RowOrder, trace)
    if profile is not None:
        return lambda: lengths.TableLengths(profile.lengths, streams("lengths"))
    raise InvariantError("a workload without lengths passed its checks")
