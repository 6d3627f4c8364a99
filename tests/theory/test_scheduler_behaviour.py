"""What each scheduler is for, shown on work where it makes the difference its paper says it makes."""

from __future__ import annotations

from itertools import groupby
from math import inf

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from llmsim.contracts import informed
from llmsim.cost.linear import LinearCost, LinearOptions
from llmsim.engine.knowledge import Knowledge
from llmsim.engine.predictors.buckets import BucketOptions, Buckets
from llmsim.engine.predictors.certain import Nothing, Oracle
from llmsim.engine.profile import Profile
from llmsim.engine.request import Request
from llmsim.engine.scheduler import Limits
from llmsim.engine.schedulers.chunked_prefill import ChunkedPrefill
from llmsim.engine.schedulers.edf import DeadlineOptions, EarliestDeadline
from llmsim.engine.schedulers.mlfq import QueueOptions, SkipJoinQueues
from llmsim.engine.schedulers.orca import Orca
from llmsim.engine.schedulers.s3 import PredictedReservation
from llmsim.engine.schedulers.slo_drop import DropOptions, SloDrop
from llmsim.engine.schedulers.vtc import FairnessOptions, TokenCounters
from llmsim.measure.laws import check
from llmsim.measure.records import StepLog
from llmsim.sim.play import A_LINE, make_engine, play
from llmsim.spec.targets import Targets

ONE_SECOND_PER_ITERATION = LinearCost(LinearOptions(iteration_s=1.0))
ONE_SECOND_PER_TOKEN = LinearCost(LinearOptions(per_token_s=1.0))


def serve(
    requests, scheduler, cost=A_LINE, *, seats=1, num_kv_tokens=10**7, budget=10**7, longest=10**7, **keys
):
    """The record of ``requests`` on one replica, its laws checked."""
    log = StepLog()
    engine = make_engine(
        0,
        log,
        scheduler,
        limits=Limits(seats, budget, longest),
        num_kv_tokens=num_kv_tokens,
        stages=[cost],
        **keys,
    )
    record = play(requests, [engine], log)
    check(record)
    return record


# --- earliest deadline first ----------------------------------------------------------------------

JOBS = st.lists(
    st.tuples(st.integers(0, 8), st.integers(1, 8), st.sampled_from([6, 15, 40])), min_size=1, max_size=15
)


def can_all_be_met(jobs):
    """Horn 1974: on one server with preemption, if no interval has more work due in it than it is long."""
    return all(
        sum(work for arrival, work, due in jobs if start <= arrival and due <= end) <= end - start
        for start, _, _ in jobs
        for _, _, end in jobs
    )


@settings(max_examples=200, deadline=None)
@given(JOBS)
def test_earliest_deadline_meets_whatever_can_be_met(drawn):
    """Dertouzos 1974. One sequence, one second per token, arrivals at whole seconds."""
    arrivals = np.cumsum([gap for gap, _, _ in drawn]).tolist()
    jobs = [(at, work, at + allowed) for at, (_, work, allowed) in zip(arrivals, drawn, strict=True)]
    assume(can_all_be_met(jobs))
    requests = [Request(i, float(at), 1, work, str(due - at)) for i, (at, work, due) in enumerate(jobs)]
    promises = Knowledge(targets_of=lambda name: Targets(e2el_ms=1000.0 * int(name)))

    serve(
        requests,
        informed(EarliestDeadline, promises, DeadlineOptions(deadline="e2el")),
        ONE_SECOND_PER_ITERATION,
    )

    assert all(req.finish_s <= due + 1e-9 for req, (_, _, due) in zip(requests, jobs, strict=True))


def test_first_come_first_served_misses_what_could_be_met():
    """The test above could fail: a long job without hurry, then a short one with hurry."""
    jobs = [(0, 8, 40), (1, 1, 6)]
    assert can_all_be_met(jobs)
    requests = [Request(i, float(at), 1, work) for i, (at, work, _) in enumerate(jobs)]
    serve(requests, ChunkedPrefill, ONE_SECOND_PER_ITERATION)

    assert requests[1].finish_s > 6


# --- dropping -------------------------------------------------------------------------------------

PROMISES = Knowledge(targets_of=lambda name: Targets(ttft_ms=400_000.0))


def overloaded(load, seed=1, count=1500):
    """Prompts of 100 or 300 s on one server, of which ``load`` come per unit of capacity."""
    rng = np.random.default_rng(seed)
    arrivals = np.cumsum(rng.exponential(200 / load, count)).tolist()
    sizes = rng.choice([100, 300], count).tolist()
    return [Request(i, arrivals[i], sizes[i], 1) for i in range(count)]


@pytest.mark.parametrize("fast_forward", [True, False])
def test_dropping_serves_in_time_all_that_it_serves(fast_forward):
    """AlpaServe: one server, known times. Nobody served is late, nobody dropped could have been in time."""
    requests = overloaded(1.5)
    record = serve(requests, informed(SloDrop, PROMISES), ONE_SECOND_PER_TOKEN, fast_forward=fast_forward)

    served = [req for req in record.requests if req.status == "completed"]
    dropped = [req for req in record.requests if req.status == "dropped"]
    assert len(served) + len(dropped) == len(requests)
    assert len(dropped) > 200
    assert all(req.first_token_s - req.arrival_s <= 400 * (1 + 1e-9) for req in served)
    assert all(req.left_s + req.input_tokens > req.arrival_s + 400 for req in dropped)
    assert {req.reason for req in dropped} == {"could not meet its deadline any more"}


def test_dropping_keeps_goodput_where_first_come_first_served_loses_it():
    """At 1.5 times what it can do, FCFS is late for nearly all; with drops, most of the capacity is of use."""

    def in_time(scheduler):
        requests = overloaded(1.5)
        serve(requests, scheduler, ONE_SECOND_PER_TOKEN)
        return sum(req.first_token_s - req.arrival_s <= 400 for req in requests)

    assert in_time(ChunkedPrefill) < 0.05 * 1500
    assert in_time(informed(SloDrop, PROMISES)) > 0.5 * 1500


def test_nobody_is_dropped_while_there_is_time():
    requests = [Request(i, 1000.0 * i, 300, 1) for i in range(20)]
    serve(requests, informed(SloDrop, PROMISES), ONE_SECOND_PER_TOKEN)

    assert {"completed"} == {req.status for req in requests}


def test_a_last_token_that_cannot_come_in_time_is_foreseen_by_the_predictor():
    """One second per token, 50 s until the last one: 49 tokens of output fit after the prompt's first, 50 do not."""
    knows = Knowledge(Oracle(10**6), lambda name: Targets(e2el_ms=50_000.0))
    requests = [Request(0, 0.0, 1, 50), Request(1, 1000.0, 1, 51)]
    serve(requests, informed(SloDrop, knows, DropOptions(deadline="e2el")), ONE_SECOND_PER_ITERATION)

    assert ["completed", "dropped"] == [req.status for req in requests]


# --- multi-level feedback queue -------------------------------------------------------------------


def heavy_tailed(seed, count=600):
    """Many short outputs and few very long ones, at 85% load of one sequence at a second per token."""
    rng = np.random.default_rng(seed)
    works = rng.choice([2, 4, 300], count, p=[0.5, 0.47, 0.03])
    arrivals = np.cumsum(rng.exponential(works.mean() / 0.85, count)).tolist()
    return [Request(i, arrivals[i], 1, int(works[i])) for i in range(count)]


def mean_response_s(requests):
    return float(np.mean([req.finish_s - req.arrival_s for req in requests]))


def test_short_outputs_overtake_long_ones_that_nobody_foresaw():
    """FastServe's headline direction: without any prediction, mean completion time is a fraction of FCFS's."""
    queues, in_order = heavy_tailed(3), heavy_tailed(3)
    serve(queues, informed(SkipJoinQueues, Knowledge(), QueueOptions(num_queues=9)), ONE_SECOND_PER_ITERATION)
    serve(in_order, ChunkedPrefill, ONE_SECOND_PER_ITERATION)

    assert mean_response_s(queues) < mean_response_s(in_order) / 2


def test_a_request_goes_down_as_its_quanta_are_used_up():
    """Quanta 1, 2, 4 … tokens: alone, a request is in queue k after 2^k - 1 tokens; then it need not stop at all."""
    made = SkipJoinQueues(Limits(), None, QueueOptions(num_queues=5))
    made.knows = Knowledge(profile=Profile([ONE_SECOND_PER_ITERATION], 100))
    req = Request(0, 0.0, 50, 100)

    assert [0, 1, 1, 2, 2, 2, 2, 3] == [made.rank(req, generated) for generated in range(8)]
    assert [4, 4] == [made.rank(req, generated) for generated in (15, 99)]
    assert [1, 3, 3, 7, None] == [made.review_at(req, generated) for generated in (0, 1, 2, 3, 15)]


def test_long_prompts_skip_queues_whose_quantum_they_exceed():
    """A prompt of 16 times a token's time joins queue 4 (quantum 16); without skip-join it starts in the first."""
    profile = Profile([LinearCost(LinearOptions(iteration_s=1.0, per_token_s=0.01))], 10**6)
    for skip_join, queue in ((True, 4), (False, 0)):
        made = SkipJoinQueues(Limits(), None, QueueOptions(skip_join=skip_join, quantum_ms=1010.0))
        made.knows = Knowledge(profile=profile)
        assert made.rank(Request(0, 0.0, 1500, 9), 0) == queue


def longest_wait_s(starve_limit_s):
    """How long an output of 40 tokens takes amid short ones that leave no second free for it."""
    long = Request(0, 0.0, 1, 40)
    requests = [long, *(Request(i, 0.0 if i < 4 else (i - 3) * 1.0, 1, 1) for i in range(1, 3000))]
    options = QueueOptions(num_queues=8, starve_limit_s=starve_limit_s)
    serve(requests, informed(SkipJoinQueues, Knowledge(), options), ONE_SECOND_PER_ITERATION)
    return long.finish_s


def test_nobody_starves_with_the_limit_and_somebody_does_without():
    """Promoted each time it has waited 20 s, it gets a token at least every so often; without, it waits to the end."""
    assert longest_wait_s(None) > 2900
    assert longest_wait_s(20.0) <= 40 * (20 + 5)


def test_who_loses_its_seat_keeps_its_kv_while_there_is_room():
    """With room, a preemption costs one token of prefill; without keeping, the prompt and all that was generated."""

    def prefilled(keep_kv):
        requests = [Request(i, float(i), 50, 20 + 5 * (i % 3)) for i in range(40)]
        options = QueueOptions(keep_kv=keep_kv)
        record = serve(requests, informed(SkipJoinQueues, Knowledge(), options), ONE_SECOND_PER_ITERATION)
        preemptions = sum(req.preemptions for req in requests)
        return record.steps.column("prefill_tokens").sum() - 40 * 50, preemptions

    extra, preemptions = prefilled(True)
    assert extra == preemptions > 40
    extra, preemptions = prefilled(False)
    assert extra > 50 * preemptions > 0


# --- reservation by prediction --------------------------------------------------------------------


def most_at_once(scheduler, count=60):
    """Sequences that ran at once, of outputs of 60 tokens under a limit of 1,000, in a pool for 4,000."""
    requests = [Request(i, 0.0, 40, 60) for i in range(count)]
    record = serve(requests, scheduler, seats=256, num_kv_tokens=4000, longest=1000)
    return record.steps.column("sequences").max(), sum(req.preemptions for req in requests)


def test_reservations_by_prediction_let_more_in_than_the_worst_case():
    """S3 with the truth: floor(4000 / 112), 100 tokens in blocks; Orca, and no predictor: floor(4000 / 1008)."""
    assert most_at_once(informed(PredictedReservation, Knowledge(Oracle(1000)))) == (35, 0)
    assert most_at_once(Orca) == (3, 0)
    assert most_at_once(informed(PredictedReservation, Knowledge(Nothing(1000)))) == (3, 0)


def test_an_outgrown_reservation_is_thrown_away_and_grows():
    """Told 20 of 100 tokens: out at 20, again at 40 and at 80, in blocks of one token; done with room for 160."""
    low = Buckets(1000, 0, BucketOptions(edges=[20]))
    req = Request(0, 0.0, 40, 100)
    record = serve([req], informed(PredictedReservation, Knowledge(low)), longest=1000, block_size=1)

    assert req.preemptions == 3
    held = record.steps.column("kv_blocks")
    assert sorted(set(held.tolist())) == [60, 80, 120, 200]
    assert record.steps.column("prefill_tokens").sum() == 40 + 60 + 80 + 120


# --- fairness -------------------------------------------------------------------------------------


def services(requests, scheduler, weights=(1.0, 2.0)):
    """[(waiting clients, service of each client)] at every plan, counted from the requests themselves."""
    seen = []

    def watched(limits, kv):
        made = scheduler(limits, kv)
        plan = made.plan

        def look(batch, now_s):
            answer = plan(batch, now_s)
            had = dict.fromkeys(("a", "b"), 0.0)
            for req in requests:
                if req in batch.running or req.scheduled_s == req.scheduled_s:  # one that was thrown out too
                    out = batch.generated(req) if req in batch.running else req.generated
                    had[req.class_name] += weights[0] * req.input_tokens + weights[1] * out
            seen.append(({req.class_name for req in made.waiting}, had))
            return answer

        made.plan = look
        return made

    serve(requests, watched, seats=8, num_kv_tokens=600, budget=512, longest=200, fast_forward=False)
    return seen


def flood(seed):
    """Client a sends three times as much as b, and b more than its half of the server."""
    rng = np.random.default_rng(seed)
    requests = []
    for i in range(160):
        name = "a" if i % 4 else "b"
        requests.append(Request(i, 0.002 * i, int(rng.integers(5, 90)), int(rng.integers(5, 90)), name))
    return requests


def largest_difference(seen):
    """The most by which services differ over an interval in which both clients always have somebody waiting."""
    spans = [
        [had["a"] - had["b"] for _, had in span]
        for both, span in groupby(seen, lambda entry: entry[0] == {"a", "b"})
        if both
    ]
    assert max(map(len, spans)) > 50
    return max(max(lead) - min(lead) for lead in spans)


@pytest.mark.parametrize("seed", range(3))
def test_two_backlogged_clients_differ_by_no_more_than_the_theorem_says(seed):
    """Sheng et al. 2024: 2·max(w_p·L_input, w_q·M), with M = 600 tokens in the pool; FCFS exceeds it."""
    bound = 2 * max(1.0 * 90, 2.0 * 600)

    assert largest_difference(services(flood(seed), TokenCounters)) <= bound
    assert largest_difference(services(flood(seed), ChunkedPrefill)) > bound


def test_shares_divide_the_server():
    """Weighted counters: with a share of 3, a client has three times the service while both wait."""
    scheduler = informed(TokenCounters, Knowledge(), FairnessOptions(shares={"a": 3.0}))
    both = [had for waiting, had in services(flood(7), scheduler) if waiting == {"a", "b"}]

    assert both[-1]["a"] / both[-1]["b"] == pytest.approx(3, rel=0.25)


def test_an_idle_client_has_saved_nothing_up():
    """b comes after a has had the server for long: they share it from then on; b does not have it alone first."""
    requests = [Request(i, 0.0, 50, 50, "a") for i in range(60)]
    requests += [Request(60 + i, 1.5, 50, 50, "b") for i in range(40)]
    seen = services(requests, TokenCounters)
    before = next(had for waiting, had in seen if "b" in waiting)
    both = [had for waiting, had in seen if waiting == {"a", "b"}]

    assert before["a"] > 2000
    assert largest_difference(seen) <= 2 * 2.0 * 600
    assert both[-1]["a"] - before["a"] == pytest.approx(both[-1]["b"], rel=0.3)
    assert inf > both[-1]["b"] > 2000
