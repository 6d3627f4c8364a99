"""The first thing a report says: were the targets met, by what metric, and by how much."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from llmsim.measure.describe import PERCENTILES
from llmsim.measure.slo import REQUEST_METRICS, targets_missed
from llmsim.report.format import dollars, figures, milliseconds, percent
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
        tail: The percentile compared with the limit, in words: ``P95``.
        tail_ms: What it is; None without samples.
        is_met: Whether ``share`` reaches the wanted share.
    """

    metric: str
    limit_ms: float | None
    share: float | None
    tail: str
    tail_ms: float | None
    is_met: bool

    def title(self) -> str:
        """``TTFT ≤ 500 ms``."""
        if self.limit_ms is None:
            return f"{METRICS[self.metric]} by class"
        return f"{METRICS[self.metric]} ≤ {self.limit_ms:,g} ms"

    def margin(self) -> str:
        """``P99 212 ms, 58% below the limit``; says so when there is nothing to compare."""
        if self.tail_ms is None:
            return "no samples"
        tail = f"{self.tail} {milliseconds(self.tail_ms)}"
        if self.limit_ms is None:
            return tail
        ratio = self.tail_ms / self.limit_ms
        if ratio <= 1:
            how = f"{100 * (1 - ratio):.0f}% below the limit"
        elif ratio < 2:
            how = f"{100 * (ratio - 1):.0f}% over the limit"
        else:
            how = f"{figures(ratio)} times the limit"
        return f"{tail}, {how}"


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
        if slo.usd_per_million_output_tokens is None:
            return Verdict("unset", "the scenario sets no latency target.", [])
        return Verdict("missed" if targets_missed(summary, slo) else "met", _cost(summary, slo), [])
    limited = [metric for metric in METRICS if metric in shares or getattr(slo, metric)]
    checks = [_check(metric, slo, shares.get(metric), summary) for metric in limited]
    status: Literal["met", "missed"] = "missed" if targets_missed(summary, slo) else "met"
    sentence = f"{_sentence(summary, slo, limited)} {_cost(summary, slo)}".rstrip()
    return Verdict(status, sentence if summary["offered"] else NOTHING, checks)


def _cost(summary: Mapping[str, Any], slo: Slo) -> str:
    """What a million output tokens cost, where that has a target."""
    most = slo.usd_per_million_output_tokens
    if most is None:
        return ""
    usd = summary["usd_per_million_output_tokens"]
    paid = "nobody knows what" if usd is None else dollars(usd)
    return f"A million output tokens cost {paid}; {dollars(most)} at most should."


def _sentence(summary: Mapping[str, Any], slo: Slo, limited: list[str]) -> str:
    """How many of the requests, and of the gaps where they have a target, met theirs."""
    offered = summary["offered"]
    of_all = f"of {offered:,} request{'s' * (offered != 1)} offered, {percent(summary['slo_attainment'])}"
    who = "every one" if slo.percentile == 1 else f"{100 * slo.percentile:g}%"
    if slo.itl_ms is None:
        return f"{of_all} met all targets; {who} should."
    did = "met their targets" if any(metric in limited for metric in REQUEST_METRICS) else "completed"
    gaps = percent(summary["slo_attainment_by_metric"]["itl_ms"])
    return (
        f"{of_all} {did}, and {gaps} of the gaps between tokens are within {slo.itl_ms:,g} ms; {who} should."
    )


def _check(metric: str, slo: Slo, share: float | None, summary: Mapping[str, Any]) -> Check:
    is_met = share is not None and share >= slo.percentile
    tail, tail_ms = _tail(metric, 100 * slo.percentile, summary)
    return Check(metric, getattr(slo, metric), share, tail, tail_ms, is_met)


def _tail(metric: str, wanted: float, summary: Mapping[str, Any]) -> tuple[str, float | None]:
    """The percentile ``wanted`` of ``metric``, straight between those of the summary, and its name.

    Beyond the summary's last percentile, or before its first, that one stands for it.
    """
    known = {percentile: summary[f"p{percentile}_{metric}"] for percentile in PERCENTILES}
    nearest = min(max(round(wanted, 9), PERCENTILES[0]), PERCENTILES[-1])
    if None in known.values():
        return f"P{nearest:g}", None
    value = float(np.interp(nearest, list(known), list(known.values())))
    return f"P{nearest:g}{'' if nearest in known else ' about'}", value


NOTHING = "no request was offered."


SATURATION = {
    "stable": "no more requests piled up than chance explains in a run of this length",
    "backlogged": "requests piled up for part of the run; tail latencies depend on when and for how long",
    "overloaded": "requests came faster than they were served: they wait longer the longer the run is",
}
"""What each value of the summary's ``saturation`` means for the reader."""
