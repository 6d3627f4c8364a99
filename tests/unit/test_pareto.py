"""The Pareto front against its definition, by brute force."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmsim.measure.pareto import pareto_front

BETTER = st.sampled_from(["lower", "higher"])
POINTS = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), max_size=40)


def beats(a: tuple[int, int], b: tuple[int, int], signs: tuple[int, int]) -> bool:
    """At least as good in both, better in one."""
    pairs = [(s * p, s * q) for s, p, q in zip(signs, a, b, strict=True)]
    return all(p <= q for p, q in pairs) and any(p < q for p, q in pairs)


@given(POINTS, BETTER, BETTER)
def test_front_is_what_nothing_beats(points, x_better, y_better) -> None:
    """For each of the four directions, ties and duplicates included."""
    signs = (1 if x_better == "lower" else -1, 1 if y_better == "lower" else -1)
    expected = [not any(beats(other, point, signs) for other in points) for point in points]

    assert expected == pareto_front([x for x, _ in points], [y for _, y in points], x_better, y_better)


@given(POINTS.filter(bool))
def test_somebody_is_always_on_it(points) -> None:
    """The best in either coordinate cannot all be beaten."""
    assert any(pareto_front([x for x, _ in points], [y for _, y in points], "lower", "higher"))


def test_coordinates_come_in_pairs() -> None:
    with pytest.raises(ValueError, match="zip"):
        pareto_front([1.0], [], "lower", "lower")
