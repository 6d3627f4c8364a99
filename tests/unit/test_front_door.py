"""Admission limits, time-outs, retries, and the wait for a replica."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from pydantic import ValidationError

from llmsim.cost.linear import LinearCost, LinearOptions
from llmsim.engine.request import Request
from llmsim.engine.scheduler import Limits
from llmsim.engine.schedulers.chunked_prefill import ChunkedPrefill
from llmsim.engine.schedulers.vllm import VllmPrefillFirst
from llmsim.measure.laws import check
from llmsim.measure.records import StepLog
from llmsim.sim.clock import ARRIVAL, COMPLETION
from llmsim.sim.limited_door import QUEUE_FULL, REPLICA_FULL, TIMED_OUT
from llmsim.sim.play import make_engine, play
from llmsim.sim.routers import CentralQueue, LeastRequests, RoundRobin
from llmsim.spec.admission import Admission

ONE_SECOND = LinearCost(LinearOptions(iteration_s=1.0))


def serve(requests, *, replicas=1, seqs=1, fast_forward=True, scheduler=ChunkedPrefill, **keys):
    """One-second iterations, ``seqs`` sequences at a time."""
    log = StepLog()
    engines = [
        make_engine(i, log, scheduler, limits=Limits(seqs, 2048, 10_000), num_kv_tokens=10_000,
                    stages=[ONE_SECOND], fast_forward=fast_forward)
        for i in range(replicas)
    ]  # fmt: skip
    record = play(requests, engines, log, **keys)
    check(record)
    return record


def burst(count, output=10):
    return [Request(i, i * 0.01, 10, output) for i in range(count)]


def test_one_more_than_may_wait_is_rejected():
    """One runs, two wait, the others are turned away at once and say why."""
    record = serve(burst(6), admission=Admission(max_queued_requests=2))

    assert ["completed"] * 3 + ["rejected"] * 3 == [req.status for req in record.requests]
    assert {QUEUE_FULL} == {req.reason for req in record.requests[3:]}
    assert [req.arrival_s for req in record.requests[3:]] == [req.left_s for req in record.requests[3:]]


@pytest.mark.parametrize(
    ("limit", "served"), [("max_queued_requests", 4), ("max_queued_requests_per_replica", 6)]
)
def test_limits_are_of_the_fleet_or_of_a_replica(limit, served):
    """Two replicas run one each; two may wait in all, or two at each."""
    record = serve(burst(12), replicas=2, router=LeastRequests, admission=Admission(**{limit: 2}))

    assert served == sum(req.status == "completed" for req in record.requests)
    assert {QUEUE_FULL if served == 4 else REPLICA_FULL} == {req.reason for req in record.requests[served:]}


def test_who_was_let_in_is_not_turned_away_when_its_replica_is_lost():
    """All replicas go at 5 s and one comes back at 9 s: what they had waits at the door, and no limit holds for it."""

    def storm(fleet):
        def lose():
            for replica in fleet.replicas:
                fleet.left(replica)
            hit = [entry for replica in fleet.replicas for entry in fleet.stop(replica)]
            for req, tokens in hit:
                fleet.start_over(req, tokens)

        def back():
            engine = make_engine(
                2, StepLog(), ChunkedPrefill, limits=Limits(1, 2048, 10_000), stages=[ONE_SECOND]
            )
            fleet.joined(fleet.add(engine))

        fleet.clock.call(5.0, COMPLETION, lose)
        fleet.clock.call(9.0, COMPLETION, back)

    log = StepLog()
    engines = [
        make_engine(i, log, ChunkedPrefill, limits=Limits(1, 2048, 10_000), stages=[ONE_SECOND])
        for i in (0, 1)
    ]
    limits = Admission(max_queued_requests_per_replica=1)
    record = play(burst(4), engines, log, admission=limits, meanwhile=storm)

    assert {"completed"} == {req.status for req in record.requests}


@pytest.mark.parametrize("router", [RoundRobin, CentralQueue])
@pytest.mark.parametrize("fast_forward", [True, False])
def test_who_waits_too_long_is_dropped_and_never_started(router, fast_forward):
    """Each takes 10 s on the one seat: of those that come together, the second starts at 10 s, the third never."""
    record = serve(
        burst(4), fast_forward=fast_forward, router=router, admission=Admission(queue_timeout_s=15.0)
    )

    assert ["completed", "completed", "dropped", "dropped"] == [req.status for req in record.requests]
    assert {TIMED_OUT} == {req.reason for req in record.requests[2:]}
    assert [15.02, 15.03] == pytest.approx([req.left_s for req in record.requests[2:]])
    assert all(np.isnan(req.scheduled_s) for req in record.requests[2:])


def test_the_place_of_one_that_gave_up_is_free():
    """The head of the queue needs more KV than there is; when it gives up, the next one starts at once."""
    requests = [Request(0, 0.0, 5000, 30), Request(1, 1.5, 6000, 5), Request(2, 2.5, 100, 5)]
    record = serve(requests, seqs=8, scheduler=VllmPrefillFirst, admission=Admission(queue_timeout_s=4.0))

    assert ["completed", "dropped", "completed"] == [req.status for req in record.requests]
    assert 6.0 == pytest.approx(record.requests[2].scheduled_s)


def test_a_request_that_comes_back_is_one_request():
    """It keeps its first arrival, so its TTFT has the back-off in it; each is in one bucket."""
    admission = Admission(
        max_queued_requests=1, max_retries=3, initial_backoff_s=4.0, backoff_multiplier=1.0, jitter_factor=0.0
    )
    record = serve(burst(4), admission=admission)

    third, last = record.requests[2:]
    assert ["completed"] * 3 + ["rejected"] == [req.status for req in record.requests]
    assert 0.02 == third.arrival_s
    assert 20.0 == pytest.approx(third.scheduled_s)  # turned away at 0.02, 4.02 and 8.02 s, in at 12.02 s
    assert 12.03 == pytest.approx(last.left_s)
    assert f"{QUEUE_FULL}, 3 retries included" == last.reason


def test_back_off_grows_up_to_its_limit():
    """0.1, 0.2, 0.4 … 10 s, as vLLM's router; never past the limit, however many retries."""
    limits = Admission(queue_timeout_s=1.0, max_retries=1000)

    assert [0.1, 0.2, 0.4, 0.8] == pytest.approx([limits.backoff_s(retry) for retry in range(4)])
    assert [10.0, 10.0] == pytest.approx([limits.backoff_s(retry) for retry in (7, 999)])


def test_jitter_follows_the_seed():
    """Back-offs differ by up to the share given, and only with the seed."""
    limits = Admission(max_queued_requests=1, max_retries=1, initial_backoff_s=1.0, jitter_factor=0.5)
    left = [
        [req.left_s - req.arrival_s for req in serve(burst(40), admission=limits, seed=seed).requests[2:]]
        for seed in (1, 1, 2)
    ]

    assert left[0] == left[1] != left[2]
    assert 0.5 <= min(left[0]) < 0.8
    assert 1.2 < max(left[0]) <= 1.5


def test_what_can_never_run_is_not_retried():
    """Longer than the model's limit stays too long: refused once, without the limits' reasons."""
    requests = [Request(0, 0.0, 20_000, 5), Request(1, 0.0, 10, 5)]
    record = serve(requests, admission=Admission(max_queued_requests=5, max_retries=3))

    assert ["rejected", "completed"] == [req.status for req in record.requests]
    assert "longer than max_model_len" == record.requests[0].reason


def away(fleet, from_s, to_s):
    (replica,) = fleet.replicas
    fleet.clock.call(from_s, ARRIVAL, partial(fleet.door.left, replica))
    fleet.clock.call(to_s, ARRIVAL, partial(fleet.door.joined, replica))


def test_without_a_replica_requests_wait_at_the_door():
    """In order, until one is there; within the limits of the door."""
    requests = [Request(i, 5.0 + i, 10, 1) for i in range(3)]
    meanwhile = partial(away, from_s=1.0, to_s=20.0)
    plain = serve(requests, meanwhile=meanwhile)
    assert [20.0, 21.0, 22.0] == pytest.approx([req.scheduled_s for req in plain.requests])

    requests = [Request(i, 5.0 + i, 10, 1) for i in range(6)]
    limits = Admission(max_queued_requests=3, queue_timeout_s=14.5)
    limited = serve(requests, meanwhile=meanwhile, admission=limits)
    assert ["dropped", "completed", "completed"] + ["rejected"] * 3 == [r.status for r in limited.requests]


def test_nobody_comes_for_those_at_the_door():
    """A fleet that never comes back leaves them unfinished, not lost from the books."""
    record = serve([Request(0, 5.0, 10, 1)], meanwhile=partial(away, from_s=1.0, to_s=20.0), until_s=10.0)

    assert ["unfinished"] == [req.status for req in record.requests]


def test_the_users_of_a_closed_loop_are_told():
    """A user whose request was turned away for good asks again: all requests are offered."""
    requests = [Request(i, 0.0, 10, 3) for i in range(30)]
    record = serve(requests, max_concurrency=4, admission=Admission(queue_timeout_s=2.5))

    assert 30 == len(record.requests)
    assert {"completed", "dropped"} == {req.status for req in record.requests}


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"max_retries": 2}, "without a limit"),
        ({"queue_timeout_s": 1.0, "initial_backoff_s": 20.0}, "less than initial_backoff_s"),
        ({"max_queued_requests": 0}, "greater than 0"),
    ],
)
def test_limits_that_make_no_sense_are_refused(keys, message):
    """At once, with what to do."""
    with pytest.raises(ValidationError, match=message):
        Admission(**keys)
