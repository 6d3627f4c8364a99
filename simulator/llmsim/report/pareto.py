"""Pareto fronts as text and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from llmsim.planning.outcome import Outcome
from llmsim.planning.pareto import COST_AND_ATTAINMENT, FRONTS, Front, Measured, on_front
from llmsim.report.format import dollars, figures, percent
from llmsim.report.headings import heading


def pareto_json(measured: Sequence[Measured], failed: Sequence[Outcome]) -> dict[str, Any]:
    """Every setting, and the positions of those on each front. Pure."""
    return {
        "find": "pareto",
        "measured": [asdict(one) for one in measured],
        "fronts": {front.name: on_front(measured, front) for front in FRONTS},
        "failed": [{"settings": dict(one.settings), "problem": one.problem} for one in failed],
    }


def pareto_table(measured: Sequence[Measured], failed: Sequence[Outcome]) -> RenderableType:
    """One table a front, from its cheap or fast end on, and what is on none."""
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
    parts += [Text(f"failed: {_settings(one.settings)}: {one.problem}", "red") for one in failed]
    return Group(*parts)


def _why_none(front: Front) -> str:
    if front is COST_AND_ATTAINMENT:
        return "it needs prices, targets (`slo:`) and a setting that is not overloaded"
    return "it needs a setting that is not overloaded and generates more than one token a request"


def _table(rows: Sequence[Measured]) -> Table:
    keys = list(dict.fromkeys(key for one in rows for key in one.values))
    lines = Table(box=None, padding=(0, 1), pad_edge=False, header_style="bold")
    for key in keys:
        lines.add_column(heading(key), overflow="fold")
    for title in ("$/h", "GPUs", "in SLO", "tokens/s\n/GPU", "tokens/s\n/user", "seeds"):
        lines.add_column(title, justify="right", overflow="fold")
    for one in rows:
        lines.add_row(
            *(_value(one.values.get(key)) for key in keys),
            dollars(one.usd_per_hour),
            figures(one.accelerators),
            percent(one.attainment),
            figures(one.tokens_per_s_per_gpu),
            figures(one.tokens_per_s_per_user),
            str(one.seeds),
        )
    return lines


def _value(value: Any) -> str:
    return str(value["kind"]) if isinstance(value, dict) and "kind" in value else str(value)


def _settings(values: Any) -> str:
    return ", ".join(f"{key}={_value(value)}" for key, value in values.items())
