"""Fronts: nothing on them is beaten, everything off them is."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from llmsim.planning.pareto import COST_AND_ATTAINMENT, SPEED_AND_THROUGHPUT, Measured, on_front

figures = st.one_of(st.none(), st.integers(0, 5).map(float))


@st.composite
def settings_measured(draw: st.DrawFn) -> list[Measured]:
    rows = draw(st.lists(st.tuples(st.booleans(), figures, figures, figures, figures), max_size=12))
    return [Measured({}, 1, over, usd, 1.0, share, gpu, user) for over, usd, share, gpu, user in rows]


def beats(one: Measured, other: Measured) -> bool:
    """At least as good in both, and better in one."""
    better = (other.usd_per_hour - one.usd_per_hour, one.attainment - other.attainment)
    return min(better) >= 0 and max(better) > 0


@given(settings_measured())
def test_exactly_what_nothing_beats_is_on_the_front(rows):
    """Overloaded settings, and those without figures, are left out."""
    able = [
        position
        for position, one in enumerate(rows)
        if not one.overloaded and one.usd_per_hour is not None and one.attainment is not None
    ]
    unbeaten = {i for i in able if not any(beats(rows[j], rows[i]) for j in able)}

    front = on_front(rows, COST_AND_ATTAINMENT)

    assert sorted(unbeaten) == sorted(front)


def test_faster_is_better_on_the_other_front():
    """Tokens a second for a user fall as those of a GPU rise."""
    rows = [
        Measured({}, 1, False, 1.0, 1.0, 1.0, gpu, user) for gpu, user in ((10, 5), (20, 4), (15, 3), (5, 5))
    ]

    assert [0, 1] == on_front(rows, SPEED_AND_THROUGHPUT)
