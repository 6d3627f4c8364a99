"""A sweep as text, as JSON and as a table."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.table import Table

from llmsim.files.scenario_file import LoadedScenario
from llmsim.files.scenario_text import resolved_yaml
from llmsim.plan.outcome import Outcome
from llmsim.report.format import dollars, figures, percent
from llmsim.report.whole_files import Columns, Fill, as_json, table, text

COLUMNS: dict[str, tuple[str, Callable[[Any], str]]] = {
    "saturation": ("load", str),
    "request_throughput": ("req/s", figures),
    "output_throughput": ("tokens/s", figures),
    "p50_ttft_ms": ("TTFT P50", figures),
    "p99_ttft_ms": ("P99, ms", figures),
    "p50_tpot_ms": ("TPOT P50", figures),
    "p99_tpot_ms": ("P99, ms", figures),
    "slo_attainment": ("in SLO", percent),
    "usd_per_million_output_tokens": ("$/M out", dollars),
}
"""Summary field to its heading and how it is written."""


def sweep_json(outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
    """What ``llmsim sweep --json`` prints: one entry a run, in grid order. Pure."""
    return [
        {"point": dict(outcome.settings), "seed": outcome.seed, "summary": outcome.summary}
        | ({"problem": outcome.problem} if outcome.problem else {})
        for outcome in outcomes
    ]


def sweep_table(outcomes: Sequence[Outcome]) -> Table:
    """One line a run: what it varies, and its headline figures."""
    keys = list(dict.fromkeys(key for outcome in outcomes for key in outcome.settings))
    summaries = [outcome.summary for outcome in outcomes if outcome.summary]
    shown = [name for name in COLUMNS if any(summary[name] is not None for summary in summaries)]
    lines = Table(box=None, padding=(0, 1), pad_edge=False, header_style="bold")
    for key in [*(key.rpartition(".")[2] for key in keys), "seed"]:
        lines.add_column(key, overflow="fold")
    for name in shown:
        lines.add_column(COLUMNS[name][0], justify="right", no_wrap=True)
    for outcome in outcomes:
        summary = outcome.summary
        values = [_value(outcome.settings.get(key)) for key in keys]
        figures_of = [COLUMNS[name][1](summary[name]) for name in shown] if summary else ["failed"]
        lines.add_row(*values, str(outcome.seed), *figures_of)
    return lines


def failures(outcomes: Sequence[Outcome]) -> list[str]:
    """A sentence for each run that failed: its settings and why. Pure."""
    return [
        f"failed: {', '.join(f'{key}={_value(value)}' for key, value in outcome.settings.items())}"
        f"{', ' if outcome.settings else ''}seed {outcome.seed}: {outcome.problem}"
        for outcome in outcomes
        if outcome.problem
    ]


def sweep_files(loaded: LoadedScenario, outcomes: Sequence[Outcome]) -> dict[str, Fill]:
    """What a sweep's directory holds beside its store: name to content."""
    return {
        "sweep.json": text(as_json(sweep_json(outcomes))),
        "scenario.yaml": text(resolved_yaml(loaded.scenario)),
        **table("points", _columns(outcomes)),
    }


def _columns(outcomes: Sequence[Outcome]) -> Columns:
    """One entry a run: settings, seed, and every figure of the summary that is a number or a word."""
    keys = dict.fromkeys(key for outcome in outcomes for key in outcome.settings)
    fields = dict.fromkeys(
        name
        for outcome in outcomes
        for name, value in (outcome.summary or {}).items()
        if isinstance(value, int | float)
    )
    return {
        **{key: _texts(_value(outcome.settings.get(key)) for outcome in outcomes) for key in keys},
        "seed": np.array([outcome.seed for outcome in outcomes], np.int64),
        "saturation": _texts((outcome.summary or {}).get("saturation", "") for outcome in outcomes),
        **{
            name: np.array([_number((outcome.summary or {}).get(name)) for outcome in outcomes])
            for name in fields
        },
        "problem": _texts(outcome.problem or "" for outcome in outcomes),
    }


def _texts(values: Iterable[str]) -> npt.NDArray[np.object_]:
    return np.array(list(values), dtype=object)


def _number(value: float | None) -> float:
    return np.nan if value is None else float(value)


def _value(value: Any) -> str:
    if isinstance(value, dict) and "kind" in value:
        rest = ", ".join(f"{key} {given}" for key, given in value.items() if key != "kind")
        return f"{value['kind']} ({rest})" if rest else str(value["kind"])
    return "" if value is None else str(value)
