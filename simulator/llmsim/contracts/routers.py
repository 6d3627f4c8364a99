"""What every router promises."""

from __future__ import annotations

from functools import partial
from typing import Any, ClassVar

from llmsim.contracts.trials import outcome, poisson_requests, require_same
from llmsim.engine.request import Request
from llmsim.engine.scheduler import Limits
from llmsim.engine.schedulers.chunked_prefill import ChunkedPrefill
from llmsim.measure.laws import check
from llmsim.measure.records import RunRecord, StepLog
from llmsim.sim.clock import ARRIVAL
from llmsim.sim.fleet import Fleet
from llmsim.sim.play import make_engine, play
from llmsim.sim.routers import RoundRobin, Router
from llmsim.spec.base import Strict


class RouterContract:
    """What every router promises, also while replicas come and go.

    Attributes:
        router: The class under test.
        options: Its options; None takes the defaults.
    """

    router: ClassVar[type[Router]]
    options: ClassVar[Strict | None] = None

    def _play(self, replicas: int, *, fast_forward: bool = True, **keys: Any) -> RunRecord:
        log = StepLog()
        engines = [
            make_engine(
                i,
                log,
                ChunkedPrefill,
                num_kv_tokens=1200,
                limits=Limits(16, 512, 900),
                fast_forward=fast_forward,
            )
            for i in range(replicas)
        ]
        keys = {"router": type(self).router, "router_options": type(self).options} | keys
        return play(_labelled_requests(9), engines, log, **keys)

    def test_every_request_ends_in_one_bucket(self) -> None:
        """L1: a request is at one replica, and completes there or is refused."""
        record = self._play(3)
        check(record)
        left = [r.id for r in record.requests if r.status not in ("completed", "rejected")]
        assert not left, f"L1: requests {left[:10]} never finished"

    def test_fast_forward_equals_stepping(self) -> None:
        """Replicas that sleep through runs are seen as if they stepped."""
        fast, slow = self._play(3), self._play(3, fast_forward=False)
        require_same(outcome(fast), outcome(slow), "fast-forward equals stepping")

    def test_same_seed_same_choices(self) -> None:
        """L5: chance comes from the seed alone."""
        assert outcome(self._play(3, seed=5)) == outcome(self._play(3, seed=5)), "L5: two runs differ"

    def test_one_replica_is_no_router(self) -> None:
        """A fleet of one behind any router equals the single replica."""
        alone = self._play(1, router=RoundRobin, router_options=None)
        assert outcome(self._play(1)) == outcome(alone), "a fleet of one differs from its replica"

    def test_replicas_come_and_go(self) -> None:
        """Those that have left get nothing new; while nobody is there, requests wait and none is lost."""
        record = self._play(3, meanwhile=_come_and_go)
        check(record)
        late = [r.id for r in record.requests if r.status not in ("completed", "rejected")]
        assert not late, f"L1: requests {late[:10]} never finished"
        for req in record.requests:
            if req.status == "completed" and not req.preemptions:  # else it may have started elsewhere
                _require_it_was_there(req)
        slow = self._play(3, meanwhile=_come_and_go, fast_forward=False)
        require_same(outcome(record), outcome(slow), "fast-forward equals stepping")


def _labelled_requests(seed: int) -> list[Request]:
    """Requests that belong to sessions and share prefixes, for routers that go by these."""
    requests = poisson_requests(seed, rate_per_s=20.0)
    for req in requests:
        req.session_id = str(req.id % 17)
        req.hash_ids = (0, req.id % 7, 1000 + req.id)
    return requests


_ABSENT = {0: (2.0, 3.0), 1: (1.0, 3.5), 2: (2.0, 4.0)}
"""Replica to (leaves, joins again), in seconds: from 2 to 3 s there is none."""


def _come_and_go(fleet: Fleet) -> None:
    for index, (leaves_s, joins_s) in _ABSENT.items():
        replica = fleet.replicas[index]
        fleet.clock.call(leaves_s, ARRIVAL, partial(fleet.door.left, replica))
        fleet.clock.call(joins_s, ARRIVAL, partial(fleet.door.joined, replica))


def _require_it_was_there(req: Request) -> None:
    """Raise AssertionError when ``req`` came while its replica was away, and was started there meanwhile."""
    leaves_s, joins_s = _ABSENT[req.replica]
    if leaves_s < req.arrival_s <= req.scheduled_s < joins_s:
        raise AssertionError(
            f"request {req.id} came at {req.arrival_s:.3f} s and started on replica {req.replica} at "
            f"{req.scheduled_s:.3f} s; that was away from {leaves_s} to {joins_s} s"
        )
