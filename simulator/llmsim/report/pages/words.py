"""Estimates, intervals and differences as people read them."""

from __future__ import annotations

from llmsim.report.format import MISSING, dollars, figures, milliseconds, percent
from llmsim.report.pages.parts import Estimate

NO_DIFFERENCE = 1e-9
"""Percent below which a difference is rounding."""


def in_words(value: float | None, unit: str) -> str:
    """A value of a metric with its unit: ``212 ms``, ``99.1%``, ``$2.49/h``, ``1,234 tokens/s``."""
    if value is None:
        return MISSING
    if unit == "ms":
        return milliseconds(value) if value >= 0 else f"-{milliseconds(-value)}"
    if unit == "share":
        return percent(value) if value >= 0 else f"-{percent(-value)}"
    if unit.startswith("$"):
        return f"{'-' if value < 0 else ''}{dollars(abs(value))}{unit[1:]}"
    return figures(value, unit)


def interval_in_words(estimate: Estimate, unit: str) -> str:
    """``[198 ms, 230 ms]``, the unit said once where both ends share it; '' without an interval."""
    if estimate.low is None or estimate.high is None:
        return ""
    low, high = in_words(estimate.low, unit), in_words(estimate.high, unit)
    ends = low.partition(" "), high.partition(" ")
    return f"[{ends[0][0]}, {high}]" if ends[0][2] == ends[1][2] else f"[{low}, {high}]"


def difference_in_words(estimate: Estimate, unit: str) -> str:
    """``-12.3 ms [-15.0, -9.8 ms]``: signed, a share in percentage points."""
    if estimate.value is None:
        return MISSING
    scale, unit = (100.0, "points") if unit == "share" else (1.0, unit)
    scaled = Estimate(
        *(None if v is None else v * scale for v in (estimate.value, estimate.low, estimate.high))
    )
    sign = "+" if estimate.value > 0 else ""
    return f"{sign}{in_words(scaled.value, unit)} {interval_in_words(scaled, unit)}".rstrip()


def relative_in_words(estimate: Estimate) -> str:
    """``-12.3% [-15.0, -9.8]``; a dash where it is not known."""
    if estimate.value is None:
        return MISSING
    text = f"{_signed(estimate.value)}%"
    if estimate.low is None or estimate.high is None:
        return text
    return f"{text} [{_signed(estimate.low)}, {_signed(estimate.high)}]"


def _signed(share: float) -> str:
    """In percent: a tenth where that says something, two figures below, so that only zero reads as zero."""
    value = 100 * share
    size = abs(value)
    if size < NO_DIFFERENCE:
        return "0"
    return f"{value:+,.0f}" if size >= 100 else f"{value:+.1f}" if size >= 0.1 else f"{value:+.2g}"
