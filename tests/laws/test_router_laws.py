"""Laws of routing and of the front door over random scenarios."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llmsim.contracts import outcome, poisson_requests, require_same
from llmsim.engine.request import Request
from llmsim.engine.scheduler import Limits
from llmsim.engine.schedulers.chunked_prefill import ChunkedPrefill
from llmsim.engine.schedulers.orca import Orca
from llmsim.engine.schedulers.static import Static, StaticOptions
from llmsim.engine.schedulers.vllm import VllmPrefillFirst
from llmsim.measure.laws import check
from llmsim.measure.records import StepLog
from llmsim.sim.clock import ARRIVAL
from llmsim.sim.play import A_LINE, make_engine, play
from llmsim.sim.replica import FrontEnd
from llmsim.sim.routers import (
    CentralQueue,
    LeastRequests,
    LeastTokens,
    PowerOfTwo,
    PrefixAffinity,
    RandomChoice,
    RoundRobin,
    SessionAffinity,
)
from llmsim.sim.routers.least_requests import PowerOfTwoOptions
from llmsim.sim.routers.loads import LoadOptions
from llmsim.spec.admission import Admission

ROUTERS = (
    (RoundRobin, None),
    (RandomChoice, None),
    (LeastRequests, None),
    (LeastRequests, LoadOptions(snapshot_interval_ms=700)),
    (LeastTokens, None),
    (LeastTokens, LoadOptions(snapshot_interval_ms=700, counts_own=False)),
    (PowerOfTwo, None),
    (SessionAffinity, None),
    (PrefixAffinity, None),
    (CentralQueue, None),
)
SCHEDULERS = (
    ChunkedPrefill,
    VllmPrefillFirst,
    Orca,
    Static,
    partial(Static, options=StaticOptions(batch_size=3, batch_timeout_s=0.3, early_return=True)),
)
ENDS = {"completed", "rejected", "dropped", "unfinished"}


@dataclass(frozen=True)
class Case:
    """One random setting; ``run`` plays it anew."""

    lengths: tuple[tuple[int, int], ...]
    gaps_ms: tuple[int, ...]
    scheduler: object
    router: tuple
    replicas: int
    stages: int
    max_num_seqs: int
    admission: Admission
    front_end_ms: int
    away: tuple[tuple[int, int, int], ...]
    schedules_ahead: bool

    def run(self, *, fast_forward: bool = True, until_s: float | None = None):
        time_s, requests = 0.0, []
        for i, ((prompt, output), gap) in enumerate(zip(self.lengths, self.gaps_ms, strict=True)):
            time_s += gap / 1000
            requests.append(Request(i, time_s, prompt, output))
            requests[-1].session_id, requests[-1].hash_ids = str(i % 3), (0, i % 4)
        log = StepLog()
        engines = [
            make_engine(
                i, log, self.scheduler, num_kv_tokens=600, limits=Limits(self.max_num_seqs, 64, 256),
                stages=[A_LINE] * self.stages, fast_forward=fast_forward,
            )
            for i in range(self.replicas)
        ]  # fmt: skip
        for engine in engines:
            engine.schedules_ahead = self.schedules_ahead and self.stages == 1

        def meanwhile(fleet) -> None:
            for replica in fleet.replicas:
                replica.front_end = FrontEnd(self.front_end_ms / 1000, self.front_end_ms / 1e5)
            for index, leaves_ms, stays_ms in self.away:
                if index < self.replicas:
                    replica = fleet.replicas[index]
                    fleet.clock.call(leaves_ms / 1000, ARRIVAL, partial(fleet.door.left, replica))
                    back_s = (leaves_ms + stays_ms) / 1000
                    fleet.clock.call(back_s, ARRIVAL, partial(fleet.door.joined, replica))

        router, options = self.router
        record = play(
            requests, engines, log, router=router, router_options=options, admission=self.admission,
            until_s=until_s, meanwhile=meanwhile,
        )  # fmt: skip
        return record, engines


@st.composite
def admissions(draw):
    limits = {
        "max_queued_requests": draw(st.sampled_from([None, None, 1, 4])),
        "max_queued_requests_per_replica": draw(st.sampled_from([None, None, 1, 3])),
        "queue_timeout_s": draw(st.sampled_from([None, 0.05, 0.2, 1.0])),
    }
    if any(limits.values()):
        limits["max_retries"] = draw(st.sampled_from([0, 1, 3]))
        limits["initial_backoff_s"] = draw(st.sampled_from([0.01, 0.1, 0.5]))
        limits["jitter_factor"] = draw(st.sampled_from([0.0, 0.1]))
    return Admission(**limits)


@st.composite
def cases(draw):
    count = draw(st.integers(1, 30))
    length = st.tuples(st.integers(1, 150), st.integers(1, 90))
    away = st.tuples(st.integers(0, 2), st.integers(1, 1500), st.integers(1, 1500))
    return Case(
        lengths=tuple(draw(st.lists(length, min_size=count, max_size=count))),
        gaps_ms=tuple(draw(st.lists(st.sampled_from([0, 0, 5, 50, 100]), min_size=count, max_size=count))),
        scheduler=draw(st.sampled_from(SCHEDULERS)),
        router=draw(st.sampled_from(ROUTERS)),
        replicas=draw(st.integers(1, 3)),
        stages=draw(st.sampled_from([1, 1, 2])),
        max_num_seqs=draw(st.sampled_from([1, 3, 16])),
        admission=draw(admissions()),
        front_end_ms=draw(st.sampled_from([0, 0, 6, 200])),
        away=tuple({a[0]: a for a in draw(st.lists(away, max_size=3))}.values()),
        schedules_ahead=draw(st.booleans()),
    )


MANY = settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@MANY
@given(cases())
def test_fast_forward_equals_stepping(case):
    """The oracle, with limits, time-outs, retries, old snapshots and replicas that come and go."""
    (fast, _), (slow, _) = case.run(), case.run(fast_forward=False)

    require_same(outcome(fast), outcome(slow), "fast-forward equals stepping")


@MANY
@given(cases())
def test_nothing_is_lost_at_the_door(case):
    """Offered = completed + rejected + dropped; what was turned away never ran; no block stays behind."""
    record, engines = case.run()

    check(record)
    assert ENDS - {"unfinished"} >= {req.status for req in record.requests}
    assert len(case.lengths) == len(record.requests)
    for req in record.requests:
        if req.status in ("rejected", "dropped"):
            assert req.scheduled_s != req.scheduled_s
            assert 0 == req.generated
            assert req.reason
    assert [engine.kv.num_blocks for engine in engines] == [engine.kv.free_blocks for engine in engines]
    assert [0] * len(engines) == [engine.num_requests for engine in engines]
    assert outcome(record) == outcome(case.run()[0])


@MANY
@given(cases(), st.floats(0.01, 2.0))
def test_a_run_cut_short_keeps_its_books(case, until_s):
    """At any moment each request offered is in one bucket."""
    record, _ = case.run(until_s=until_s)

    check(record)
    assert ENDS >= {req.status for req in record.requests}


@MANY
@given(cases())
def test_patience_is_kept_to(case):
    """Without retries: who started did so in time; who gave up did so then, or on leaving the front end."""
    record, _ = case.run()
    limit = case.admission.queue_timeout_s
    longest_front_s = case.front_end_ms / 1000 * 2.5
    if limit is None or case.admission.max_retries:
        return
    for req in record.requests:
        if req.scheduled_s == req.scheduled_s:
            assert req.scheduled_s - req.arrival_s <= limit * (1 + 1e-9)
        if req.status == "dropped":
            assert limit * (1 - 1e-9) <= req.left_s - req.arrival_s <= limit + longest_front_s + 1e-9


def serve(router, options=None, replicas=4, rate_per_s=60.0, count=300, **keys):
    """Poisson requests on some replicas."""
    log = StepLog()
    engines = [
        make_engine(i, log, ChunkedPrefill, limits=Limits(16, 512, 900), num_kv_tokens=6000)
        for i in range(replicas)
    ]
    requests = poisson_requests(1, count=count, rate_per_s=rate_per_s)
    for req in requests:
        req.session_id, req.hash_ids = str(req.id % 50), (0, req.id % 40)
    return play(requests, engines, log, router=router, router_options=options, **keys)


@pytest.mark.parametrize("router", [LeastRequests, LeastTokens])
def test_snapshots_of_no_age_are_live(router):
    """The shorter the interval, the nearer to live; at a microsecond nothing differs."""
    live = outcome(serve(router))

    assert live == outcome(serve(router, LoadOptions(snapshot_interval_ms=1e-3)))
    assert live != outcome(serve(router, LoadOptions(snapshot_interval_ms=1000)))


def test_blind_routers_with_old_snapshots_herd():
    """Without counting its own, the router sends a whole interval's requests to one replica."""
    blind = serve(LeastRequests, LoadOptions(snapshot_interval_ms=500, counts_own=False))
    by_interval: dict[int, set[int]] = {}
    for req in blind.requests:
        by_interval.setdefault(int(req.arrival_s / 0.5), set()).add(req.replica)

    assert {1} == {len(replicas) for replicas in by_interval.values()}


def test_power_of_all_is_least_requests():
    """With d as many as there are replicas, nothing is left to chance."""
    assert outcome(serve(LeastRequests)) == outcome(serve(PowerOfTwo, PowerOfTwoOptions(d=4)))


def test_one_choice_of_one_is_random():
    """With d = 1 loads do not matter: the same draws as any other purpose would give, evenly spread."""
    record = serve(PowerOfTwo, PowerOfTwoOptions(d=1), count=2000)
    counts = [sum(req.replica == i for req in record.requests) for i in range(4)]

    assert all(abs(count - 500) < 5 * (2000 * 0.25 * 0.75) ** 0.5 for count in counts)
