"""What happens at equal times, under memory pressure, and with very long queues."""

from __future__ import annotations

from time import process_time

import pytest

from llmsim.cost.linear import LinearCost, LinearOptions
from llmsim.engine.kv.paged import Paged
from llmsim.engine.request import Request
from llmsim.engine.scheduler import Limits
from llmsim.engine.schedulers.chunked_prefill import ChunkedPrefill
from llmsim.engine.schedulers.vllm import VllmPrefillFirst
from llmsim.measure.laws import check
from llmsim.measure.records import StepLog
from llmsim.sim.clock import ARRIVAL, COMPLETION, SCHEDULING, Clock
from llmsim.sim.play import make_engine, play
from llmsim.sim.routers import LeastRequests

ONE_SECOND = LinearCost(LinearOptions(iteration_s=1.0))
TENTH = LinearCost(LinearOptions(iteration_s=0.1))


def serve(
    requests,
    *,
    scheduler=ChunkedPrefill,
    replicas=1,
    cost=ONE_SECOND,
    seqs=8,
    tokens=10_000,
    ff=True,
    **options,
):
    log = StepLog()
    limits = Limits(seqs, 2048, tokens)
    engines = [
        make_engine(i, log, scheduler, limits=limits, num_kv_tokens=tokens, stages=[cost], fast_forward=ff)
        for i in range(replicas)
    ]
    return play(requests, engines, log, **options)


def test_phases_settle_equal_times():
    """Completions, then arrivals, then scheduling, then insertion."""
    clock, seen = Clock(), []
    for name, phase in (("s", SCHEDULING), ("a1", ARRIVAL), ("c", COMPLETION), ("a2", ARRIVAL)):
        clock.at(1.0, phase).callbacks.append(lambda _, name=name: seen.append(name))
    clock.run_all()

    assert ["c", "a1", "a2", "s"] == seen


@pytest.mark.parametrize("fast_forward", [True, False])
def test_an_arrival_at_a_boundary_joins_the_next_iteration(fast_forward):
    """A request that arrives exactly when an iteration ends is in the one that starts then."""
    first, second = serve([Request(0, 0.0, 10, 6), Request(1, 3.0, 10, 1)], ff=fast_forward).requests

    assert 3.0 == second.scheduled_s
    assert 6.0 == first.finish_s


@pytest.mark.parametrize("fast_forward", [True, False])
def test_rounding_does_not_decide_who_is_in(fast_forward):
    """Three sums of 0.1 land after 0.3; the arrival at 0.3 still counts as at that boundary."""
    _, second = serve([Request(0, 0.0, 10, 30), Request(1, 0.3, 10, 1)], cost=TENTH, ff=fast_forward).requests

    assert 0.3 == pytest.approx(second.scheduled_s, rel=1e-9)


def test_a_completion_comes_before_an_arrival_of_the_same_moment():
    """The router sees the load after the completion: the freed replica gets the request."""
    requests = [Request(0, 0.0, 10, 2), Request(1, 0.0, 10, 9), Request(2, 2.0, 10, 1)]
    record = serve(requests, replicas=2, router=LeastRequests)

    assert [0, 1, 0] == [req.replica for req in record.requests]


def test_replicas_in_lockstep_see_each_others_users():
    """Closed loop, two equal replicas: requests born of one's completion meet the other's next iteration."""
    requests = [Request(i, 0.0, 10, 4) for i in range(8)]
    record = serve(requests, replicas=2, router=LeastRequests, max_concurrency=4)

    assert [0.0] * 4 + [4.0] * 4 == [req.scheduled_s for req in record.requests]


@pytest.mark.parametrize("scheduler", [ChunkedPrefill, VllmPrefillFirst])
def test_two_that_do_not_fit_together_still_finish(scheduler):
    """Each needs 90 of 100 tokens: one is preempted, recomputed, and both complete."""
    requests = [Request(0, 0.0, 30, 61), Request(1, 0.0, 30, 61)]
    record = serve(requests, scheduler=scheduler, tokens=96)

    check(record)
    assert ["completed"] * 2 == [req.status for req in record.requests]
    assert 1 <= sum(req.preemptions for req in record.requests) <= 20


def test_what_exceeds_the_pool_is_refused_at_the_door():
    """L10: refused with the reason, and the others are served."""
    log = StepLog()
    engine = make_engine(
        0, log, ChunkedPrefill, kv_cache=Paged, limits=Limits(8, 2048, 10_000), num_kv_tokens=160
    )
    record = play([Request(0, 0.0, 300, 5), Request(1, 0.0, 100, 5)], [engine], log)

    assert ["rejected", "completed"] == [req.status for req in record.requests]
    assert "larger than the KV pool" == record.requests[0].reason


def test_the_oldest_is_never_the_victim():
    """Preemption takes the newest: the first request runs as if it were alone in the queue."""
    requests = [Request(i, 0.0, 30, 60) for i in range(4)]
    record = serve(requests, tokens=160)

    assert 0 == record.requests[0].preemptions
    assert 0 < sum(req.preemptions for req in record.requests)


def test_a_hundred_thousand_waiting_requests_do_not_slow_a_step():
    """The queue is not scanned: 40 times the queue costs at most 3 times as much per request."""
    seconds = []
    for count in (2_500, 100_000):
        requests = [Request(i, 0.0, 64, 4) for i in range(count)]
        start = process_time()
        serve(requests, cost=TENTH, seqs=64)
        seconds.append((process_time() - start) / count)

    assert seconds[1] < 3 * seconds[0]
