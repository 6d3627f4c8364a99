"""A plan as text, as JSON, and the winner as a scenario ready to run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from llmsim.files.scenario_file import LoadedScenario
from llmsim.files.scenario_text import resolved_yaml
from llmsim.measure.slo import has_targets
from llmsim.plan.fleet import FleetAnswer, Priced, Pruned
from llmsim.plan.pareto import FRONTS, measure, on_front
from llmsim.plan.trials import MOST_REPLICATIONS
from llmsim.report.format import dollars, figures, percent
from llmsim.report.verdict import METRICS, Check, verdict
from llmsim.report.whole_files import Fill, as_json, text

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

SHOWN = 12
"""Rows of the table of fleets that pass, or came closest."""


def fleet_json(answer: FleetAnswer) -> dict[str, Any]:
    """What ``llmsim plan --json`` prints: everything the search found, ready for JSON. Pure."""
    measured = [
        one
        for priced in answer.trials
        if (one := measure(list(priced.trial.outcomes.values()), answer.rules.slo)) is not None
    ]
    runner_up = answer.passed[1] if len(answer.passed) > 1 else None
    return {
        "find": "fleet",
        "objective": answer.objective,
        "targets": answer.rules.slo.model_dump(mode="json"),
        "space": {
            "axes": {axis.key: list(axis.values) for axis in answer.space.axes},
            "candidates": len(answer.space.candidates),
            "max_replicas": answer.space.max_replicas,
            "notes": list(answer.space.notes),
        },
        "rules": {
            "seed": answer.rules.seed,
            "replications": answer.rules.replications,
            "precision": answer.rules.precision,
            "nothing_is_random": answer.rules.is_replay,
        },
        "runs": answer.runs,
        "winner": answer.winner and _entry(answer, answer.winner),
        "runner_up": runner_up and _entry(answer, runner_up),
        "passed": [_entry(answer, priced) for priced in answer.passed],
        "simulated": [_entry(answer, priced) for priced in answer.trials],
        "pruned": [
            {
                "settings": dict(answer.space.candidates[one.candidate].values),
                "replicas": list(one.replicas),
                "kind": one.kind,
                "reason": one.reason,
            }
            for one in answer.pruned
        ],
        "measured": [asdict(one) for one in measured],
        "fronts": {front.name: on_front(measured, front) for front in FRONTS},
    }


def _entry(answer: FleetAnswer, priced: Priced) -> dict[str, Any]:
    trial = priced.trial
    summary = trial.summary
    tightest = tightest_check(answer, priced)
    return {
        "settings": answer.space.candidates[trial.candidate].values_at(trial.replicas),
        "state": trial.state,
        "usd_per_hour": priced.usd_per_hour,
        "accelerators": priced.accelerators,
        "attainment": trial.attainment if trial.scores else None,
        "interval": trial.interval and list(trial.interval),
        "seeds": sorted(trial.outcomes),
        "attainment_by_metric": summary and summary["slo_attainment_by_metric"],
        "saturation": summary and summary["saturation"],
        "bottleneck": summary and summary["bottleneck"],
        "tightest": tightest and {"metric": tightest.metric, "margin": tightest.margin()},
        "problem": next((one.problem for one in trial.outcomes.values() if one.problem), None),
    }


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


def fleet_files(answer: FleetAnswer, loaded: LoadedScenario) -> dict[str, Fill]:
    """What a plan's directory holds: name to content."""
    files = {
        "plan.json": text(as_json(fleet_json(answer))),
        "scenario.yaml": text(resolved_yaml(loaded.scenario)),
    }
    if answer.winner is not None:
        trial = answer.winner.trial
        chosen = answer.space.candidates[trial.candidate].at(trial.replicas)
        files["winner.yaml"] = text(resolved_yaml(chosen.scenario))
    return files


def fleet_table(answer: FleetAnswer, loaded: LoadedScenario) -> RenderableType:
    """The page that ``llmsim plan`` prints."""
    parts: list[RenderableType] = list(_verdict(answer, loaded.scenario.name))
    rows = answer.passed or sorted(answer.trials, key=lambda one: -one.trial.attainment)
    if rows:
        parts += [Text(), _ranked(answer, rows[:SHOWN])]
    if len(rows) > SHOWN:
        parts.append(Text(f"  … and {len(rows) - SHOWN:,} more in plan.json"))
    if answer.pruned:
        parts += [Text(), Text("Not simulated", style="bold"), _pruned(answer)]
    parts += [Text(f"Note: {note}", style="yellow") for note in _notes(answer)]
    return Group(*parts)


def _verdict(answer: FleetAnswer, name: str) -> Iterator[RenderableType]:
    winner = answer.winner
    if winner is None:
        yield Text.assemble(("No fleet", "bold red"), f"  {name}: nothing in the space meets the targets.")
        yield from _facts(_how_far(answer))
        return
    trial = winner.trial
    yield Text.assemble(
        ("Cheapest fleet", "bold green"), f"  {name}: {_cost(winner)} for {_settings(answer, winner)}"
    )
    facts = {"Attainment": f"{_attainment(winner)}; {percent(answer.rules.slo.percentile)} should"}
    check = tightest_check(answer, winner)
    if check is not None:
        facts["Margin"] = f"{check.title()} is the tightest target: {check.margin()}"
    if trial.summary is not None:
        facts["Bottleneck"] = str(trial.summary["bottleneck"])
    if len(answer.passed) > 1:
        second = answer.passed[1]
        dearer = f"{100 * (second.cost / winner.cost - 1):.0f}% dearer" if winner.cost else "dearer"
        facts["Runner-up"] = f"{_cost(second)}, {dearer}: {_settings(answer, second)}"
    else:
        facts["Runner-up"] = "none: no other candidate passes"
    yield from _facts(facts)


def _how_far(answer: FleetAnswer) -> dict[str, str]:
    """How near the best of what failed came, and what binds."""
    best = answer.best_failure
    if best is None:
        return {"Best": "nothing was simulated: every candidate is ruled out before, for the reasons below"}
    facts = {"Best": f"{_attainment(best)}, {_cost(best)} for {_settings(answer, best)}"}
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
            f"every seed met the targets, but after {len(best.trial.outcomes)} the interval still reaches below them"
        )
    if (
        best.trial.replicas == answer.space.max_replicas
        and answer.space.candidates[best.trial.candidate].searches
    ):
        facts["Next"] = f"it has the most replicas allowed: raise --max-replicas above {best.trial.replicas}"
    return facts


def _facts(rows: Mapping[str, str]) -> Iterator[RenderableType]:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True, min_width=12)
    grid.add_column()
    for label, value in rows.items():
        grid.add_row(Text(f"  {label}"), Text(value))
    yield grid


def _ranked(answer: FleetAnswer, rows: list[Priced]) -> Table:
    keys = list(dict.fromkeys(key for one in rows for key in _values(answer, one)))
    lines = Table(box=None, padding=(0, 1), pad_edge=False, header_style="bold")
    for key in keys:
        lines.add_column(key.rpartition(".")[2], overflow="fold")
    for heading in ("$/h", "GPUs", "in SLO", "95% interval", "seeds", "tightest target"):
        lines.add_column(heading, justify="left" if heading == "tightest target" else "right", no_wrap=True)
    for one in rows:
        values, trial, check = _values(answer, one), one.trial, tightest_check(answer, one)
        lines.add_row(
            *(_value(values.get(key)) for key in keys),
            dollars(one.usd_per_hour),
            str(one.accelerators),
            percent(trial.attainment),
            _interval(one),
            str(len(trial.outcomes)),
            "" if check is None else f"{METRICS[check.metric]} {check.margin()}",
        )
    return lines


def _pruned(answer: FleetAnswer) -> Table:
    """One line a kind of reason, with an example."""
    grid = Table.grid(padding=(0, 2))
    for justify in ("right", "left", "left"):
        grid.add_column(justify=justify)
    counts = Counter(one.kind for one in answer.pruned)
    for kind, words in KINDS.items():
        if counts[kind]:
            first = next(one for one in answer.pruned if one.kind == kind)
            grid.add_row(f"  {counts[kind]}", words, Text(_example(answer, first), style="dim"))
    return grid


def _example(answer: FleetAnswer, one: Pruned) -> str:
    values = ", ".join(f"{key.rpartition('.')[2]} {_value(value)}" for key, value in
                       answer.space.candidates[one.candidate].values.items())  # fmt: skip
    least, most = one.replicas
    counted = "" if (least, most) == (1, answer.space.max_replicas) else f" with {least}–{most} replicas"
    reason = one.reason.partition("\n")[0]
    return f"{values or 'the scenario'}{counted}: {reason[:160]}"


def _notes(answer: FleetAnswer) -> Iterator[str]:
    yield from answer.space.notes
    rules = answer.rules
    if rules.is_replay:
        yield "nothing is drawn at random: one run of each fleet is exact, for this trace"
    elif rules.replications == 1:
        yield "one seed each: no interval; --replications 3 gives one"
    else:
        yield (
            f"a fleet passes when each of {rules.replications} seeds (up to {MOST_REPLICATIONS} if it is close) "
            "meets the targets and the interval of its mean attainment does not reach below them"
        )
    close = [one for one in answer.trials if one.trial.state == "too close to call"]
    if close:
        yield f"{len(close)} fleets are too close to call, and count as failed: the cheapest at {_cost(close[0])}"
    if any(one.kind == "fewer" for one in answer.pruned):
        yield "fleets with fewer replicas than one that fails clearly are taken to fail, not simulated"
    if answer.objective == "accelerators":
        yield "no price is known: fleets are ranked by their number of accelerators"
    if not has_targets(rules.slo):
        yield "the only target is a price: no latency is judged"
    yield f"{answer.runs:,} runs in all"


def _values(answer: FleetAnswer, priced: Priced) -> dict[str, Any]:
    return answer.space.candidates[priced.trial.candidate].values_at(priced.trial.replicas)


def _settings(answer: FleetAnswer, priced: Priced) -> str:
    return (
        ", ".join(f"{key}={_value(value)}" for key, value in _values(answer, priced).items())
        or "the scenario"
    )


def _value(value: Any) -> str:
    return (
        str(value["kind"])
        if isinstance(value, dict) and "kind" in value
        else ""
        if value is None
        else str(value)
    )


def _cost(priced: Priced) -> str:
    if priced.usd_per_hour is None:
        return f"{figures(priced.accelerators)} accelerators"
    return f"{dollars(priced.usd_per_hour)} an hour"


def _attainment(priced: Priced) -> str:
    trial = priced.trial
    if trial.interval is None or len(trial.outcomes) < 2:
        return f"{percent(trial.attainment)} met all targets in one run"
    seeds = f"95% interval {_interval(priced)} over {len(trial.outcomes)} seeds"
    return f"{percent(trial.attainment)} met all targets, {seeds}"


def _interval(priced: Priced) -> str:
    interval = priced.trial.interval
    return "–" if interval is None else f"{100 * interval[0]:.2f}–{100 * interval[1]:.2f}%"
