"""Two choices against one: the supermarket model."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from llmsim.cost.linear import LinearCost, LinearOptions
from llmsim.engine.request import Request
from llmsim.engine.scheduler import Limits
from llmsim.engine.schedulers.chunked_prefill import ChunkedPrefill
from llmsim.measure.records import StepLog
from llmsim.sim.play import make_engine, play
from llmsim.sim.routers import PowerOfTwo, RandomChoice

LOAD, SERVERS, MEAN_S, COUNT, WARM_UP = 0.9, 100, 1000, 16_000, 6_000
ONE_SECOND_PER_TOKEN = LinearCost(LinearOptions(per_token_s=1.0))


def mean_time(router, seed: int) -> float:
    """Mean time in the system, in mean service times, of single-iteration requests on replicas of batch one."""
    rng = np.random.default_rng(seed)
    arrivals = np.cumsum(rng.exponential(MEAN_S / (LOAD * SERVERS), COUNT)).tolist()
    tokens = rng.geometric(1 / MEAN_S, COUNT).tolist()  # exponential to 0.1%
    log = StepLog()
    engines = [
        make_engine(i, log, ChunkedPrefill, limits=Limits(1, 10**9, 10**9), num_kv_tokens=10**9,
                    stages=[ONE_SECOND_PER_TOKEN])
        for i in range(SERVERS)
    ]  # fmt: skip
    requests = [Request(i, arrivals[i], tokens[i], 1) for i in range(COUNT)]
    record = play(requests, engines, log, router=router, seed=seed)
    times = record.request_column("finish_s") - record.request_column("arrival_s")
    return float(times[WARM_UP:].mean()) / MEAN_S


def test_two_choices_as_mitzenmacher():
    """Mean time Σ λ^(2^i - 2) over i ≥ 1 with infinitely many servers, 2.614 at λ = 0.9; with 100 of them 1.2% more.

    Source: Mitzenmacher 2001, "The Power of Two Choices in Randomized Load Balancing", IEEE TPDS 12(10), Table 1.
    """
    limit = sum(LOAD ** (2**i - 2) for i in range(1, 12))
    times = [mean_time(PowerOfTwo, seed) for seed in range(8)]
    low, high = stats.t.interval(0.99, len(times) - 1, np.mean(times), stats.sem(times))

    assert limit == pytest.approx(2.6141, abs=1e-4)
    assert low <= 1.012 * limit <= high
    assert high - low < 0.15 * limit


def test_one_choice_is_far_worse():
    """Random routing makes each server an M/M/1 queue: 1/(1 - λ) = 10 in the long run."""
    assert mean_time(RandomChoice, 1) > 2 * mean_time(PowerOfTwo, 1)
