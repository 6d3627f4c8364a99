"""The knee of a curve: closed forms, and what must not move it."""

from __future__ import annotations

from math import sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmsim.measure.knee import knee


@pytest.mark.parametrize("most", [0.8, 0.9, 0.95, 0.99])
def test_knee_of_a_single_server_queue(most: float) -> None:
    """1/(1-ρ) up to ρ = r is farthest below its chord where its slope is the chord's: ρ = 1 - √(1-r)."""
    load = np.linspace(0, most, 2001)
    found = knee(load.tolist(), (1 / (1 - load)).tolist())

    assert found is not None
    assert 1 - sqrt(1 - most) == pytest.approx(load[found], abs=most / 2000)


@given(st.integers(4, 40), st.data())
def test_corner_of_a_hockey_stick_is_its_knee(n: int, data: st.DataObject) -> None:
    """Flat, then steep: the last flat point, wherever that is, from the third on."""
    corner = data.draw(st.integers(2, n - 2))
    y = [10.0 + 5.0 * max(0, i - corner) for i in range(n)]

    assert corner == knee([float(i) for i in range(n)], y)


CURVES = st.lists(st.floats(0.01, 1.0), min_size=3, max_size=30).map(
    lambda steps: (np.arange(len(steps)) / 4, 50.0 * np.cumsum(np.sort(steps) ** 3))
)


@given(CURVES, st.sampled_from([0.25, 3.0, 1e3]), st.sampled_from([0.5, 7.0, 1e-3]), st.randoms())
def test_units_and_order_do_not_move_the_knee(curve, by_x, by_y, random) -> None:
    """Seconds or milliseconds, per second or per hour, an offset, any order: the same point."""
    x, y = curve
    order = list(range(len(x)))
    random.shuffle(order)
    found, moved = (
        knee(x.tolist(), y.tolist()),
        knee((by_x * x[order]).tolist(), (by_y * (y[order] + 1)).tolist()),
    )

    if found is None or moved is None:
        assert found is moved
        return
    rise = y[-1] - y[0]
    depth = (x - x[0]) / (x[-1] - x[0]) - (y - y[0]) / rise
    assert depth[found] == pytest.approx(depth[order[moved]], abs=1e-9)


@given(st.integers(3, 30), st.floats(0.1, 100), st.floats(0, 100))
def test_a_straight_line_has_no_knee(n: int, slope: float, start: float) -> None:
    """Nor has one that flattens, falls, or stays."""
    x = np.arange(float(n))

    for y in (start + slope * x, start + slope * np.sqrt(x), start - slope * x, np.full(n, start)):
        assert None is knee(x.tolist(), y.tolist())


def test_two_points_have_no_knee_and_one_rate_is_no_curve() -> None:
    """A knee lies between two others."""
    assert None is knee([], [])
    assert None is knee([1.0, 2.0], [1.0, 100.0])
    with pytest.raises(ValueError, match="different rates"):
        knee([1.0, 1.0, 2.0], [1.0, 2.0, 3.0])
