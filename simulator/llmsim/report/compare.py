"""A comparison as text: the verdicts, the table, and what a reader must know of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from llmsim.planning.compare import Compared, Comparison
from llmsim.planning.replicate import HEADLINES, Estimate
from llmsim.report.compare_words import headline, label, notes, reading, verdicts, worst
from llmsim.report.format import MISSING, dollars, figures, percent

MOST_AT_ONCE = 3
"""Contenders beside the baseline in one table."""
ANY_WIDTH = 10_000


def compare_text(comparison: Comparison) -> RenderableType:
    """The report of a comparison."""
    baseline, *others = comparison.compared
    parts: list[RenderableType] = [
        Text(headline(comparison), style="bold"),
        *map(Text, verdicts(comparison)),
        Text(),
    ]
    parts.append(_Tables(baseline, others))
    parts += [Text(sentence, style="dim") for sentence in reading(comparison)]
    parts += [Text(f"Note: {note}", style="yellow") for note in notes(comparison)]
    return Group(*parts)


@dataclass(frozen=True)
class _Tables:
    """Every contender beside the baseline: as many in one table as the console is wide enough for."""

    baseline: Compared
    others: Sequence[Compared]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        wide = options.update(width=ANY_WIDTH)
        for at_once in range(MOST_AT_ONCE, 0, -1):
            tables = [
                _table(self.baseline, self.others[first : first + at_once])
                for first in range(0, len(self.others), at_once)
            ]
            if all(console.measure(one, options=wide).maximum <= options.max_width for one in tables):
                break
        for one in tables:
            yield one
            yield Text()


def _table(baseline: Compared, others: Sequence[Compared]) -> Table:
    shown = Table(box=None, padding=(0, 1), pad_edge=False, header_style="bold")
    count = len(baseline.outcomes)
    shown.add_column(f"mean over {count} seeds of" if count > 1 else "one seed")
    shown.add_column(baseline.contender.name, justify="right")
    for each in others:
        shown.add_column(each.contender.name, justify="right")
        shown.add_column("difference", justify="right")
    shown.add_row(
        "load",
        worst(baseline) or MISSING,
        *(cell for each in others for cell in (worst(each) or MISSING, "")),
    )
    for field in HEADLINES:
        if any(field in each.found.estimates for each in (baseline, *others)):
            cells = (cell for each in others for cell in (_value(each, field), _change(each, field)))
            shown.add_row(label(field), _value(baseline, field), *cells)
    return shown


def _value(each: Compared, field: str) -> str:
    """``46.7 ±0.5``."""
    estimate = each.found.estimates.get(field)
    if estimate is None:
        return MISSING
    half = estimate.interval.half_width if estimate.interval else None
    return _written(estimate) + (f" ±{_plain(field, half)}" if half else "")


def _written(estimate: Estimate) -> str:
    if estimate.field == "slo_attainment":
        return percent(estimate.mean)
    return _plain(estimate.field, estimate.mean)


def _plain(field: str, value: float) -> str:
    if field == "slo_attainment":
        return f"{figures(100 * value)}%"
    return dollars(value) if "usd" in field else figures(value)


def _change(each: Compared, field: str) -> str:
    """``−18.2% (−20.1 to −16.3) *``: a star where the interval excludes zero."""
    difference = each.differences.get(field)
    if difference is None:
        return MISSING
    if difference.relative is None:
        scale, unit = (100, " points") if difference.field == "slo_attainment" else (1, "")
        change = f"{_signed(scale * difference.change)}{unit}"
        absolute = difference.interval
        if absolute is None:
            return change
        span = f"({_signed(scale * absolute.low)} to {_signed(scale * absolute.high)})"
        return f"{change} {span}{' *' if difference.word else ''}"
    middle, low, high = (
        _signed(100 * share)
        for share in (difference.relative.middle, difference.relative.low, difference.relative.high)
    )
    return f"{middle}% ({low} to {high}){' *' if difference.word else ''}"


def _signed(value: float) -> str:
    if not isfinite(value):
        return MISSING
    if abs(value) < 1e-7:
        return "0"
    return f"{'+' if value > 0 else '−'}{figures(abs(value))}"
