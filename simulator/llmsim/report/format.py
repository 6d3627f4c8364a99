"""Numbers as people read them. Every function is pure; a missing number reads as a dash."""

from __future__ import annotations

from math import floor, isfinite

from llmsim.units import format_seconds

MISSING = "–"


def figures(value: float | None, unit: str = "") -> str:
    """At least three significant figures, thousands apart: ``1,234``, ``56.8``, ``0.00123``."""
    if value is None or not isfinite(value):
        return MISSING
    size = abs(value)
    if size >= 100 or size == 0:
        text = f"{value:,.0f}"
    elif size >= 10:
        text = f"{value:.1f}"
    elif size >= 1:
        text = f"{value:.2f}"
    else:
        text = f"{value:.3g}"
    return f"{text} {unit}" if unit else text


def percent(share: float | None) -> str:
    """A share in percent, rounded down, so that only everything reads as 100%."""
    if share is None or not isfinite(share):
        return MISSING
    if 0 < share < 0.001:
        return "<0.1%"
    tenths = floor(share * 1000 + 1e-9)
    return f"{tenths / 10:.1f}%" if 0 < tenths < 1000 else f"{tenths / 10:.0f}%"


def dollars(usd: float | None) -> str:
    """US dollars: cents from one dollar up, three figures below."""
    if usd is None or not isfinite(usd):
        return MISSING
    return f"${usd:,.2f}" if usd >= 1 or usd == 0 else f"${usd:.3g}"


def seconds(value: float | None) -> str:
    """A span of time in the unit that suits it: ``850 ms``, ``12.3 s``, ``1.50 h``."""
    if value is None or not isfinite(value):
        return MISSING
    return format_seconds(value) if value else "0 s"


def milliseconds(value: float | None) -> str:
    """A latency given in ms: in ms up to 10 s, beyond in seconds or the unit that suits it."""
    if value is None or not isfinite(value):
        return MISSING
    return figures(value, "ms") if value < 1e4 else seconds(value / 1e3)


def energy(joules: float | None) -> str:
    """Energy: ``950 J``, ``12.3 kJ``, or kilowatt-hours from 0.1 kWh up."""
    if joules is None or not isfinite(joules):
        return MISSING
    if joules >= 3.6e5:
        return figures(joules / 3.6e6, "kWh")
    return figures(joules / 1e3, "kJ") if joules >= 1e3 else figures(joules, "J")
