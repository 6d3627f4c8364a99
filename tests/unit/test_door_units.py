"""Quantities with units."""

from __future__ import annotations

from typing import Annotated

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, TypeAdapter, ValidationError

from llmsim.units import DIMENSIONS, Quantity, format_bytes, format_seconds, format_si, parse_quantity

Latency = TypeAdapter(Annotated[float, Quantity("ms"), Field(gt=0, strict=True)])


@pytest.mark.parametrize(
    ("expected", "text", "unit"),
    [
        (200.0, "200ms", "ms"),
        (0.2, "200 ms", "s"),
        (1500.0, "1.5s", "ms"),
        (3.35e12, "3.35TB/s", "B/s"),
        (80 * 2**30, "80GiB", "B"),
        (80 * 10**9, "80 GB", "B"),
        (2.49, "$2.49/h", "$/h"),
        (9.89e14, "989 TFLOP/s", "FLOP/s"),
        (0.9, "90%", "share"),
        (0.5, "30/min", "1/s"),
        (7.5e-6, "7.5us", "s"),
        (-1.0, "-1 s", "s"),
    ],
)
def test_text_with_a_unit_is_converted(expected: float, text: str, unit: str) -> None:
    """GB is 10^9 and GiB is 2^30; the result is the nearest float to the exact value."""
    assert expected == parse_quantity(text, unit)


@pytest.mark.parametrize("text", ["3GB", "12:30", "fast", "200", "200 MS", "nan ms", "", "1 2 s", "$5 ms"])
def test_another_unit_is_refused_with_the_units_accepted(text: str) -> None:
    """What is not a time is no time, and a bare number in quotes says no unit."""
    with pytest.raises(ValueError, match=r"number of ms.*unit of time: s, ms, us, µs, ns, min, h, d"):
        parse_quantity(text, "ms")


@given(st.sampled_from(sorted(DIMENSIONS)), st.data(), st.integers(0, 10**6))
def test_units_of_a_dimension_convert_into_each_other(
    dimension: str, data: st.DataObject, number: int
) -> None:
    """Reading in one unit and scaling is reading in another."""
    units = DIMENSIONS[dimension]
    one = data.draw(st.sampled_from(sorted(units)))
    other = data.draw(st.sampled_from(sorted(units)))

    text = f"${number}{one[1:]}" if one.startswith("$") else f"{number} {one}"

    assert float(number * units[one] / units[other]) == pytest.approx(parse_quantity(text, other), rel=1e-12)


def test_a_field_takes_numbers_in_its_unit_and_text_in_any() -> None:
    """A bare number is in the field's own unit."""
    assert [200.0, 200.0, 200.0] == [Latency.validate_python(value) for value in (200, 200.0, "0.2s")]


@pytest.mark.parametrize("value", [True, None, [1], "3GB", 0, "-5ms"])
def test_a_field_stays_strict(value: object) -> None:
    """true is not 1 ms, and limits hold for text too."""
    with pytest.raises(ValidationError):
        Latency.validate_python(value)


@pytest.mark.parametrize(
    ("expected", "shown"),
    [
        ("12.3 ms", format_seconds(0.0123)),
        ("1.50 h", format_seconds(5400)),
        ("0.00 ns", format_seconds(0)),
        ("80.0 GiB", format_bytes(80 * 2**30)),
        ("989 TFLOP/s", format_si(9.89e14, "FLOP/s")),
        ("3.35 TB/s", format_si(3.35e12, "B/s")),
    ],
)
def test_people_read_three_digits(expected: str, shown: str) -> None:
    """Three significant digits in the unit that suits the size."""
    assert expected == shown
