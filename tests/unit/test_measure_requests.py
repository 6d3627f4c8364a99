"""Requests as columns, and the statistics of a sample."""

from __future__ import annotations

import numpy as np
from measure_runs import complete, make_record, make_request

from llmsim.measure.describe import describe, thin_sample_note


def test_latencies_follow_vllm_bench_serve():
    """TTFT from arrival, TPOT = (e2e − TTFT)/(n − 1), in milliseconds."""
    table = make_record([complete(make_request(0, 1.0, output_tokens=5), 1.5, 2.0, 4.0)]).table

    assert [1000.0] == table.ttft_ms.tolist()
    assert [3000.0] == table.e2el_ms.tolist()
    assert [500.0] == table.tpot_ms.tolist()


def test_a_request_of_one_token_has_no_tpot():
    """One token has no gap to average."""
    table = make_record([complete(make_request(0, 0.0, output_tokens=1), 0.0, 1.0, 1.0)]).table

    assert np.isnan(table.tpot_ms).all()


def test_a_dropped_request_has_no_latency_but_did_wait():
    """One that gave up left when its end says, and has no end-to-end latency."""
    dropped = make_request(0, 1.0, status="dropped", finish_s=3.0)
    table = make_record([dropped], end_s=9.0).table

    assert np.isnan(table.e2el_ms).all()
    assert [3.0] == table.wait_end_s.tolist()


def test_rejected_requests_never_waited_and_unfinished_ones_still_do():
    """Without an end, the rejected left at once and the others at the run's end."""
    requests = [make_request(0, 1.0, status="rejected"), make_request(1, 2.0, status="unfinished")]

    assert [1.0, 9.0] == make_record(requests, end_s=9.0).table.wait_end_s.tolist()


def test_statistics_leave_nan_out():
    """Values that do not exist are not samples."""
    found = describe("x", np.array([1.0, np.nan, 3.0]))

    assert [2.0, 2.0, 1.0] == [found["mean_x"], found["median_x"], found["std_x"]]
    assert np.percentile([1.0, 3.0], 99) == found["p99_x"]


def test_no_samples_is_null_not_zero():
    """A metric without samples is None in every field."""
    assert {None} == set(describe("x", np.array([])).values())


def test_a_percentile_with_ten_beyond_it_gets_no_note():
    """1,000 requests carry a p99, 999 do not."""
    assert thin_sample_note("x", 99, 1000) is None
    assert "10 slowest of 999" in str(thin_sample_note("x", 99, 999))
