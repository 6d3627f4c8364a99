"""A sweep as text, as JSON and as a table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.table import Table

from llmsim.planning.outcome import Outcome
from llmsim.planning.replicate import THIN, Estimate
from llmsim.planning.settings_text import assignments, in_words, value_text
from llmsim.planning.sweep import Swept, by_setting
from llmsim.report.format import MISSING, dollars, figures, percent
from llmsim.report.headings import heading
from llmsim.report.whole_files import Columns

COLUMNS: dict[str, tuple[str, Callable[[float | None], str]]] = {
    "request_throughput": ("req/s", figures),
    "output_throughput": ("tokens/s", figures),
    "p50_ttft_ms": ("TTFT P50", figures),
    "p99_ttft_ms": ("TTFT P99", figures),
    "p50_tpot_ms": ("TPOT P50", figures),
    "p99_tpot_ms": ("TPOT P99", figures),
    "slo_attainment": ("in SLO", percent),
    "usd_per_million_output_tokens": ("$/M out", dollars),
}
"""Summary field to its heading and how it is written."""
LEFT_OUT = ("output_throughput", "p50_ttft_ms", "p50_tpot_ms")
"""Columns that make room for intervals where there are several seeds."""


def sweep_json(outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
    """What ``llmsim sweep --json`` prints: one entry a run, in grid order. Pure."""
    return [
        {"point": dict(outcome.settings), "seed": outcome.seed, "summary": outcome.summary}
        | ({"problem": outcome.problem} if outcome.problem else {})
        for outcome in outcomes
    ]


def sweep_table(outcomes: Sequence[Outcome]) -> Table:
    """One line a setting: what it varies, whether it kept up, and its headline figures.

    With several seeds each figure is their mean; the half-width of its 95% interval follows in percent.
    """
    swept = by_setting(outcomes)
    keys = list(dict.fromkeys(key for each in swept for key in each.settings))
    fields = {field for each in swept for group in each.together.groups for field in group.estimates}
    several = any(len(each.outcomes) > 1 for each in swept)
    shown = [field for field in COLUMNS if field in fields and not (several and field in LEFT_OUT)]
    lines = Table(box=None, padding=(0, 1), pad_edge=False, header_style="bold")
    for key in keys:
        lines.add_column(heading(key), overflow="fold")
    lines.add_column("load", overflow="fold")
    for field in shown:
        lines.add_column(COLUMNS[field][0].replace(" ", "\n"), justify="right", overflow="fold")
    if several:
        lines.caption = (
            "ms; mean over seeds ± half-width of its 95% interval; – where there is none: see the notes"
        )
        lines.caption_justify = "left"
    for each in swept:
        values = [value_text(each.settings.get(key, "")) for key in keys]
        found = each.together.estimates
        lines.add_row(*values, load(each), *(_cell(field, found.get(field)) for field in shown))
    return lines


def load(each: Swept) -> str:
    """Whether a setting kept up, over its seeds: ``stable``, or ``2 of 5 overloaded``. Pure."""
    words = Counter(outcome.summary["saturation"] for outcome in each.outcomes if outcome.summary)
    if not words:
        return "failed"
    if len(words) == 1:
        return str(next(iter(words)))
    return ", ".join(f"{count} of {words.total()} {word}" for word, count in words.most_common())


def _cell(field: str, found: Estimate | None) -> str:
    if found is None:
        return MISSING
    text = COLUMNS[field][1](found.mean)
    share = found.relative_half_width
    return text if share is None else f"{text} ±{figures(100 * share)}%"


def failures(outcomes: Sequence[Outcome]) -> list[str]:
    """A sentence for each run that failed: its settings and why. Pure."""
    return [
        f"failed: {assignments(outcome.settings)}"
        f"{', ' if outcome.settings else ''}seed {outcome.seed}: {outcome.problem}"
        for outcome in outcomes
        if outcome.problem
    ]


def notes(outcomes: Sequence[Outcome]) -> list[str]:
    """What the seeds of a setting must not hide: which are overloaded, which are too short. Pure."""
    swept = by_setting(outcomes)
    told: dict[str, list[str]] = {}
    for each in swept:
        for note in each.together.notes:
            told.setdefault(note, []).append(in_words(each.settings))
    thin = [note for each in sorted(swept, key=_least) for note in each.together.notes if note.endswith(THIN)]
    others = len(thin) - len(told[thin[0]]) if thin else 0
    for note in thin[1:]:  # all say the same, with other numbers: the shortest runs speak for them
        if note != thin[0]:
            told.pop(note, None)
    return [
        f"Note: {note}"
        + ("" if len(where) == len(swept) else f" [{'; '.join(where)}]")
        + (f"; {others} more settings are too short for it" if others and thin[0] == note else "")
        for note, where in told.items()
    ]


def gathered(found: Iterable[tuple[Mapping[str, Any], str]], count: int) -> list[str]:
    """Sentences about settings, equal ones once: with the settings, unless all ``count`` have it. Pure."""
    told: dict[str, list[str]] = {}
    for settings, sentence in found:
        told.setdefault(sentence, []).append(in_words(settings))
    return [
        sentence + ("" if len(where) == count else f" [{'; '.join(where)}]")
        for sentence, where in told.items()
    ]


def _least(each: Swept) -> int:
    """Requests completed in the shortest run of a setting."""
    return min((outcome.summary["completed"] for outcome in each.outcomes if outcome.summary), default=0)


def point_columns(outcomes: Sequence[Outcome]) -> Columns:
    """One entry a run: settings, seed, and every figure of the summary that is a number or a word."""
    keys = dict.fromkeys(key for outcome in outcomes for key in outcome.settings)
    fields = dict.fromkeys(
        name
        for outcome in outcomes
        for name, value in (outcome.summary or {}).items()
        if isinstance(value, int | float)
    )
    return {
        **{key: _texts(value_text(outcome.settings.get(key, "")) for outcome in outcomes) for key in keys},
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
