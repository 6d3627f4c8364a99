"""A plan as text, as JSON, and the files of its directory: the winner as a scenario ready to run, the page."""

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
from llmsim.planning.fleet_answer import FleetAnswer, Priced
from llmsim.planning.pareto import FRONTS, measure, on_front
from llmsim.planning.settings_text import last_part, value_text
from llmsim.report.format import dollars, percent
from llmsim.report.plan_page import plan_html
from llmsim.report.plan_words import (
    KINDS,
    example_of,
    facts_of,
    interval_of,
    notes_of,
    sentence_of,
    tightest_check,
    values_of,
)
from llmsim.report.verdict import METRICS
from llmsim.report.whole_files import Fill, as_json, text

WINNER = "winner.yaml"
"""The scenario of the cheapest fleet, ready to run."""
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


def fleet_files(answer: FleetAnswer, loaded: LoadedScenario) -> dict[str, Fill]:
    """What a plan's directory holds: name to content."""
    files = {
        "plan.json": text(as_json(fleet_json(answer))),
        "scenario.yaml": text(resolved_yaml(loaded.scenario)),
        "report.html": text(plan_html(answer, loaded)),
    }
    if (winner := answer.winning_scenario) is not None:
        files[WINNER] = text(resolved_yaml(winner.scenario))
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
    parts += [Text(f"Note: {note}", style="yellow") for note in notes_of(answer)]
    return Group(*parts)


def _verdict(answer: FleetAnswer, name: str) -> Iterator[RenderableType]:
    word, style = ("Cheapest fleet", "bold green") if answer.winner else ("No fleet", "bold red")
    yield Text.assemble((word, style), f"  {name}: {sentence_of(answer)}")
    yield from _facts(facts_of(answer))


def _facts(rows: Mapping[str, str]) -> Iterator[RenderableType]:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True, min_width=12)
    grid.add_column()
    for label, value in rows.items():
        grid.add_row(Text(f"  {label}"), Text(value))
    yield grid


def _ranked(answer: FleetAnswer, rows: list[Priced]) -> Table:
    keys = list(dict.fromkeys(key for one in rows for key in values_of(answer, one)))
    lines = Table(box=None, padding=(0, 1), pad_edge=False, header_style="bold")
    for key in keys:
        lines.add_column(last_part(key), overflow="fold")
    for heading in ("$/h", "GPUs", "in SLO", "95% interval", "seeds", "tightest target"):
        lines.add_column(heading, justify="left" if heading == "tightest target" else "right", no_wrap=True)
    for one in rows:
        values, trial, check = values_of(answer, one), one.trial, tightest_check(answer, one)
        lines.add_row(
            *(value_text(values.get(key, "")) for key in keys),
            dollars(one.usd_per_hour),
            str(one.accelerators),
            percent(trial.attainment),
            interval_of(one),
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
            grid.add_row(f"  {counts[kind]}", words, Text(example_of(answer, first), style="dim"))
    return grid
