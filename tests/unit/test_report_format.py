"""Numbers as people read them."""

from __future__ import annotations

from math import nan

import pytest

from llmsim.report.format import dollars, energy, figures, milliseconds, percent, seconds


@pytest.mark.parametrize(
    ("text", "value"),
    [("1,234", 1234.4), ("56.8", 56.78), ("5.68", 5.678), ("0.00123", 0.0012345), ("0", 0.0)],
)
def test_three_figures(text: str, value: float) -> None:
    """At least three significant figures whatever the size."""
    assert text == figures(value)


@pytest.mark.parametrize("missing", [None, nan])
@pytest.mark.parametrize("wording", [figures, percent, dollars, seconds, energy, milliseconds])
def test_a_missing_number_is_a_dash(wording: object, missing: float | None) -> None:
    """What there are no samples of is never printed as a number."""
    assert "–" == wording(missing)  # type: ignore[operator]


@pytest.mark.parametrize(
    ("text", "ms"), [("90.7 ms", 90.7), ("9,999 ms", 9999.0), ("12.3 s", 12_300.0), ("4.95 min", 296_732.0)]
)
def test_latencies_beyond_ten_seconds_change_their_unit(text: str, ms: float) -> None:
    """Milliseconds only as long as they can be read."""
    assert text == milliseconds(ms)


@pytest.mark.parametrize(("text", "share"), [("99.9%", 0.99999), ("100%", 1.0), ("<0.1%", 1e-6), ("0%", 0.0)])
def test_only_everything_is_100_percent(text: str, share: float) -> None:
    """One missed request in a million must not read as none."""
    assert text == percent(share)


@pytest.mark.parametrize(("text", "usd"), [("$1,234.50", 1234.5), ("$0.0123", 0.01234)])
def test_dollars(text: str, usd: float) -> None:
    """Cents for amounts of a dollar or more, three figures for less."""
    assert text == dollars(usd)


@pytest.mark.parametrize(("text", "joules"), [("950 J", 950.0), ("12.3 kJ", 12_300.0), ("2.00 kWh", 7.2e6)])
def test_energy(text: str, joules: float) -> None:
    """3.6 MJ are a kilowatt-hour."""
    assert text == energy(joules)
