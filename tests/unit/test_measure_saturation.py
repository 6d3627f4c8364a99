"""Stable, backlogged or overloaded, on queues whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest
from measure_runs import closed_loop, complete, make_record, make_request, one_at_a_time, poisson

from llmsim.measure.saturation import Backlog


def saturation_of(record) -> str:
    return Backlog.of(record.table).saturation


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("load", "num_requests"), [(0.5, 100), (0.8, 500), (0.95, 2000), (0.8, 5000)])
def test_m_d_1_below_capacity_is_stable(load, num_requests, seed):
    """Below a load of one the queue is what chance makes it, however long it sometimes is."""
    assert "stable" == saturation_of(one_at_a_time(poisson(load, num_requests, seed), 1.0))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("load", "num_requests"), [(2.0, 100), (1.5, 500), (1.2, 2000), (1.1, 5000)])
def test_m_d_1_above_capacity_is_overloaded(load, num_requests, seed):
    """Above a load of one the queue grows to the end; the longer the run, the smaller an excess shows."""
    assert "overloaded" == saturation_of(one_at_a_time(poisson(load, num_requests, seed), 1.0))


def test_a_load_of_one_is_rarely_called_overloaded():
    """At the critical load the queue grows by chance alone: at most one run in twenty is flagged."""
    verdicts = [saturation_of(one_at_a_time(poisson(1.0, 400, seed), 1.0)) for seed in range(60)]

    assert verdicts.count("overloaded") <= 3


def test_overload_says_what_the_server_keeps_up_with():
    """At 125% of capacity four requests are completed for every five that arrive."""
    backlog = Backlog.of(one_at_a_time(np.arange(2000) / 1.25, 1.0).table)

    assert "about 80% of the arrivals" in " ".join(backlog.notes())


def taken_in_at_once(arrivals: np.ndarray, per_s: float) -> list:
    """A server that shares itself among all who are there, so that nobody ever waits: equal shares of work."""
    left: dict[int, float] = {}
    ends, now, coming = {}, 0.0, [*arrivals.tolist(), np.inf]
    for id, at in enumerate(coming):
        while left and now + (need := min(left.values()) * len(left) / per_s) <= at:
            left = {key: work - need * per_s / len(left) for key, work in left.items()}
            now += need
            for key in [key for key, work in left.items() if work < 1e-9]:
                ends[key] = now
                del left[key]
        left = {key: work - (at - now) * per_s / len(left) for key, work in left.items()} if left else left
        now = at
        if id < len(arrivals):
            left[id] = 1.0
    return [complete(make_request(i, t), t, t, ends[i]) for i, t in enumerate(arrivals.tolist())]


@pytest.mark.parametrize(("load", "verdict"), [(0.6, "stable"), (1.3, "overloaded")])
def test_a_batch_that_takes_everybody_in_is_no_excuse(load, verdict):
    """Nobody waits, yet at 130% of capacity requests leave more slowly than they come."""
    assert verdict == saturation_of(make_record(taken_in_at_once(poisson(load, 1000, seed=1), 1.0)))


def test_everybody_served_at_once_is_stable_though_many_are_there():
    """A thousand in service together are no backlog once as many leave as come."""
    requests = [complete(make_request(i, t), t, t, t + 1000.0) for i, t in enumerate(poisson(1.0, 8000, 2))]

    assert "stable" == saturation_of(make_record(requests))


def test_a_run_too_short_to_tell_says_so():
    """The last request arrives before the first one leaves: numbers grew, and nobody knows how far."""
    requests = [complete(make_request(i, t), t, t, t + 300.0) for i, t in enumerate(np.arange(200.0))]
    backlog = Backlog.of(make_record(requests).table)

    assert "overloaded" != backlog.saturation
    assert "too short to tell" in " ".join(backlog.notes())


@pytest.mark.parametrize("seed", range(3))
def test_burstiness_does_not_excuse_an_overload(seed):
    """Gaps of coefficient of variation 7 at 130% of capacity leave a queue that a cap on chance shows."""
    gaps = np.random.default_rng(seed).gamma(0.02, 1 / (1.3 * 0.02), 4000)

    assert "stable" != saturation_of(one_at_a_time(np.cumsum(gaps), 1.0))


def test_a_short_burst_in_a_long_run_is_backlogged():
    """500 at once in ten thousand others at half load: for minutes everybody waits."""
    arrivals = np.sort(np.concatenate([poisson(0.5, 10_000, seed=4), np.full(500, 9000.0)]))

    assert "backlogged" == saturation_of(one_at_a_time(arrivals, 1.0))


def test_rejected_requests_are_no_backlog():
    """Who was turned away is neither there nor served: it counts for nothing."""
    requests = one_at_a_time(poisson(0.5, 500, seed=5), 1.0).requests
    turned_away = [make_request(1000 + i, float(i), status="rejected") for i in range(900)]

    assert Backlog.of(make_record(requests).table) == Backlog.of(make_record(requests + turned_away).table)
    assert "stable" == saturation_of(make_record(turned_away))


@pytest.mark.parametrize("num_requests", [50, 2000])
def test_a_burst_is_backlogged_never_overloaded(num_requests):
    """All at once is a queue that drains."""
    assert "backlogged" == saturation_of(one_at_a_time([0.0] * num_requests, 1.0))


@pytest.mark.parametrize(("users", "servers"), [(10, 10), (100, 10), (300, 256), (1000, 256)])
def test_a_closed_loop_is_never_overloaded(users, servers):
    """Users who wait for answers cannot outrun the server, though all of them start at once."""
    assert "overloaded" != saturation_of(make_record(closed_loop(users, 2000, servers)))


def test_a_peak_that_drains_is_backlogged():
    """A stretch above capacity in a run that is below it again is no overload."""
    gaps = np.concatenate([np.full(500, 2.0), np.full(500, 1 / 1.5), np.full(500, 2.0)])

    assert "backlogged" == saturation_of(one_at_a_time(np.cumsum(gaps), 1.0))
