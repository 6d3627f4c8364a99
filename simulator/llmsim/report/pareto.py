"""Pareto fronts as text and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from llmsim.files.scenario_file import LoadedScenario
from llmsim.planning.axes import Axis
from llmsim.planning.pareto import COST_AND_ATTAINMENT, FRONTS, Front, Measured, Weighed, on_front
from llmsim.planning.settings_text import assignments, value_text
from llmsim.report.format import dollars, figures, percent
from llmsim.report.headings import heading
from llmsim.report.sweep_page import Answer, sweep_html
from llmsim.report.whole_files import Fill, as_json, text

DRAWN = (("usd_per_hour", "slo_attainment"), ("tokens_per_s_per_user", "tokens_per_s_per_gpu"))
"""``FRONTS`` by the names that pages have for their figures."""


def pareto_json(weighed: Weighed) -> dict[str, Any]:
    """Every setting, and the positions of those on each front. Pure."""
    return {
        "find": "pareto",
        "measured": [asdict(one) for one in weighed.measured],
        "fronts": {front.name: on_front(weighed.measured, front) for front in FRONTS},
        "failed": [{"settings": dict(one.settings), "problem": one.problem} for one in weighed.failed],
    }


def pareto_files(weighed: Weighed, axes: Sequence[Axis], loaded: LoadedScenario) -> dict[str, Fill]:
    """What a front's directory holds: name to content."""
    return {
        "pareto.json": text(as_json(pareto_json(weighed))),
        "report.html": text(sweep_html(loaded, axes, weighed.outcomes, Answer(fronts=DRAWN))),
    }


def pareto_table(weighed: Weighed) -> RenderableType:
    """One table a front, from its cheap or fast end on, and what is on none."""
    measured = weighed.measured
    parts: list[RenderableType] = []
    for front in FRONTS:
        positions = on_front(measured, front)
        parts.append(Text(f"Pareto front: {front.name}", style="bold"))
        if positions:
            parts.append(_table([measured[position] for position in positions]))
        else:
            parts.append(Text(f"  none: {_why_none(front)}"))
        parts.append(Text())
    overloaded = sum(one.overloaded for one in measured)
    if overloaded:
        parts.append(
            Text(f"Note: {overloaded} of {len(measured)} settings are overloaded, and on no front", "yellow")
        )
    parts += [Text(f"failed: {assignments(one.settings)}: {one.problem}", "red") for one in weighed.failed]
    return Group(*parts)


def _why_none(front: Front) -> str:
    if front is COST_AND_ATTAINMENT:
        return "it needs prices, targets (`slo:`) and a setting that is not overloaded"
    return "it needs a setting that is not overloaded and generates more than one token a request"


def _table(rows: Sequence[Measured]) -> Table:
    keys = list(dict.fromkeys(key for one in rows for key in one.values))
    lines = Table(box=None, padding=(0, 1), pad_edge=False, header_style="bold")
    for key in keys:
        lines.add_column(f"  {heading(key)}", overflow="fold")
    for title in ("$/h", "GPUs", "in SLO", "tokens/s\n/GPU", "tokens/s\n/user", "seeds"):
        lines.add_column(title, justify="right", overflow="fold")
    for one in rows:
        lines.add_row(
            *(f"  {value_text(one.values.get(key, ''))}" for key in keys),
            dollars(one.usd_per_hour),
            figures(one.accelerators),
            percent(one.attainment),
            figures(one.tokens_per_s_per_gpu),
            figures(one.tokens_per_s_per_user),
            str(one.seeds),
        )
    return lines
