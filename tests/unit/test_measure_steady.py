"""The steady window: warm-up found and cut, cool-down cut, queueing theory inside."""

from __future__ import annotations

import numpy as np
import pytest
from measure_runs import closed_loop, complete, make_record, make_request, one_at_a_time, poisson

from llmsim.measure.steady import mser_cut, steady_metrics, steady_window
from llmsim.spec.arrivals import ClosedArrivals, DiurnalArrivals, ProfileArrivals, TraceArrivals
from llmsim.spec.targets import Slo


def test_mser_cuts_where_the_transient_ends():
    """A decaying start of 12 batches before pure noise is what MSER cuts."""
    noise = np.random.default_rng(1).normal(10, 0.1, 100)
    noise[:12] += np.linspace(30, 5, 12)

    assert 12 == mser_cut(noise)


def test_mser_gives_up_on_a_trend():
    """Without an end to the transient there is no cut in the first half."""
    assert mser_cut(np.arange(100.0)) is None


def test_warm_up_of_a_queue_that_starts_full_is_cut():
    """100 requests there at the start, at half load: the queue drains in about 200 s, so does the warm-up."""
    arrivals = np.concatenate([np.zeros(100), poisson(0.5, 2000, seed=3)])
    start, end = steady_window(one_at_a_time(arrivals, 1.0).table)

    assert 100 < start < 600
    assert arrivals[-1] == end


@pytest.mark.parametrize("load", [0.5, 0.8])
def test_steady_wait_is_that_of_m_d_1(load):
    """Pollaczek-Khinchine: W = ρ/(2(1 − ρ)) services; the mean of 8 seeds within 3 standard errors."""
    waits = []
    for seed in range(8):
        table = one_at_a_time(poisson(load, 4000, seed), 1.0).table
        waits.append(steady_metrics(table, Slo(), steady_window(table))["mean_ttft_ms"] / 1e3 - 0.5)

    assert load / (2 * (1 - load)) == pytest.approx(np.mean(waits), abs=3 * np.std(waits) / np.sqrt(7))


def test_throughput_of_the_window_is_the_arrival_rate():
    """What is below capacity passes through: 3 Poisson standard deviations of 4,000 requests."""
    table = one_at_a_time(poisson(0.5, 4000, seed=5), 1.0).table
    found = steady_metrics(table, Slo(), steady_window(table))

    assert 0.5 == pytest.approx(found["request_throughput"], rel=3 / np.sqrt(found["completed"]))


@pytest.mark.parametrize(("arrivals", "why"), [([0.0] * 500, "at once"), (np.arange(99.0), "fewer than 100")])
def test_no_window_is_explained(arrivals, why):
    """A burst and a handful of requests have no steady state, and it says why."""
    assert why in steady_window(one_at_a_time(arrivals, 0.5).table)


def test_the_opening_burst_of_a_closed_loop_is_warm_up():
    """100 users at once on 10 servers: the window starts when all of them were served, after 10 s."""
    table = make_record(closed_loop(100, 2000, 10)).table
    arrival = ClosedArrivals(kind="closed", max_concurrency=100)

    assert steady_window(table)[0] < 10.0 <= steady_window(table, arrival)[0]
    assert "opens the closed loop" in steady_window(make_record(closed_loop(100, 150, 10)).table, arrival)


@pytest.mark.parametrize(
    "arrival",
    [
        TraceArrivals(kind="trace"),
        ProfileArrivals(kind="profile"),
        DiurnalArrivals(kind="diurnal", request_rate=1.0),
    ],
)
def test_arrivals_whose_rate_changes_have_no_steady_window(arrival):
    """Their bursts are what the run is about; none may be cut off as warm-up."""
    assert "rate changes" in steady_window(one_at_a_time(poisson(0.5, 1000, seed=6), 1.0).table, arrival)


def test_a_window_in_which_nothing_completed_is_none():
    """All answers come after the last arrival, so there is no throughput to speak of."""
    requests = [complete(make_request(i, t), t, t + 1.0, 5000.0) for i, t in enumerate(np.arange(300.0))]
    requests += [complete(make_request(300 + i, 300.0 + i), 0, 0, 5000.0) for i in range(300)]
    rejected = [make_request(i, float(i), status="rejected") for i in range(500)]

    assert isinstance(steady_window(make_record(requests).table), str)
    assert "no request completed" in steady_window(make_record(rejected).table)
