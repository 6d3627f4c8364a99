"""A comparison as text: the verdicts, the table, and what a reader must know of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import isfinite

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from llmsim.measure.saturation import Saturation
from llmsim.planning.compare import Compared, Comparison
from llmsim.planning.differences import Difference
from llmsim.planning.replicate import HEADLINES, Estimate
from llmsim.report.format import MISSING, dollars, figures, percent
from llmsim.report.verdict import METRICS

COLUMNS_AT_ONCE = 3
"""Contenders beside the baseline in one table: more are too wide to read."""
IN_WORDS = ("mean_ttft_ms", "p99_ttft_ms", "mean_tpot_ms", "p99_tpot_ms", "p99_e2el_ms", "output_throughput",
            "slo_attainment", "usd_per_million_output_tokens")  # fmt: skip
"""What verdicts speak of."""
LEAST_IN_WORDS = 0.005
"""Differences under half a percent stand in the table and are left out of the verdicts."""
WORST_FIRST: tuple[Saturation, ...] = ("overloaded", "backlogged", "stable")
_LABELS = {
    "request_throughput": "requests/s",
    "request_goodput": "good requests/s",
    "output_throughput": "output tokens/s",
    "total_token_throughput": "tokens/s in all",
    "slo_attainment": "SLO attainment",
    "cost_usd": "cost",
    "usd_per_million_output_tokens": "cost per M output tokens",
    "energy_j": "energy, J",
}
_MORE_IS_BETTER = ("request_throughput", "request_goodput", "output_throughput", "total_token_throughput",
                   "slo_attainment")  # fmt: skip


def compare_text(comparison: Comparison) -> RenderableType:
    """The report of a comparison."""
    baseline, *others = comparison.compared
    parts: list[RenderableType] = [
        Text(headline(comparison), style="bold"),
        *map(Text, verdicts(comparison)),
        Text(),
    ]
    for first in range(0, len(others), COLUMNS_AT_ONCE):
        parts += [_table(baseline, others[first : first + COLUMNS_AT_ONCE]), Text()]
    parts += [Text(sentence, style="dim") for sentence in reading(comparison)]
    parts += [Text(f"Note: {note}", style="yellow") for note in notes(comparison)]
    return Group(*parts)


def headline(comparison: Comparison) -> str:
    """What is compared with what."""
    baseline, *others = comparison.compared
    names = ", ".join(each.contender.name for each in others)
    return f"{names} against {baseline.contender.name}"


def label(field: str) -> str:
    """``P99 TTFT, ms`` for a summary field. Pure."""
    if field in _LABELS:
        return _LABELS[field]
    statistic, _, metric = field.partition("_")
    return f"{METRICS[metric]} {statistic if statistic == 'mean' else statistic.upper()}, ms"


def verdicts(comparison: Comparison) -> list[str]:
    """A sentence for each contender but the baseline; it names a metric only where the interval excludes zero."""
    baseline, *others = comparison.compared
    return [f"  {each.contender.name}: {_verdict(baseline, each)}" for each in others]


def _verdict(baseline: Compared, each: Compared) -> str:
    if not each.found.groups or not baseline.found.groups:
        return "no replication of one of them ran to its end"
    said = [word for field in IN_WORDS if (word := _word(each.differences.get(field)))]
    state = _state(baseline, each)
    if said or state:
        return "; ".join([*state, *said])
    if len(each.found.seeds) < 2:
        return "one replication has no interval, so there is no verdict"
    return f"no difference of {100 * LEAST_IN_WORDS:g}% or more is shown"


def _word(difference: Difference | None) -> str:
    """``TTFT P99 18% lower (16 to 20%)``; '' where nothing is shown, or next to nothing."""
    if difference is None or not difference.word or difference.relative is None:
        return ""
    relative = difference.relative
    if abs(relative.middle) < LEAST_IN_WORDS:
        return ""
    low, high = sorted((abs(relative.low), abs(relative.high)))
    better = (difference.change > 0) == (difference.field in _MORE_IS_BETTER)
    name = label(difference.field).removesuffix(", ms")
    return (
        f"{name} {_share(abs(relative.middle))} {difference.word} ({_share(low)} to {_share(high)}, "
        f"{'better' if better else 'worse'})"
    )


def _share(share: float) -> str:
    return f"{figures(100 * share)}%"


def _state(baseline: Compared, each: Compared) -> list[str]:
    """Who does not keep up, where that keeps latencies from being compared."""
    words = []
    for one in (baseline, each):
        if one.found.is_mixed:
            over = next(group for group in one.found.groups if group.overloaded)
            count = f"{len(over.seeds)} of {len(one.found.seeds)} replications"
            words.append(f"{one.contender.name} is overloaded in {count}: nothing is averaged or compared")
        elif one.found.overloaded:
            words.append(f"{one.contender.name} is overloaded: latencies and attainment are not compared")
    return words


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


def worst(each: Compared) -> Saturation | None:
    """The worst that saturation says of its seeds; None where none ran. Pure."""
    words = {outcome.summary["saturation"] for outcome in each.outcomes if outcome.summary}
    return next((word for word in WORST_FIRST if word in words), None)


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
        absolute = difference.interval
        if absolute is None:
            return _signed(difference.change)
        span = f"({_signed(absolute.low)} to {_signed(absolute.high)})"
        return f"{_signed(difference.change)} {span}{' *' if difference.word else ''}"
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


def reading(comparison: Comparison) -> list[str]:
    """How the table is to be read."""
    others = len(comparison.compared) - 1
    together = f"; those of a metric hold together for all {others} (Bonferroni)" if others > 1 else ""
    return [
        "±: 95% by Student's t over seeds. Differences: of the means, with Fieller's 95% interval, paired by seed"
        f"{together}; * where it excludes zero. Nothing adjusts for the number of metrics.",
        f"{comparison.ended}.",
    ]


def notes(comparison: Comparison) -> Iterator[str]:
    """What a reader must know: of the pairs, then of each scenario."""
    yield from comparison.warnings
    for each in comparison.compared:
        for note in each.found.notes:
            yield f"{each.contender.name}: {note}"
