"""The steady state of a run in a report: its window, its figures, and how sure they are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from llmsim.report.facts import Fact
from llmsim.report.format import figures, milliseconds, seconds
from llmsim.report.verdict import METRICS


def steady_facts(summary: Mapping[str, Any]) -> list[Fact]:
    """The steady window with its headline figures, and the confidence intervals of those."""
    return [_window(summary), _confidence(summary)]


def _window(summary: Mapping[str, Any]) -> Fact:
    steady = summary["steady_state"]
    if not steady:
        return Fact("Steady state", "none found; every figure covers the whole run")
    limits = f"{seconds(steady['start_s'])} to {seconds(steady['end_s'])}"
    tails = ", ".join(
        f"{name} P99 {milliseconds(steady[f'p99_{metric}'])}"
        for metric, name in METRICS.items()
        if steady.get(f"p99_{metric}") is not None
    )
    return Fact("Steady state", f"{limits}: {tails or 'no request completed in it'}")


def _confidence(summary: Mapping[str, Any]) -> Fact:
    sure = summary["confidence"]
    parts = [
        part
        for field, label in (("mean", "means of"), ("p99", "P99 of"))
        if (part := ", ".join(_intervals(sure, field, label)))
    ]
    if not parts:
        return Fact("Confidence", f"no interval from this run alone: {_why_not(summary)}")
    counts = " or ".join(
        str(count) for count in sorted({count for count in sure["batches"].values() if count})
    )
    return Fact(
        "Confidence",
        f"95% intervals of the steady state: {'; '.join(parts)}",
        f"from {counts} batch means, after the warm-up that {sure['warm_up']} finds",
    )


def _intervals(sure: Mapping[str, Any], field: str, label: str) -> Iterator[str]:
    """``means of TTFT 56.1–58.2 ms``, ``E2E 1,890–1,930 ms``: those there are; the first is labelled."""
    for metric, name in METRICS.items():
        interval = sure.get(f"{field}_{metric}")
        if interval:
            low, high = map(figures, interval)
            yield f"{label} {name} {low}–{high} ms".lstrip()
            label = ""


def _why_not(summary: Mapping[str, Any]) -> str:
    """The notes say why there is no steady state; else the reason of the means, which all metrics tend to share."""
    if not summary["steady_state"]:
        return "it has no steady state; other seeds give one"
    return str(summary["confidence"]["reasons"]["mean_ttft_ms"])
