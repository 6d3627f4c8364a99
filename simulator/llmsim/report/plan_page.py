"""``report.html`` of a plan."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import llmsim
from llmsim.files.scenario_file import LoadedScenario
from llmsim.files.scenario_text import resolved_yaml, scenario_sha256
from llmsim.measure.student import mean_interval
from llmsim.measure.summary import summarise
from llmsim.planning.fleet_answer import FleetAnswer, Priced
from llmsim.planning.fleet_trial import is_met
from llmsim.planning.pareto import measure
from llmsim.planning.points import with_seed
from llmsim.planning.settings_text import in_words
from llmsim.report import pages
from llmsim.report.assumptions import base_assumptions
from llmsim.report.facts import Fact
from llmsim.report.pages.parts import MOST_SERIES, Saturation
from llmsim.report.pareto import DRAWN
from llmsim.report.plan_words import (
    KINDS,
    example_of,
    facts_of,
    notes_of,
    sentence_of,
    settings_of,
    tightest_check,
    values_of,
)
from llmsim.report.plots import over_time
from llmsim.report.verdict import METRICS
from llmsim.sim.run import simulate

ATTAINMENT = "slo_attainment"
LATENCIES = ("p99_ttft_ms", "p99_tpot_ms")
SHOWN = ("usd_per_hour", ATTAINMENT, *LATENCIES, "tokens_per_s_per_gpu", "tokens_per_s_per_user")
MOST_EXAMPLES = 5
WORST: tuple[Saturation, ...] = ("overloaded", "backlogged", "stable")
BOUNDS = {
    "memory": "weights, activations and one longest request against the device's memory",
    "length": "the engine's own refusal of requests, as drawn for the simulation",
    "latency": "the cheapest iterations there are, one request alone (llmsim.planning.bounds.latency)",
    "work": "device time at the best of batching against time, in any stretch of the run (llmsim.planning.bounds.work)",
    "cost": "prices of on-demand fleets, branch and bound",
    "fewer": "an assumption: a fleet that fails clearly is not rescued by fewer replicas",
}
"""Kind of pruning to what it rests on."""


def plan_html(answer: FleetAnswer, loaded: LoadedScenario) -> str:
    """The page: the answer, what was simulated, what was not and why, fronts, attainment over replicas."""
    order = [*answer.passed, *(one for one in answer.trials if one not in answer.passed)]
    candidates = tuple(_candidate(answer, one) for one in order)
    known = {key for one in candidates for key in one.estimates}
    slo = answer.rules.slo
    limits = {"p99_ttft_ms": slo.ttft_ms, "p99_tpot_ms": slo.tpot_ms, ATTAINMENT: slo.percentile}
    return pages.plan_page(
        pages.PlanPage(
            head=_head(answer, loaded),
            metrics=tuple(pages.METRICS[key] for key in SHOWN if key in known),
            candidates=candidates,
            pruned=tuple(_pruned(answer)),
            trade_offs=tuple(pages.TradeOff(x, y) for x, y in DRAWN if {x, y} <= known and len(order) > 1),
            curves=tuple(_curves(answer)),
            limits={key: limit for key, limit in limits.items() if limit is not None},
            over_time=_over_time(answer),
            scenarios=tuple(_scenarios(answer, loaded)),
        )
    )


def _head(answer: FleetAnswer, loaded: LoadedScenario) -> pages.Head:
    facts = tuple(Fact(label, value) for label, value in facts_of(answer).items())
    found = answer.winner is not None
    varied = ", ".join(axis.key for axis in answer.space.axes) or "nothing"
    return pages.Head(
        title=loaded.scenario.name,
        subtitle=f"{len(answer.space.candidates):,} candidates, up to {answer.space.max_replicas} replicas each; "
        f"varied: {varied}",
        headline=pages.Headline(
            "Cheapest fleet" if found else "No fleet", sentence_of(answer), "good" if found else "bad", facts
        ),
        assumptions=(
            Fact("Varied", varied),
            Fact(
                "Fleet assumed",
                settings_of(answer, answer.winner),
                "the winner: the lines below are about it",
            )
            if answer.winner
            else Fact("Fleet assumed", "as the scenario has it", "the lines below are about it"),
            *base_assumptions(answer.winning_scenario or loaded),
            *([Fact("Over time", f"one run of the winner, seed {answer.rules.seed}")] if found else []),
        ),
        notes=tuple(notes_of(answer)),
        version=llmsim.__version__,
        sha256=scenario_sha256(loaded.scenario),
    )


def _candidate(answer: FleetAnswer, priced: Priced) -> pages.Candidate:
    trial = priced.trial
    words = {outcome.summary["saturation"] for outcome in trial.outcomes.values() if outcome.summary}
    check = tightest_check(answer, priced)
    summary = trial.summary or {}
    return pages.Candidate(
        name=_name(answer, priced),
        meets={"met": True, "failed": False}.get(trial.state),
        estimates=_estimates(answer, priced),
        why="" if check is None else f"{METRICS[check.metric]} {check.margin()}",
        bottleneck=str(summary.get("bottleneck") or "").partition(":")[0],
        saturation=next((word for word in WORST if word in words), None),
        replications=len(trial.outcomes),
    )


def _name(answer: FleetAnswer, priced: Priced) -> str:
    """What tells a fleet from the others: ``accelerator l40s, scheduler vllm, replicas 2``."""
    return in_words(values_of(answer, priced)) or "as given"


def _estimates(answer: FleetAnswer, priced: Priced) -> dict[str, pages.Estimate]:
    trial = priced.trial
    found: dict[str, pages.Estimate] = {}
    if trial.scores:
        found[ATTAINMENT] = pages.Estimate(trial.attainment, *(trial.interval or (None, None)))
    if priced.usd_per_hour is not None:
        found["usd_per_hour"] = pages.Estimate(priced.usd_per_hour)
    measured = measure(list(trial.outcomes.values()), answer.rules.slo)
    rates = {} if measured is None else asdict(measured)
    for key in ("tokens_per_s_per_gpu", "tokens_per_s_per_user"):
        if rates.get(key) is not None:
            found[key] = pages.Estimate(rates[key])
    for key in LATENCIES:
        values = [outcome.summary[key] for outcome in trial.outcomes.values() if outcome.summary]
        if values and None not in values:
            interval = mean_interval(values)
            ends = (None, None) if interval is None else (interval.low, interval.high)
            found[key] = pages.Estimate(sum(values) / len(values), *ends)
    return found


def _pruned(answer: FleetAnswer) -> Iterator[pages.Pruned]:
    for kind, words in KINDS.items():
        ones = [one for one in answer.pruned if one.kind == kind]
        if ones:
            examples = tuple(example_of(answer, one) for one in ones[:MOST_EXAMPLES])
            yield pages.Pruned(words, len(ones), examples, BOUNDS.get(kind, ""))


def _curves(answer: FleetAnswer) -> Iterator[pages.Curve]:
    """Attainment against replicas, of candidates tried at more than one number of them; the winner's first."""
    points: defaultdict[int, list[pages.CurvePoint]] = defaultdict(list)
    for one in [*answer.passed[:1], *answer.trials]:
        points[one.trial.candidate] = []
    for one in answer.trials:
        trial = one.trial
        if trial.scores:
            all_met = all(is_met(outcome, answer.rules.slo) for outcome in trial.outcomes.values())
            point = pages.CurvePoint(
                trial.replicas, _estimates(answer, one)[ATTAINMENT], "stable" if all_met else None
            )
            points[trial.candidate].append(point)
    names = {
        index: ", ".join(map(str, answer.space.candidates[index].values.values())) or "replicas"
        for index in points
    }
    series = tuple(
        pages.CurveSeries(names[index], tuple(found)) for index, found in points.items() if len(found) > 1
    )
    if series:
        metric = pages.METRICS[ATTAINMENT]
        yield pages.Curve(metric, "replicas", "", series[:MOST_SERIES], answer.rules.slo.percentile)


def _over_time(answer: FleetAnswer) -> dict[str, Any]:
    """The winner's first seed once more, as the search keeps figures and no runs; nothing without a winner."""
    winner = answer.winning_scenario
    if winner is None:
        return {}
    winner = with_seed(winner, answer.rules.seed)
    record = simulate(winner)
    summary = summarise(
        record, winner.scenario, sha256=scenario_sha256(winner.scenario), version=llmsim.__version__
    )
    return over_time(summary, record, record.table)


def _scenarios(answer: FleetAnswer, loaded: LoadedScenario) -> Iterator[pages.Setting]:
    if (winner := answer.winning_scenario) is not None:
        yield pages.Setting("the winner", resolved_yaml(winner.scenario))
    yield pages.Setting("as given", resolved_yaml(loaded.scenario))
