"""The first thing a report says: were the targets met, by what metric, and by how much."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from llmsim.measure.slo import targets_missed
from llmsim.report.format import figures, percent
from llmsim.spec.targets import Slo

METRICS = {"ttft_ms": "TTFT", "tpot_ms": "TPOT", "itl_ms": "ITL", "e2el_ms": "E2E"}
"""Summary metric to the name people use, in the order reports show them."""


@dataclass(frozen=True)
class Check:
    """One target and how the run did against it.

    Attributes:
        metric: Key of :data:`METRICS`.
        limit_ms: The target; None where only classes of requests have one, each its own.
        share: Share of the offered requests within it; None when nothing was offered.
        p99_ms: The run's 99th percentile; None without samples.
        is_met: Whether ``share`` reaches the wanted share.
    """

    metric: str
    limit_ms: float | None
    share: float | None
    p99_ms: float | None
    is_met: bool

    def title(self) -> str:
        """``TTFT ≤ 500 ms``."""
        if self.limit_ms is None:
            return f"{METRICS[self.metric]} by class"
        return f"{METRICS[self.metric]} ≤ {self.limit_ms:,g} ms"

    def margin(self) -> str:
        """``P99 212 ms, 58% below the limit``; says so when there is nothing to compare."""
        if self.p99_ms is None:
            return "no samples"
        if self.limit_ms is None:
            return f"P99 {figures(self.p99_ms)} ms"
        ratio = self.p99_ms / self.limit_ms
        if ratio <= 1:
            how = f"{100 * (1 - ratio):.0f}% below the limit"
        elif ratio < 2:
            how = f"{100 * (ratio - 1):.0f}% over the limit"
        else:
            how = f"{figures(ratio)} times the limit"
        return f"P99 {figures(self.p99_ms)} ms, {how}"


@dataclass(frozen=True)
class Verdict:
    """Whether the run met its targets, in one word, one sentence and one line per target."""

    status: Literal["met", "missed", "unset"]
    sentence: str
    checks: list[Check]

    @property
    def word(self) -> str:
        """What the report's first line starts with."""
        return {"met": "SLO met", "missed": "SLO missed", "unset": "No SLO set"}[self.status]


def verdict(summary: Mapping[str, Any], slo: Slo) -> Verdict:
    """Judge a run by its targets, with the rule that ``--check`` applies. Pure query.

    A target holds for ``slo.percentile`` of the requests offered (default: every request), so that
    a rejected request counts as missed.
    """
    shares: Mapping[str, float | None] = summary["slo_attainment_by_metric"] or {}
    if not slo.classes and not any(getattr(slo, metric) for metric in METRICS):
        return Verdict("unset", "the scenario sets no latency target under `slo`.", [])
    limited = [metric for metric in METRICS if metric in shares or getattr(slo, metric)]
    checks = [_check(metric, slo, shares.get(metric), summary) for metric in limited]
    status: Literal["met", "missed"] = "missed" if targets_missed(summary, slo) else "met"
    offered = summary["offered"]
    who = "every one" if slo.percentile == 1 else f"{100 * slo.percentile:g}%"
    sentence = (
        f"of {offered:,} request{'s' * (offered != 1)} offered, {percent(summary['slo_attainment'])} "
        f"met all targets; {who} should."
    )
    return Verdict(status, sentence if offered else "no request was offered.", checks)


def _check(metric: str, slo: Slo, share: float | None, summary: Mapping[str, Any]) -> Check:
    is_met = share is not None and share >= slo.percentile
    return Check(metric, getattr(slo, metric), share, summary[f"p99_{metric}"], is_met)


SATURATION = {
    "stable": "the queue did not grow: percentiles describe this load, not the run's length",
    "backlogged": "a queue built up for part of the run; tail latencies depend on when it happened",
    "overloaded": "requests came faster than they were served: latencies grow with the run's length",
}
"""What each value of the summary's ``saturation`` means for the reader."""
