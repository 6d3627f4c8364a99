"""The same workload at another rate: what a latency–rate curve is made of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from llmsim.files.scenario_file import LoadedScenario
from llmsim.planning.contenders import Contender
from llmsim.planning.outcome import Outcome
from llmsim.planning.points import Point
from llmsim.spec.arrivals import BurstArrivals, ClosedArrivals, MmppArrivals, ScaledArrivals, TraceArrivals
from llmsim.workload.stream import open_stream

FACTORS = (0.5, 0.75, 1.0, 1.25, 1.5)
"""Of the scenario's own rate."""


@dataclass(frozen=True)
class RatePoint:
    """One run of a latency–rate curve: how many times the scenario's rate, requests per second, the run."""

    factor: float
    request_rate: float
    outcome: Outcome


def has_rate(loaded: LoadedScenario) -> bool:
    """Whether its requests come at a rate: not in a closed loop, and not in bursts. Pure query."""
    return not isinstance(loaded.scenario.workload.arrival, ClosedArrivals | BurstArrivals)


def mean_rate(loaded: LoadedScenario) -> float | None:
    """Requests per second that the scenario offers on average; None where it has no rate."""
    scenario = loaded.scenario
    return open_stream(scenario.workload, scenario.simulation.seed, loaded.base_dir).mean_rate


def at_rate(loaded: LoadedScenario, factor: float) -> LoadedScenario:
    """The scenario with ``factor`` times its rate: of its arrival process, or by squeezing its trace's time."""
    workload = loaded.scenario.workload
    arrival = workload.arrival
    if isinstance(arrival, TraceArrivals):
        workload = workload.model_copy(update={"time_scale": workload.time_scale / factor})
    elif isinstance(arrival, ScaledArrivals) and arrival.request_rate is None:
        scale = (arrival.rate_scale or 1.0) * factor
        workload = workload.model_copy(update={"arrival": arrival.model_copy(update={"rate_scale": scale})})
    elif not isinstance(arrival, ClosedArrivals | BurstArrivals):
        own_rate = arrival.own_rate if isinstance(arrival, MmppArrivals) else 0.0
        rate = (arrival.request_rate or own_rate) * factor
        workload = workload.model_copy(update={"arrival": arrival.model_copy(update={"request_rate": rate})})
    return replace(loaded, scenario=loaded.scenario.model_copy(update={"workload": workload}))


def curves(
    contenders: Sequence[Contender], own: Sequence[Outcome], run: Callable[[Sequence[Point]], list[Outcome]]
) -> list[tuple[RatePoint, ...]]:
    """Runs of every contender at ``FACTORS`` of its rate, with one seed; nothing for one without a rate.

    Args:
        contenders: What is compared.
        own: Its run at its own rate, whose seed the others take.
        run: Gives points their outcomes.
    """
    rates = [mean_rate(each.loaded) if has_rate(each.loaded) else None for each in contenders]
    others = [factor for factor in FACTORS if factor != 1]
    planned = [
        Point.of(each.setting(factor, at_rate(each.loaded, factor)), outcome.seed)
        for each, outcome, rate in zip(contenders, own, rates, strict=True)
        for factor in others
        if rate
    ]
    outcomes = iter(run(planned))
    return [
        tuple(
            RatePoint(factor, factor * rate, outcome if factor == 1 else next(outcomes)) for factor in FACTORS
        )
        if rate
        else ()
        for outcome, rate in zip(own, rates, strict=True)
    ]
