"""Sessions: what follows what, when, and how prompts grow, whatever serves them."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmsim.cost.linear import LinearCost, LinearOptions
from llmsim.engine.kv.paged import Paged
from llmsim.engine.kv.prefix import PrefixCached
from llmsim.engine.request import Request
from llmsim.engine.scheduler import Limits
from llmsim.engine.schedulers.chunked_prefill import ChunkedPrefill
from llmsim.measure.laws import check
from llmsim.measure.records import ReplicaRecord, RunRecord, StepLog
from llmsim.sim.clock import Clock
from llmsim.sim.fleet import Fleet
from llmsim.sim.play import A_LINE, make_engine
from llmsim.sim.routers import RoundRobin, Setting
from llmsim.spec.workload import Workload
from llmsim.workload import sessions as sessions_module
from llmsim.workload.stream import open_stream

AGENT = {
    "turns": {"kind": "geometric", "mean": 3},
    "think_time_s": {"kind": "exponential", "mean_s": 4},
    "calls": {"kind": "choice", "counts": [1, 4]},
    "tool_time_s": {"kind": "lognormal", "mean_s": 1, "std_s": 2},
    "tool_tokens": {"kind": "uniform", "min": 1, "max": 300},
}
CHAT = {
    "turns": {"kind": "uniform", "min": 1, "max": 6},
    "think_time_s": {"kind": "uniform", "min_s": 0, "max_s": 9},
}
ASKED = {
    "arrival": {"kind": "poisson", "request_rate": 1.5},
    "input_tokens": {"kind": "uniform", "min": 1, "max": 200},
    "output_tokens": {"kind": "uniform", "min": 1, "max": 60},
}


def served(keys: dict[str, Any], seed: int = 0, **engine: Any) -> list[Request]:
    """The requests of a workload after a run of one replica, its laws checked."""
    clock, log = Clock(), StepLog()
    fleet = Fleet(clock, open_stream(Workload.model_validate(ASKED | keys), seed))
    made = make_engine(0, log, ChunkedPrefill, **engine)
    fleet.add(made)
    fleet.open({"": RoundRobin(fleet.replicas, None, Setting(clock, seed))})
    clock.run_all()
    fleet.close()
    replica = ReplicaRecord(0, "main", "none", 1, made.kv.num_blocks, made.kv.block_size, made.stages)
    check(RunRecord(fleet.requests, log, [replica], clock.now, events=clock.events))
    assert {"completed"} == {req.status for req in fleet.requests} or engine
    return fleet.requests


def by_session(requests: list[Request]) -> dict[str, list[Request]]:
    """Each session's requests, in the order they came in."""
    found: dict[str, list[Request]] = {}
    for req in requests:
        found.setdefault(req.session_id, []).append(req)
    return found


@given(
    seed=st.integers(0, 10**6),
    sessions=st.sampled_from([AGENT, CHAT, CHAT | {"think_time_s": 0.0}]),
    prefix=st.sampled_from([None, {"tokens": 333, "num_prefixes": 2}]),
    count=st.integers(1, 60),
)
@settings(max_examples=30, deadline=None)
def test_a_request_follows_its_predecessor_and_grows(seed, sessions, prefix, count) -> None:
    """It comes after the one before has ended, is in the system alone, and its prompt holds all that was said."""
    requests = served({"sessions": sessions, "shared_prefix": prefix, "num_requests": count}, seed)

    assert count == len(requests)
    assert sorted(req.id for req in requests) == list(range(count))
    for turns in by_session(requests).values():
        assert list(range(turns[0].id, turns[0].id + len(turns))) == [req.id for req in turns]
        for before, after in pairwise(turns):
            assert after.arrival_s >= before.finish_s
            assert after.input_tokens > before.input_tokens + before.output_tokens
            known = min(
                len(before.hash_ids), (before.input_tokens + before.output_tokens) // before.hash_tokens
            )
            assert before.hash_ids[:known] == after.hash_ids[:known]


@pytest.mark.parametrize("sessions", [AGENT, CHAT])
def test_what_is_asked_does_not_hang_on_who_serves_it(sessions: dict[str, Any]) -> None:
    """Ten times slower: the same requests by number, and the same pauses between them."""
    slow = LinearCost(LinearOptions(iteration_s=0.06, per_token_s=2e-4))
    runs = [served({"sessions": sessions, "num_requests": 300}, stages=[cost]) for cost in (A_LINE, slow)]
    asked = [
        {req.id: (req.session_id, req.input_tokens, req.output_tokens, req.hash_ids) for req in run}
        for run in runs
    ]
    pauses = [
        np.array(
            [after.arrival_s - before.finish_s for turns in _sorted(run) for before, after in pairwise(turns)]
        )
        for run in runs
    ]

    assert asked[0] == asked[1]
    assert pauses[0] == pytest.approx(pauses[1], abs=1e-6)
    assert [req.id for req in runs[0]] != [req.id for req in runs[1]], "they came in another order"


def _sorted(run: list[Request]) -> list[list[Request]]:
    return [turns for _, turns in sorted(by_session(run).items())]


@given(seed=st.integers(0, 10**6), sessions=st.sampled_from([AGENT, CHAT, CHAT | {"think_time_s": 0.0}]))
@settings(max_examples=12, deadline=None)
def test_fast_forward_equals_stepping(seed, sessions) -> None:
    """The same requests at the same times, though each run's own times decide what comes next."""
    for more in ({}, {"max_concurrency": 2}, {"arrival": {"kind": "closed", "max_concurrency": 4}}):
        fast, slow = (
            served({"sessions": sessions, "num_requests": 40} | more, seed, fast_forward=fast_forward)
            for fast_forward in (True, False)
        )
        assert [req.id for req in fast] == [req.id for req in slow]
        for name in ("arrival_s", "first_token_s", "finish_s"):
            ours, theirs = ([getattr(req, name) for req in run] for run in (fast, slow))
            assert ours == pytest.approx(theirs, rel=1e-9, abs=1e-9)


def test_with_room_a_prefix_cache_has_all_that_was_said() -> None:
    """A later request computes its new tokens, and what does not fill a block of 16: not one more, not one less."""
    for prefix in (None, {"tokens": 1000, "num_prefixes": 3}):
        requests = served(
            {"sessions": AGENT, "shared_prefix": prefix, "num_requests": 300},
            kv_cache=PrefixCached, num_kv_tokens=2_000_000,
        )  # fmt: skip
        for turns in by_session(requests).values():
            for before, after in pairwise(turns):
                kept = before.input_tokens + before.output_tokens - 1  # the last token's KV is not computed
                assert kept // 16 * 16 == after.cached_tokens
        firsts = [turns[0] for turns in by_session(requests).values()]
        hits = [req.cached_tokens for req in firsts]
        assert {0} == set(hits) if prefix is None else 3 >= hits.count(0)
        assert prefix is None or {0, 992} == set(hits)


def test_users_who_think_obey_the_response_time_law() -> None:
    """N = X·(R + Z): N users, X requests per second, R seconds each, Z to think; within 3% (Denning and Buzen 1978)."""
    users, think_s = 12, 2.0
    requests = served(
        {
            "arrival": {"kind": "closed", "max_concurrency": users},
            "sessions": {"turns": 10_000, "think_time_s": {"kind": "exponential", "mean_s": think_s}},
            "input_tokens": 1, "output_tokens": 20, "duration_s": 600.0,
        }, num_kv_tokens=10_000_000,
    )  # fmt: skip
    window = [req for req in requests if 20 < req.arrival_s]
    rate = len(window) / 580
    stay = np.mean([req.finish_s - req.arrival_s for req in window])

    assert users == pytest.approx(rate * (stay + think_s), rel=0.03)


def test_a_closed_loop_has_so_many_sessions_at_a_time() -> None:
    """A user begins a new session when one is over; pauses count as being in it."""
    requests = served(
        {"arrival": {"kind": "closed", "max_concurrency": 3}, "sessions": CHAT, "num_requests": 200}
    )
    spans = [(turns[0].arrival_s, turns[-1].finish_s) for turns in by_session(requests).values()]
    events = sorted([(start, 1) for start, _ in spans] + [(end, -1) for _, end in spans])

    assert 3 == np.cumsum([step for _, step in events]).max()
    assert len(spans) > 30


def test_sessions_bring_their_mean_number_of_requests() -> None:
    """Sessions × turns × calls, within four standard errors; and so many sessions as asked for."""
    count = 4000
    requests = open_stream(
        Workload.model_validate(ASKED | {"sessions": AGENT, "num_sessions": count}), 3
    ).sample(10**6)
    sizes = np.array([len(turns) for turns in by_session(requests).values()])

    assert count == len(sizes)
    assert abs(sizes.mean() - 3 * 2.5) < 4 * sizes.std() / np.sqrt(count)


@pytest.mark.parametrize("sessions", [CHAT, CHAT | {"think_time_s": 3.0}, AGENT | {"turns": 3, "calls": 4}])
def test_sessions_last_as_long_as_their_means_say(sessions: dict[str, Any]) -> None:
    """Stays and pauses: turns, calls and times are drawn apart, so that means multiply; four standard errors."""
    workload = Workload.model_validate(ASKED | {"sessions": sessions, "num_sessions": 500})
    spans = []
    for turns in by_session(served({"sessions": sessions, "num_sessions": 500})).values():
        stays = sum(req.finish_s - req.arrival_s for req in turns)
        spans.append((turns[-1].finish_s - turns[0].arrival_s - stays, len(turns)))
    pauses, sizes = np.array(spans).T

    assert workload.sessions is not None
    assert abs(pauses.mean() - workload.sessions.mean_stay_s(0.0)) < 4 * pauses.std() / np.sqrt(500)
    assert abs(sizes.mean() - workload.sessions.mean_requests) <= 4 * sizes.std() / np.sqrt(500)


def test_how_many_sessions_are_drawn_at_a_time_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """To the last token and pause."""
    workload = Workload.model_validate(
        ASKED
        | {
            "sessions": AGENT,
            "num_requests": 500,
            "models": {"a": 1, "b": 2},
            "shared_prefix": {"tokens": 40, "num_prefixes": 5},
        }
    )

    def asked() -> list[tuple[Any, ...]]:
        return [
            (req.id, req.session_id, req.model, req.input_tokens, req.output_tokens, req.hash_ids)
            for req in open_stream(workload, 1).sample(500)
        ]

    expected = asked()
    monkeypatch.setattr(sessions_module, "SESSIONS", 7)
    assert expected == asked()


def test_time_ends_sessions() -> None:
    """Nothing is sent at or after duration_s, and what was sent is served."""
    requests = served({"sessions": AGENT, "duration_s": 30.0})

    assert 20 < max(req.arrival_s for req in requests) < 30
    assert all(len(turns) == len({req.id for req in turns}) for turns in by_session(requests).values())


def test_a_session_ends_before_it_gets_too_long() -> None:
    """Prompt and output stay within max_context_tokens; without it, one refusal ends the session."""
    sessions = CHAT | {"turns": 40, "think_time_s": 0.1}
    keys = {"sessions": sessions | {"max_context_tokens": 900}, "num_sessions": 20}
    lengths = [req.input_tokens + req.output_tokens for req in served(keys)]
    refused = served(
        {"sessions": sessions, "num_sessions": 20}, kv_cache=Paged, limits=Limits(max_model_len=900)
    )

    assert 600 < max(lengths) <= 900
    for turns in by_session(refused).values():
        assert ["completed"] * (len(turns) - 1) + ["rejected"] == [req.status for req in turns]


def test_an_output_limit_shortens_what_is_said_later() -> None:
    """workload.max_tokens cuts answers, and so the prompts that hold them."""
    for turns in by_session(served({"sessions": CHAT, "max_tokens": 10, "num_requests": 100})).values():
        assert all(req.output_tokens <= 10 == req.max_tokens for req in turns)
        for before, after in pairwise(turns):
            assert 1 <= after.input_tokens - before.input_tokens - before.output_tokens <= 200
