"""The simulator against queueing theory and closed forms, with confidence intervals over seeds."""

from __future__ import annotations

from collections.abc import Callable
from math import factorial

import numpy as np
import pytest
from scipy import stats

from llmsim.cost.linear import LinearCost, LinearOptions
from llmsim.engine.request import Request
from llmsim.engine.scheduler import Limits
from llmsim.engine.schedulers.chunked_prefill import ChunkedPrefill
from llmsim.measure.records import StepLog
from llmsim.sim.play import make_engine, play
from llmsim.sim.routers import CentralQueue, RoundRobin

ONE_SECOND_PER_TOKEN = LinearCost(LinearOptions(per_token_s=1.0))
WARM_UP = 1000
COUNT = 6000
SEEDS = range(20)


def waits_s(
    seed: int, rate_per_s: float, service_tokens: Callable[[np.random.Generator], np.ndarray], servers: int
):
    """Waiting times of single-iteration requests on ``servers`` replicas of batch one. shape (COUNT,)."""
    rng = np.random.default_rng(seed)
    arrivals = np.cumsum(rng.exponential(1 / rate_per_s, COUNT)).tolist()
    tokens = service_tokens(rng).tolist()
    requests = [Request(i, arrivals[i], tokens[i], 1) for i in range(COUNT)]
    log = StepLog()
    engines = [
        make_engine(i, log, ChunkedPrefill, limits=Limits(1, 10**9, 10**9), num_kv_tokens=10**9,
                    stages=[ONE_SECOND_PER_TOKEN])
        for i in range(servers)
    ]  # fmt: skip
    play(requests, engines, log, router=CentralQueue if servers > 1 else RoundRobin)
    return np.array([req.scheduled_s - req.arrival_s for req in requests])


def interval(means: list[float]) -> tuple[float, float]:
    """A 99% confidence interval of the mean of independent replications."""
    return stats.t.interval(0.99, len(means) - 1, np.mean(means), stats.sem(means))


def mean_wait_interval(rate_per_s, service_tokens, servers=1) -> tuple[float, float]:
    return interval([waits_s(seed, rate_per_s, service_tokens, servers)[WARM_UP:].mean() for seed in SEEDS])


@pytest.mark.parametrize("load", [0.5, 0.8])
def test_batch_of_one_with_fixed_work_waits_as_m_d_1(load):
    """M/D/1: mean wait ρD/(2(1-ρ)) (Pollaczek–Khinchine with no variance)."""
    service_s = 100
    low, high = mean_wait_interval(load / service_s, lambda _: np.full(COUNT, service_s))

    assert low <= load * service_s / (2 * (1 - load)) <= high


def test_batch_of_one_with_two_job_sizes_waits_as_m_g_1():
    """M/G/1: mean wait λE[S²]/(2(1-ρ)) (Pollaczek–Khinchine)."""
    sizes = np.array([20, 300])
    rate_per_s = 0.7 / sizes.mean()
    low, high = mean_wait_interval(rate_per_s, lambda rng: rng.choice(sizes, COUNT))

    assert low <= rate_per_s * (sizes**2).mean() / (2 * 0.3) <= high


@pytest.mark.parametrize("servers", [2, 5])
def test_replicas_on_a_central_queue_wait_as_m_m_c(servers):
    """M/M/c: mean wait C(c, a)/(cμ-λ), Erlang's C. Geometric work of mean 1,000 is exponential to 0.1%."""
    load, mean_s = 0.8, 1000
    offered = load * servers
    rate_per_s = offered / mean_s
    low, high = mean_wait_interval(rate_per_s, lambda rng: rng.geometric(1 / mean_s, COUNT), servers)

    tail = offered**servers / factorial(servers) / (1 - load)
    erlang_c = tail / (sum(offered**k / factorial(k) for k in range(servers)) + tail)
    assert low <= erlang_c / (servers / mean_s - rate_per_s) <= high


def test_one_request_alone_equals_its_closed_form():
    """Chunks of the prompt, then one iteration per further token, each reading one KV token more."""
    o = LinearOptions(
        iteration_s=5e-3,
        per_token_s=2e-5,
        per_sequence_s=1e-6,
        per_prefill_pair_s=1e-9,
        per_decode_kv_token_s=3e-8,
    )
    prompt, output, budget = 1200, 40, 512
    log = StepLog()
    engine = make_engine(0, log, ChunkedPrefill, limits=Limits(8, budget, 4096), stages=[LinearCost(o)])
    (req,) = play([Request(0, 1.5, prompt, output)], [engine], log).requests

    chunks = [512, 512, 176]
    pairs = prompt * (prompt + 1) / 2
    prefill_s = (
        3 * (o.iteration_s + o.per_sequence_s) + sum(chunks) * o.per_token_s + pairs * o.per_prefill_pair_s
    )
    reads = sum(prompt + i + 1 for i in range(output - 1))
    decode_s = (output - 1) * (
        o.iteration_s + o.per_token_s + o.per_sequence_s
    ) + reads * o.per_decode_kv_token_s
    assert 1.5 + prefill_s == pytest.approx(req.first_token_s, rel=1e-12)
    assert 1.5 + prefill_s + decode_s == pytest.approx(req.finish_s, rel=1e-12)


def test_little_holds_for_the_waiting_queue():
    """L8: mean number waiting = arrival rate × mean wait, from two independent measurements."""
    rng = np.random.default_rng(5)
    arrivals = np.cumsum(rng.exponential(1 / 25, 4000)).tolist()
    requests = [Request(i, arrivals[i], 400, int(rng.integers(1, 200))) for i in range(4000)]
    log = StepLog()
    engine = make_engine(0, log, ChunkedPrefill, limits=Limits(16, 2048, 4096), fast_forward=False)
    record = play(requests, [engine], log)

    start, duration, waiting = (log.column(name) for name in ("start_s", "duration_s", "waiting"))
    seen_at_starts = (waiting * duration).sum() / duration.sum()
    waits = record.request_column("scheduled_s") - record.request_column("arrival_s")
    by_little = waits.sum() / (start[-1] + duration[-1] - start[0])
    # Rows see the queue at iteration starts only; arrivals within an iteration wait half of it on average.
    half_an_iteration = 4000 * duration.mean() / 2 / duration.sum()
    assert by_little == pytest.approx(seen_at_starts + half_an_iteration, rel=0.05)
