"""Intervals of replications, of paired differences and of ratios."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from llmsim.measure.student import mean_interval, paired_difference, paired_ratio

values = st.lists(st.floats(1, 1e3), min_size=2, max_size=8)
pairs = st.lists(st.tuples(st.floats(1, 1e3), st.floats(1, 1e3)), min_size=3, max_size=8)


@given(values)
def test_the_interval_is_scipys(sample):
    found = mean_interval(sample)
    if np.ptp(sample) > 1e-6:
        low, high = stats.t.interval(0.95, len(sample) - 1, np.mean(sample), stats.sem(sample))
        assert (found.low, found.high) == pytest.approx((low, high))


def test_one_value_has_no_interval():
    assert mean_interval([1.0]) is None
    assert paired_ratio([1.0], [2.0]) is None


@given(values)
def test_a_compared_with_itself_differs_by_exactly_nothing(sample):
    difference = paired_difference(sample, sample)
    assert (difference.low, difference.middle, difference.high) == (0, 0, 0)
    ratio = paired_ratio(sample, sample)
    assert ratio is None or (ratio.low, ratio.middle, ratio.high) == (0, 0, 0)


@given(pairs)
def test_a_difference_the_other_way_round_has_the_other_sign(sample):
    ours, theirs = zip(*sample, strict=True)
    there, back = paired_difference(ours, theirs), paired_difference(theirs, ours)
    assert (there.low, there.middle, there.high) == pytest.approx((-back.high, -back.middle, -back.low))


@given(pairs)
def test_the_ratio_excludes_zero_exactly_where_the_difference_does(sample):
    """Fieller's interval holds 1 if and only if the paired t-test does not tell the means apart."""
    ours, theirs = zip(*sample, strict=True)
    difference, ratio = paired_difference(ours, theirs), paired_ratio(ours, theirs)
    near = min(abs(difference.low), abs(difference.high)) < 1e-6 * max(ours + theirs)
    if ratio is not None and not near:
        assert ratio.excludes_zero is difference.excludes_zero
        assert ratio.low - 1e-9 <= ratio.middle <= ratio.high + 1e-9


def test_a_baseline_that_may_be_zero_has_no_ratio():
    assert paired_ratio([-1.0, 1.0, 0.5], [1.0, 2.0, 3.0]) is None


def test_ratios_are_covered():
    """Fieller over normal pairs: 1,000 intervals, level 95%, so 93.5 to 96.5%."""
    rng = np.random.default_rng(1)
    held = 0
    for _ in range(1000):
        common = rng.normal(100, 15, 6)
        found = paired_ratio(
            (common + rng.normal(0, 3, 6)).tolist(), (1.2 * common + rng.normal(0, 3, 6)).tolist()
        )
        held += found.low <= 0.2 <= found.high
    assert 0.935 <= held / 1000 <= 0.965
