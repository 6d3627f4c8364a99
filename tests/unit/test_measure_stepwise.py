"""Time averages of step functions and the series built from them."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from measure_runs import BLOCKS, add_row, complete, make_record, make_replica, make_request, one_at_a_time

from llmsim.measure.records import StepLog
from llmsim.measure.series import row_intervals, series
from llmsim.measure.stepwise import interval_averages

time_s = st.floats(-2, 12)
intervals = st.lists(st.tuples(time_s, st.floats(0, 8), st.integers(0, 5)), max_size=20)


@given(intervals=intervals, num_bins=st.integers(1, 7))
def test_bins_average_what_is_open(intervals, num_bins):
    """Each bin holds the level times the overlap of every interval, over the bin's width."""
    edges = np.linspace(0, 10, num_bins + 1)
    starts, lengths, levels = np.array(intervals, dtype=float).reshape(-1, 3).T
    ends = starts + lengths
    expected = [
        (levels * np.clip(np.minimum(ends, b) - np.maximum(starts, a), 0, None)).sum() / (b - a)
        for a, b in pairwise(edges)
    ]

    assert expected == pytest.approx(interval_averages(starts, ends, edges, levels).tolist(), abs=1e-9)


def test_series_keep_every_token():
    """Token rates integrate to the tokens of the run."""
    found = series(one_at_a_time([0.0, 0.4, 3.0], 1.0, output_tokens=5), num_bins=7)
    width = np.diff(found["time_s"])

    assert 30 == pytest.approx((found["prefill_tokens_per_s"] * width).sum())
    assert 12 == pytest.approx((found["decode_tokens_per_s"] * width).sum())


def test_series_obey_littles_law():
    """Running and waiting integrate to the time requests spent in each."""
    found = series(one_at_a_time([0.0, 0.4, 3.0], 1.0), num_bins=7)
    width = np.diff(found["time_s"])

    assert 3.0 == pytest.approx((found["running"] * width).sum())
    assert 0.6 == pytest.approx((found["waiting"] * width).sum())


def test_kv_usage_is_a_share_of_the_whole_fleet():
    """A pool held to the half for half the time is a quarter used; a second, idle replica halves that."""
    log = StepLog()
    add_row(log, start_s=0.0, first_s=1.0, sequences=1, kv_blocks=BLOCKS / 2)
    requests = [complete(make_request(0, 0.0), 0.0, 1.0, 2.0)]
    record = make_record(requests, log, replicas=[make_replica(0), make_replica(1)])

    assert 0.125 == pytest.approx(series(record, num_bins=1)["kv_usage"][0])


def test_lanes_share_one_pool():
    """Rows of two lanes that overlap do not count the replica's blocks twice."""
    log = StepLog()
    add_row(log, lane=0, start_s=0.0, first_s=2.0, kv_blocks=10)
    add_row(log, lane=1, start_s=1.0, first_s=2.0, kv_blocks=20)
    held_from, ends = row_intervals(make_record([], log))

    assert [(0.0, 2.0), (2.0, 3.0)] == list(zip(held_from, ends, strict=True))


def test_a_preempted_request_waits_again():
    """Two requests over 4 s; for the last two the rows have one running and one waiting, as has the series."""
    log = StepLog()
    add_row(log, start_s=0.0, first_s=2.0, sequences=2)
    add_row(log, start_s=2.0, first_s=2.0, sequences=1, waiting=1)
    requests = [complete(make_request(id, 0.0, preemptions=id), 0.0, 1.0, 4.0) for id in range(2)]
    found = series(make_record(requests, log), num_bins=2)

    assert ([2.0, 1.0], [0.0, 1.0]) == (found["running"].tolist(), found["waiting"].tolist())


def test_a_run_without_time_has_no_series():
    """Nothing offered, nothing to plot."""
    assert {} == series(make_record([]))
