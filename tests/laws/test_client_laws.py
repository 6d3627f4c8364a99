"""A client with a limit on requests in flight: who is held back, for how long, and what that changes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmsim.cost.linear import LinearCost, LinearOptions
from llmsim.engine.request import Request
from llmsim.engine.scheduler import Limits
from llmsim.engine.schedulers.chunked_prefill import ChunkedPrefill
from llmsim.measure.records import RunRecord, StepLog
from llmsim.sim.play import make_engine, play

ONE_SECOND = LinearCost(LinearOptions(iteration_s=1.0))


def served(sent, *, most=None, closed=None, seats=256, replicas=1):
    """``sent`` (due at, prompt, output) through a fleet of one-second iterations."""
    log = StepLog()
    engines = [
        make_engine(i, log, ChunkedPrefill, stages=[ONE_SECOND], limits=Limits(max_num_seqs=seats))
        for i in range(replicas)
    ]
    requests = [Request(i, *one) for i, one in enumerate(sorted(sent))]
    return play(requests, engines, log, max_concurrency=closed, most_in_flight=most)


def times(record: RunRecord) -> list[tuple[float, float, float]]:
    return [(req.arrival_s, req.first_token_s, req.finish_s) for req in record.requests]


sent = st.lists(
    st.tuples(st.floats(0, 50).map(lambda t: round(t, 1)), st.integers(1, 3000), st.integers(1, 9)),
    min_size=1,
    max_size=40,
)


@given(sent=sent, most=st.integers(1, 8), replicas=st.integers(1, 3))
@settings(max_examples=100, deadline=None)
def test_no_more_are_in_flight_and_nobody_waits_for_nothing(sent, most, replicas):
    """In order of their due times; whoever was held back was sent the moment another one ended."""
    record = served(sent, most=most, replicas=replicas)
    requests = record.requests
    due = np.array([req.arrival_s - req.held_s for req in requests])

    assert list(range(len(sent))) == [req.id for req in requests]
    assert sorted(one[0] for one in sent) == pytest.approx(due.tolist())
    for req in requests:
        others = [other for other in requests if other.id < req.id]
        in_flight = sum(other.arrival_s <= req.arrival_s < other.finish_s for other in others)
        assert in_flight < most
        if req.held_s:
            assert req.arrival_s in {other.finish_s for other in others}


@given(sent=sent)
@settings(max_examples=50, deadline=None)
def test_a_limit_that_is_never_reached_changes_nothing(sent):
    """The same times, to the bit."""
    assert times(served(sent)) == times(served(sent, most=len(sent)))


@given(sent=sent, most=st.integers(1, 8))
@settings(max_examples=50, deadline=None)
def test_all_at_once_behind_a_limit_is_a_closed_loop(sent, most):
    """As ``--request-rate inf --max-concurrency N`` is."""
    at_once = [(0.0, *lengths) for _, *lengths in sent]

    assert times(served(at_once, most=most)) == times(served(at_once, closed=most))


def test_one_in_flight_moves_the_queue_of_m_d_1_to_the_client():
    """Mean time held back = ρ·s/(2(1 − ρ)) (Pollaczek–Khinchine), and the server's own queue stays empty."""
    rho, service_s, count = 0.6, 4.0, 20_000
    due = np.cumsum(np.random.default_rng(5).exponential(service_s / rho, count))
    record = served([(due_s, 100, 4) for due_s in due.tolist()], most=1)
    held = np.array([req.held_s for req in record.requests])

    stay = [req.finish_s - req.arrival_s for req in record.requests]
    assert [service_s] * count == pytest.approx(stay, abs=1e-3)
    assert rho * service_s / (2 * (1 - rho)) == pytest.approx(held.mean(), rel=0.06)
