"""Stable, backlogged or overloaded, on queues whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest
from measure_runs import closed_loop, make_record, one_at_a_time, poisson

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
    """At 125% of capacity four requests in five are started by the last arrival."""
    backlog = Backlog.of(one_at_a_time(np.arange(2000) / 1.25, 1.0).table)

    assert "about 80% of the arrivals" in str(backlog.note())


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
