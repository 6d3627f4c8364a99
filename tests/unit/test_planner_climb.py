"""Which replica counts are tried: by hand, and over every shape of passing and failing."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from llmsim.planning.climb import Climb


def tried(
    passing: set[int], least: int, most: int, guess: int, *, clear: bool = False
) -> tuple[Climb, list[int]]:
    """The counts a climb asks for, in order, where ``passing`` pass."""
    climb, order = Climb(least, most, guess), []
    while (count := climb.next(most)) is not None:
        order.append(count)
        climb.tell(count, passed=count in passing, is_clear=clear and count not in passing)
    return climb, order


def test_up_in_doubling_steps_then_between_then_below():
    """From 2: 2, 3, 5, 9 fail up to 6, then bisection; the few below are all tried."""
    climb, order = tried(set(range(7, 17)), 1, 16, 2)

    assert [2, 3, 5, 9, 7, 6] == order[:6]
    assert {1, 2, 3, 4, 5, 6, 7, 9} == set(order)
    assert 7 == climb.best


def test_a_guess_that_passes_is_tried_from_below():
    """Bisection downwards from the guess."""
    climb, order = tried({3, 4, 5, 6, 7, 8}, 1, 8, 8)

    assert [8, 4, 2, 3, 1] == order
    assert 3 == climb.best


def test_counts_far_below_a_clear_failure_are_not_tried():
    """Of 1 to 39 below the first that passes, those under a clear failure are taken to fail, and said so."""
    climb, order = tried(set(range(40, 65)), 1, 64, 38, clear=True)

    assert [38, 39, 41, 40] == order
    assert list(range(1, 38)) == climb.untried(64)


def test_nothing_beyond_what_the_price_allows():
    """The limit may fall while the climb is under way."""
    climb = Climb(2, 16, 5)

    assert 3 == climb.next(3)
    assert climb.next(1) is None


@given(st.sets(st.integers(1, 5)), st.integers(1, 5), st.booleans())
def test_with_few_counts_the_smallest_that_passes_is_always_found(passing, guess, clear):
    """Passing need not be monotone: two passes and a failure between them hide nothing."""
    climb, _ = tried(passing, 1, 5, guess, clear=clear)

    assert min(passing, default=None) == climb.best


@given(st.sets(st.integers(1, 30)), st.integers(1, 30), st.integers(1, 30))
def test_without_clear_failures_every_count_below_is_tried(passing, guess, least):
    """However many there are."""
    climb, order = tried(passing, least, 30, guess)

    assert min((count for count in passing if count >= least), default=None) == climb.best
    assert len(order) == len(set(order))
