"""A comparison in words: what is shown to differ, how the table is read, what a reader must know."""

from __future__ import annotations

from collections.abc import Iterator

from llmsim.measure.saturation import Saturation
from llmsim.planning.compare import Compared, Comparison
from llmsim.planning.differences import Difference
from llmsim.report.format import dollars, figures
from llmsim.report.verdict import METRICS

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
    said = [word for field in IN_WORDS if (word := word_of(each.differences.get(field)))]
    state = _state(baseline, each)
    if said or state:
        return "; ".join([*state, *said])
    if len(each.found.seeds) < 2:
        return "one replication has no interval, so there is no verdict"
    return f"no difference of {100 * LEAST_IN_WORDS:g}% or more is shown"


def word_of(difference: Difference | None) -> str:
    """``TTFT P99 18% lower (16 to 20%)``; '' where nothing is shown, or next to nothing. Pure."""
    if difference is None or not difference.word or difference.interval is None:
        return ""
    relative, interval = difference.relative, difference.interval
    if relative is None:  # the baseline's own figure may be zero: said in its unit
        sizes = [
            _amount(difference.field, abs(end)) for end in (difference.change, interval.low, interval.high)
        ]
    elif abs(relative.middle) < LEAST_IN_WORDS:
        return ""
    else:
        sizes = [f"{figures(100 * abs(end))}%" for end in (relative.middle, relative.low, relative.high)]
    low, high = sizes[1:] if interval.low > 0 else reversed(sizes[1:])
    better = (difference.change > 0) == (difference.field in _MORE_IS_BETTER)
    name = label(difference.field).removesuffix(", ms")
    return f"{name} {sizes[0]} {difference.word} ({low} to {high}, {'better' if better else 'worse'})"


def _amount(field: str, size: float) -> str:
    """A difference in its own unit: ``12.3 ms``, ``92 points``, ``$0.12``. Pure."""
    if field == "slo_attainment":
        return f"{figures(100 * size)} points"
    return dollars(size) if "usd" in field else figures(size, "ms" if field.endswith("_ms") else "")


def _state(baseline: Compared, each: Compared) -> list[str]:
    """Who does not keep up, where that keeps latencies from being compared."""
    words = []
    for one, who in ((baseline, f"{baseline.contender.name} is "), (each, "")):
        if one.found.is_mixed:
            over = next(group for group in one.found.groups if group.overloaded)
            count = f"{len(over.seeds)} of {len(one.found.seeds)} replications"
            words.append(f"{who}overloaded in {count}: nothing is averaged or compared")
        elif one.found.overloaded:
            words.append(f"{who}overloaded: latencies and attainment are not compared")
    return words


def worst(each: Compared) -> Saturation | None:
    """The worst that saturation says of its seeds; None where none ran. Pure."""
    words = {outcome.summary["saturation"] for outcome in each.outcomes if outcome.summary}
    return next((word for word in WORST_FIRST if word in words), None)


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
