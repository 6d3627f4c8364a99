"""What a plan says in words, on the terminal and on its page."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from llmsim.measure.slo import has_targets
from llmsim.planning.fleet_answer import FleetAnswer, Priced, Pruned
from llmsim.planning.fleet_trial import MOST_REPLICATIONS
from llmsim.planning.settings_text import assignments, in_words
from llmsim.report.format import dollars, percent
from llmsim.report.verdict import Check, verdict

KINDS = {
    "invalid": "cannot be built",
    "memory": "do not fit their memory",
    "length": "cannot take the requests' lengths",
    "latency": "too slow even for a request alone",
    "work": "too few replicas for the work",
    "cost": "cost no less than the two best",
    "fewer": "fewer replicas of what failed clearly",
}
"""Kinds of pruning, in the order they are told, and how."""


def sentence_of(answer: FleetAnswer) -> str:
    """The answer in a sentence. Pure."""
    if answer.winner is None:
        return "nothing in the space meets the targets."
    return f"{cost_of(answer.winner)} for {settings_of(answer, answer.winner)}"


def facts_of(answer: FleetAnswer) -> dict[str, str]:
    """What to know of the winner, or how far the best of what failed came: label to value. Pure."""
    winner = answer.winner
    if winner is None:
        return _how_far(answer)
    trial = winner.trial
    facts = {"Attainment": f"{_attainment(winner)}; {percent(answer.rules.slo.percentile)} should"}
    check = tightest_check(answer, winner)
    if check is not None:
        facts["Margin"] = f"{check.title()} is the tightest target: {check.margin()}"
    if trial.summary is not None:
        facts["Bottleneck"] = str(trial.summary["bottleneck"])
    facts["Runner-up"] = "none: no other candidate passes"
    if len(answer.passed) > 1:
        second = answer.passed[1]
        dearer = "as dear" if second.cost <= winner.cost else "dearer"
        if second.cost > winner.cost > 0:
            dearer = f"{100 * (second.cost / winner.cost - 1):.0f}% dearer"
        facts["Runner-up"] = f"{cost_of(second)}, {dearer}: {settings_of(answer, second)}"
    return facts


def _how_far(answer: FleetAnswer) -> dict[str, str]:
    """How near the best of what failed came, and what binds."""
    best = answer.best_failure
    if best is None:
        facts = {"Best": "nothing was simulated: every candidate is ruled out before, for the reasons below"}
        near = min(
            (one for one in answer.pruned if one.kind == "latency"), key=lambda one: one.excess, default=None
        )
        near = near or min(
            (one for one in answer.pruned if one.kind == "work"),
            key=lambda one: one.replicas[1],
            default=None,
        )
        return facts if near is None else facts | {"Nearest": example_of(answer, near)}
    facts = {"Best": f"{_attainment(best)}, {cost_of(best)} for {settings_of(answer, best)}"}
    check = tightest_check(answer, best)
    if check is not None:
        facts["Binds"] = f"{check.title()}: {percent(check.share)} within, {check.margin()}"
    summary = best.trial.summary
    if summary is not None:
        facts["Bottleneck"] = str(summary["bottleneck"])
        if summary["saturation"] == "overloaded":
            facts["Saturation"] = "overloaded: requests came faster than they were served"
    if best.trial.state == "too close to call":
        facts["Too close"] = (
            f"every seed met the targets, but after {len(best.trial.outcomes)} the interval still reaches below them: "
            "a longer workload would tell"
        )
    if (
        best.trial.replicas == answer.space.max_replicas
        and answer.space.candidates[best.trial.candidate].searches
    ):
        facts["Next"] = f"it has the most replicas allowed: raise --max-replicas above {best.trial.replicas}"
    return facts


def example_of(answer: FleetAnswer, one: Pruned) -> str:
    """What was pruned, and the figure that rules it out. Pure."""
    values = in_words(answer.space.candidates[one.candidate].values)
    least, most = one.replicas
    count = f"{least} replica{'s' * (least > 1)}" if least == most else f"{least}–{most} replicas"
    counted = "" if (least, most) == (1, answer.space.max_replicas) else f" with {count}"
    reason = one.reason.partition("\n")[0]
    return f"{values or 'the scenario'}{counted}: {reason[:160]}"


def notes_of(answer: FleetAnswer) -> Iterator[str]:
    """What a reader has to know before relying on the answer. Pure."""
    yield from answer.space.notes
    rules = answer.rules
    if rules.is_replay:
        yield "nothing is drawn at random: one run of each fleet is exact, for this trace"
    elif rules.replications == 1:
        yield "one seed each: no interval; --replications 3 gives one"
    else:
        yield (
            f"a fleet passes when each of {rules.replications} seeds (up to {MOST_REPLICATIONS} if it is close) "
            "meets the targets and the interval of its attainment does not reach below them"
        )
    close = [one for one in answer.trials if one.trial.state == "too close to call"]
    if close:
        one = "1 fleet is too close to call, and counts as failed: it costs"
        many = f"{len(close)} fleets are too close to call, and count as failed: the cheapest costs"
        yield f"{one if len(close) == 1 else many} {cost_of(close[0])}"
    if any(one.kind == "fewer" for one in answer.pruned):
        yield "fleets with fewer replicas than one that fails clearly are taken to fail, not simulated"
    if answer.objective == "accelerators":
        yield "no price is known: fleets are ranked by their number of accelerators"
    if not has_targets(rules.slo):
        yield "the only target is a price: no latency is judged"
    yield f"{answer.runs:,} run{'s' * (answer.runs != 1)} in all"


def values_of(answer: FleetAnswer, priced: Priced) -> dict[str, Any]:
    """What a fleet has of its own: key to value. Pure."""
    return answer.space.candidates[priced.trial.candidate].values_at(priced.trial.replicas)


def settings_of(answer: FleetAnswer, priced: Priced) -> str:
    """What a fleet has of its own: ``fleet.accelerator=l40s, fleet.replicas=2``. Pure."""
    return assignments(values_of(answer, priced)) or "the scenario"


def cost_of(priced: Priced) -> str:
    """``$1.99 an hour``, or accelerators where there is no price. Pure."""
    if priced.usd_per_hour is None:
        return f"{priced.accelerators:,} accelerators"
    return f"{dollars(priced.usd_per_hour)} an hour"


def _attainment(priced: Priced) -> str:
    trial = priced.trial
    if trial.interval is None or len(trial.outcomes) < 2:
        return f"{percent(trial.attainment)} met all targets in one run"
    seeds = f"95% interval {interval_of(priced)} over {len(trial.outcomes)} seeds"
    return f"{percent(trial.attainment)} met all targets, {seeds}"


def interval_of(priced: Priced) -> str:
    """The interval of the attainment; ``exact`` where no seed would change it. Pure."""
    interval = priced.trial.interval
    if interval is not None and priced.trial.rules.is_replay:
        return "exact"
    return "–" if interval is None else f"{100 * interval[0]:.2f}–{100 * interval[1]:.2f}%"


def tightest_check(answer: FleetAnswer, priced: Priced) -> Check | None:
    """The target that the fleet is nearest to missing, or misses by most; None without one. Pure query."""
    summary = priced.trial.summary
    if summary is None:
        return None
    checks = verdict(summary, answer.rules.slo).checks
    return min(
        checks, key=lambda one: (one.share if one.share is not None else 0.0, -_used(one)), default=None
    )


def _used(check: Check) -> float:
    """The tail as a share of its limit."""
    return 0.0 if check.tail_ms is None or check.limit_ms is None else check.tail_ms / check.limit_ms
