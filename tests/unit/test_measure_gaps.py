"""ITL: gaps pooled from rows equal those of every token written out."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from measure_runs import add_row

from llmsim.measure import gaps
from llmsim.measure.gaps import GapPool, describe_gaps
from llmsim.measure.records import StepLog

PERCENTILES = [0, 0.1, 12.5, 50, 90, 95, 99, 100]

row = st.fixed_dictionaries(
    {
        "iterations": st.integers(1, 60),
        "first_s": st.floats(1e-3, 1.0),
        "growth_s": st.sampled_from([0.0, 1e-5, 3e-4]),
        "lag_s": st.sampled_from([0.0, 0.02]),
        "width": st.integers(0, 6),
        "aligned": st.integers(0, 6),
    }
)


def log_and_gaps(rows: list[dict[str, float]]) -> tuple[StepLog, np.ndarray]:
    """Rows as the engine logs them, and every gap of every sequence in them."""
    log, written = StepLog(), []
    for given_cells in rows:
        cells = dict(given_cells)
        width = cells.pop("width")
        n, first, growth = cells["iterations"], cells["first_s"], cells["growth_s"]
        cells["aligned"] = min(width, cells["aligned"])
        add_row(log, **cells, decode_tokens=width * n)
        written += [cells["lag_s"] + first] * cells["aligned"]
        if late := width - cells["aligned"]:
            log.extra_gaps.append((first + 0.5, late))
            written += [first + 0.5] * late
        written += [first + i * growth for i in range(1, n) for _ in range(width)]
    return log, np.array(written)


@pytest.mark.parametrize("listed_at_most", [10, gaps.LISTED_AT_MOST])
@given(rows=st.lists(row, min_size=1, max_size=8))
@settings(max_examples=100, deadline=None)
def test_percentiles_equal_numpy_over_the_written_out_gaps(listed_at_most, rows):
    """Narrowed or listed at once, each percentile is numpy's."""
    log, written = log_and_gaps(rows)
    if not len(written):
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gaps, "LISTED_AT_MOST", listed_at_most)
        found = GapPool.of(log).percentiles_s(PERCENTILES)

    assert np.percentile(written, PERCENTILES).tolist() == pytest.approx(found, rel=1e-12)


@given(rows=st.lists(row, min_size=1, max_size=8))
@settings(max_examples=100, deadline=None)
def test_moments_equal_numpy_over_the_written_out_gaps(rows):
    """Count, mean and standard deviation in closed form are those of the gaps written out."""
    log, written = log_and_gaps(rows)
    pool = GapPool.of(log)

    assert len(written) == pool.size
    if len(written):
        assert written.mean() == pytest.approx(pool.mean_s(), rel=1e-12)
        assert written.std() == pytest.approx(pool.std_s(), rel=1e-7, abs=1e-9)


@given(rows=st.lists(row, min_size=1, max_size=8), limit=st.floats(0, 1.5))
@settings(max_examples=100, deadline=None)
def test_share_within_a_limit_counts_gaps(rows, limit):
    """The share within a limit is the count of gaps up to it."""
    log, written = log_and_gaps(rows)
    if len(written) and np.abs(written - limit).min() > 1e-12:
        assert (written <= limit).mean() == pytest.approx(GapPool.of(log).share_within(limit))


def test_ten_million_iterations_are_narrowed_not_listed():
    """A pool too large to list still gives the exact percentile: of 1..n milliseconds."""
    log = StepLog()
    num = 10_000_000
    add_row(log, iterations=num + 1, first_s=0.0, growth_s=1e-3, decode_tokens=2 * (num + 1))

    assert 1e-3 * (1 + 0.99 * (num - 0.5)) == pytest.approx(GapPool.of(log).percentiles_s([99])[0], rel=1e-6)


def test_falling_gaps_are_pooled_like_rising_ones():
    """A row whose iterations get shorter holds the same kind of progression."""
    log = StepLog()
    add_row(log, iterations=5, first_s=1.0, growth_s=-0.1, decode_tokens=5)

    assert [0.6, 0.75, 0.9] == pytest.approx(GapPool.of(log).percentiles_s([0, 50, 100]))


def test_a_prefill_closes_no_gap():
    """A run without decoding has no ITL: null, not zero."""
    log = StepLog()
    add_row(log, first_s=0.1, prefill_tokens=100)

    assert {None} == set(describe_gaps(GapPool.of(log)).values())
