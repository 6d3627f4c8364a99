"""The page ``llmsim run`` prints: verdict first, then why, then the figures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from llmsim.files.scenario_file import LoadedScenario
from llmsim.measure.records import RunRecord
from llmsim.report import facts
from llmsim.report.assumptions import assumptions
from llmsim.report.facts import Fact
from llmsim.report.format import percent
from llmsim.report.steady import steady_facts
from llmsim.report.trimmed import Trimmed
from llmsim.report.verdict import Verdict, verdict

STYLE = {"met": "bold green", "missed": "bold red", "unset": "bold"}


def render(summary: Mapping[str, Any], record: RunRecord, loaded: LoadedScenario) -> RenderableType:
    """The report of one run, at most 100 columns wide and readable without colour.

    Args:
        summary: The summary dict (interface.md, "Summary").
        record: What the run left behind.
        loaded: The scenario and where it was read from.
    """
    judged = verdict(summary, loaded.scenario.slo)
    state = [Fact("Saturation", facts.saturation(summary)), Fact("Bottleneck", facts.bottleneck(summary))]
    requests = [
        Fact(fact.label, f"{fact.value}  ({fact.source})" if fact.source else fact.value)
        for fact in facts.request_facts(summary, record)
    ]
    use = [*facts.use_facts(summary, record), *steady_facts(summary)]
    parts: list[RenderableType] = [*_headline(judged, loaded.scenario.name), _facts(state), Text()]
    parts += [Text("Assumptions", style="bold"), _facts(assumptions(record, loaded)), Text()]
    parts += [_latency(summary), Text(), _facts([*requests, *use])]
    parts += [Text(f"Note: {note}", style="yellow") for note in summary["notes"]]
    return Trimmed(Group(*parts))


def _headline(judged: Verdict, name: str) -> list[RenderableType]:
    line = Text.assemble((judged.word, STYLE[judged.status]), f"  {name}: {judged.sentence}")
    if not judged.checks:
        return [line]
    checks = _grid(4)
    for check in judged.checks:
        word = Text("met:", style="green") if check.is_met else Text("missed:", style="red")
        share = Text(f"{percent(check.share)} within", justify="right")
        checks.add_row(Text(f"  {check.title()}"), word, share, Text(check.margin()))
    return [line, checks]


def _grid(num_columns: int) -> Table:
    grid = Table.grid(padding=(0, 2))
    for _ in range(num_columns):
        grid.add_column()
    return grid


def _facts(rows: Iterable[Fact]) -> Table:
    """Label and value, and the source after it where there is one."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True, min_width=13)
    grid.add_column()
    for fact in rows:
        value = Text(fact.value)
        if fact.source:
            value.append(f"  [{fact.source}]", style="dim")
        grid.add_row(Text(f"  {fact.label}"), value)
    return grid


def _latency(summary: Mapping[str, Any]) -> Table:
    table = Table(box=None, padding=(0, 2), pad_edge=False, header_style="bold")
    table.add_column("Latency", min_width=13)
    for heading in facts.STATISTICS.values():
        table.add_column(heading, justify="right", min_width=7)
    for name, values in facts.latency_rows(summary):
        table.add_row(f"  {name}", *values)
    return table
