"""Schedulers that rank requests against queueing theory and a textbook's algorithm, on one server."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from llmsim.contracts import informed
from llmsim.cost.linear import LinearCost, LinearOptions
from llmsim.engine.knowledge import Knowledge
from llmsim.engine.predictors.certain import Oracle
from llmsim.engine.predictors.regression import Regression, RegressionOptions
from llmsim.engine.request import Request
from llmsim.engine.scheduler import Limits
from llmsim.engine.schedulers.chunked_prefill import ChunkedPrefill
from llmsim.engine.schedulers.priority import Priority, PriorityOptions
from llmsim.engine.schedulers.sjf import ShortestJobFirst, ShortestJobOptions
from llmsim.engine.schedulers.srpt import ShortestRemaining
from llmsim.measure.records import StepLog
from llmsim.sim.play import make_engine, play

ONE_SECOND_PER_TOKEN = LinearCost(LinearOptions(per_token_s=1.0))
ONE_SECOND_PER_ITERATION = LinearCost(LinearOptions(iteration_s=1.0))
ORACLE = Knowledge(Oracle(10**9))


def serve(requests, scheduler, cost):
    """``requests`` served one at a time."""
    log = StepLog()
    engine = make_engine(
        0, log, scheduler, limits=Limits(1, 10**9, 10**9), num_kv_tokens=10**9, stages=[cost]
    )
    play(requests, [engine], log)
    return requests


@pytest.mark.parametrize("load", [0.5, 0.8])
def test_shortest_job_waits_as_m_g_1_with_priorities(load):
    """Cobham 1954: class k waits W0 / ((1-σ_{k-1})(1-σ_k)), W0 = λE[S²]/2, σ_k the load of classes up to k."""
    sizes, count, warm_up = np.array([20, 100, 400]), 5000, 500
    rate_per_s = load / sizes.mean()
    means = []
    for seed in range(10):
        rng = np.random.default_rng(seed)
        arrivals = np.cumsum(rng.exponential(1 / rate_per_s, count)).tolist()
        tokens = rng.choice(sizes, count).tolist()
        done = serve(
            [Request(i, arrivals[i], tokens[i], 1) for i in range(count)],
            informed(ShortestJobFirst, ORACLE, ShortestJobOptions(prompt_token_iterations=1.0)),
            ONE_SECOND_PER_TOKEN,
        )[warm_up:]
        means.append(
            [np.mean([r.scheduled_s - r.arrival_s for r in done if r.input_tokens == size]) for size in sizes]
        )

    loads = np.concatenate(([0.0], np.cumsum(rate_per_s * sizes / 3)))
    expected = rate_per_s * (sizes**2.0).mean() / 2 / ((1 - loads[:-1]) * (1 - loads[1:]))
    for place in range(3):
        column = [row[place] for row in means]
        low, high = stats.t.interval(0.999, len(column) - 1, np.mean(column), stats.sem(column))
        assert low <= expected[place] <= high


@pytest.mark.parametrize("preempt", [True, False])
def test_classes_respond_as_m_g_1_with_priorities(preempt):
    """Preemptive resume: class k takes S_k/(1-σ_{k-1}) + R_k/((1-σ_{k-1})(1-σ_k)), R_k = Σ_{i≤k} λ_i E[S_i²]/2.

    Without preemption it is Cobham's wait and S_k. Seats change hands between tokens, of which a job has hundreds.
    """
    seconds, rates_per_s, count, warm_up = np.array([200, 600]), np.array([0.4 / 200, 0.4 / 600]), 3000, 300
    means = []
    for seed in range(10):
        rng = np.random.default_rng(seed)
        arrivals = np.cumsum(rng.exponential(1 / rates_per_s.sum(), count)).tolist()
        classes = rng.choice(2, count, p=rates_per_s / rates_per_s.sum()).tolist()
        options = PriorityOptions(priorities={"0": 0, "1": 1}, preempt=preempt)
        done = serve(
            [
                Request(i, arrivals[i], 1, int(seconds[kind]), class_name=str(kind))
                for i, kind in enumerate(classes)
            ],
            lambda limits, kv, options=options: Priority(limits, kv, options),
            ONE_SECOND_PER_ITERATION,
        )[warm_up:]
        means.append(
            [np.mean([r.finish_s - r.arrival_s for r in done if r.class_name == kind]) for kind in "01"]
        )

    loads = np.concatenate(([0.0], np.cumsum(rates_per_s * seconds)))
    residual_s = np.cumsum(rates_per_s * seconds**2.0) / 2
    wait_s = (residual_s if preempt else residual_s[-1]) / ((1 - loads[:-1]) * (1 - loads[1:]))
    expected = wait_s + (seconds / (1 - loads[:-1]) if preempt else seconds)
    for place in range(2):
        column = [row[place] for row in means]
        low, high = stats.t.interval(0.999, len(column) - 1, np.mean(column), stats.sem(column))
        assert low <= expected[place] <= high


def textbook_srpt(jobs):
    """Completion times of (arrival, work) jobs in whole seconds: each second goes to the least work left."""
    left = [work for _, work in jobs]
    done = [0] * len(jobs)
    time = 0
    while any(left):
        here = [i for i, (arrival, _) in enumerate(jobs) if arrival <= time and left[i]]
        time += 1
        if here:
            job = min(here, key=lambda i: (left[i], i))
            left[job] -= 1
            done[job] = time
    return done


JOBS = st.lists(st.tuples(st.integers(0, 6), st.integers(1, 12)), min_size=1, max_size=25)


@settings(max_examples=150, deadline=None)
@given(JOBS)
def test_shortest_remaining_is_the_textbooks_and_the_best(gaps_and_works):
    """One sequence, one second per token, arrivals at whole seconds: SRPT to the second, and no mean is lower.

    Schrage 1968: SRPT minimises the number in the system at all times, so also the mean response time.
    """
    arrivals = np.cumsum([gap for gap, _ in gaps_and_works]).tolist()
    jobs = [(arrival, work) for arrival, (_, work) in zip(arrivals, gaps_and_works, strict=True)]

    def finishes(scheduler):
        requests = [Request(i, float(arrival), 1, work) for i, (arrival, work) in enumerate(jobs)]
        return [req.finish_s for req in serve(requests, scheduler, ONE_SECOND_PER_ITERATION)]

    best = finishes(informed(ShortestRemaining, ORACLE))

    assert sum(best) == pytest.approx(sum(textbook_srpt(jobs)), rel=1e-12)
    for other in (ChunkedPrefill, informed(ShortestJobFirst, ORACLE)):
        assert sum(best) <= sum(finishes(other)) * (1 + 1e-12)


def test_predictions_are_worth_what_lies_between_none_and_the_truth():
    """Many draws at once: mean response under SRPT rises with the predictor's error, FCFS is worse than all."""
    rng = np.random.default_rng(4)
    count = 3000
    arrivals = np.cumsum(rng.exponential(12, count)).tolist()
    works = rng.geometric(1 / 10, count).tolist()

    def mean_response(scheduler):
        requests = [Request(i, arrivals[i], 1, works[i]) for i in range(count)]
        return np.mean(
            [req.finish_s - req.arrival_s for req in serve(requests, scheduler, ONE_SECOND_PER_ITERATION)]
        )

    def with_spread(spread):
        return informed(ShortestRemaining, Knowledge(Regression(10**9, 1, RegressionOptions(spread=spread))))

    responses = [mean_response(with_spread(spread)) for spread in (0.0, 0.6, 2.0)]
    assert responses == sorted(responses)
    assert responses[-1] < mean_response(ChunkedPrefill)


def test_aging_bounds_the_wait_of_a_long_job():
    """Short jobs just above capacity: without aging the long one waits for all, with it for work / aging at most."""

    def wait_s(aging):
        requests = [Request(0, 0.0, 1, 2), Request(1, 0.5, 1, 200)]
        requests += [Request(i, 1.0 + 1.98 * (i - 2), 1, 2) for i in range(2, 2000)]
        serve(
            requests,
            informed(ShortestJobFirst, ORACLE, ShortestJobOptions(aging=aging)),
            ONE_SECOND_PER_ITERATION,
        )
        return requests[1].scheduled_s - requests[1].arrival_s

    assert wait_s(0.0) > 1500
    for aging in (1.0, 4.0):  # those that came before work / aging, each with a second or two of work
        assert wait_s(aging) <= (198 / aging + 2) * 2 / 1.98 + 2
