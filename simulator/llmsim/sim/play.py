"""Hand-built engines and a list of requests: the simulation without a scenario, for proofs and experiments."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from llmsim.cost.linear import LinearCost, LinearOptions
from llmsim.cost.stage import StageCost
from llmsim.engine.core import Engine
from llmsim.engine.kv.base import KVCache
from llmsim.engine.kv.paged import Paged
from llmsim.engine.profile import Profile
from llmsim.engine.request import Request
from llmsim.engine.scheduler import Limits, Scheduler
from llmsim.measure.records import ReplicaRecord, RunRecord, StepLog
from llmsim.sim.clock import Clock
from llmsim.sim.fleet import NO_LIMITS, Fleet
from llmsim.sim.replica import NO_FRONT_END, FrontEnd
from llmsim.sim.routers import RoundRobin, Router, Setting
from llmsim.spec.admission import Admission
from llmsim.spec.base import Strict

A_LINE = LinearCost(
    LinearOptions(
        iteration_s=6e-3,
        per_token_s=2.2e-5,
        per_sequence_s=2e-6,
        per_prefill_pair_s=1e-9,
        per_decode_kv_token_s=4e-8,
    )
)
"""A cost of the size of an 8B model on one H100; proofs do not depend on its numbers."""


class RequestList:
    """An open loop of given requests; with ``max_concurrency``, a closed loop over them.

    With ``most_in_flight`` the open loop's client holds the others back.
    """

    def __init__(
        self,
        requests: Sequence[Request],
        max_concurrency: int | None = None,
        most_in_flight: int | None = None,
    ) -> None:
        self.total: int | None = len(requests)
        self.max_concurrency = max_concurrency
        self.most_in_flight = most_in_flight
        self.following = None
        self.skipped: dict[str, int] = {}
        self._requests = requests
        self._next = iter(requests)

    def requests(self) -> Iterator[Request]:
        """The requests, in the given order of arrival."""
        return iter(self._requests)

    def draw(self, arrival_s: float) -> Request | None:
        """The next request, arriving now; None when all are drawn."""
        req = next(self._next, None)
        if req is not None:
            req.arrival_s = arrival_s
        return req


def make_engine(
    index: int,
    log: StepLog,
    scheduler: Callable[[Limits, KVCache], Scheduler],
    *,
    kv_cache: Callable[[int, int, int], KVCache] = Paged,
    num_kv_tokens: int = 400_000,
    block_size: int = 16,
    limits: Limits | None = None,
    stages: Sequence[StageCost] = (A_LINE,),
    fast_forward: bool = True,
    schedules_ahead: bool = False,
) -> Engine:
    """One engine. ``scheduler`` and ``kv_cache`` are classes, or functions with their arguments."""
    limits = limits or Limits(max_model_len=num_kv_tokens)
    kv = kv_cache(num_kv_tokens, block_size, limits.max_model_len)
    made = scheduler(limits, kv)
    made.knows = replace(made.knows, profile=Profile(stages, limits.max_num_batched_tokens))
    return Engine(
        index,
        made,
        kv,
        stages,
        add_row=log.add,
        add_gap=log.extra_gaps.append,
        fast_forward=fast_forward,
        schedules_ahead=schedules_ahead,
    )


def play(
    requests: Sequence[Request],
    engines: Sequence[Engine],
    log: StepLog,
    *,
    router: type[Router] = RoundRobin,
    router_options: Strict | None = None,
    admission: Admission = NO_LIMITS,
    seed: int = 0,
    max_concurrency: int | None = None,
    most_in_flight: int | None = None,
    front_end: FrontEnd = NO_FRONT_END,
    until_s: float | None = None,
    meanwhile: Callable[[Fleet], None] | None = None,
) -> RunRecord:
    """Serve ``requests`` with ``engines`` until all are done, or until ``until_s``.

    Args:
        requests, engines, log: Who is served by whom, and where the steps are written down.
        router, router_options, admission: How the requests get there.
        seed: Of router and door.
        max_concurrency: In flight in a closed loop; None takes the requests' own times.
        most_in_flight: In flight in an open loop, whose client holds the others back; None is no limit.
        until_s: The end, if it is not that of the last request.
        meanwhile: Shown the fleet at the start; it may schedule on its clock what is to happen.
    """
    clock = Clock()
    fleet = Fleet(clock, RequestList(requests, max_concurrency, most_in_flight))
    for engine in engines:
        fleet.add(engine, front_end)
    fleet.open({"": router(fleet.replicas, router_options, Setting(clock, seed))}, admission, seed)
    if meanwhile:
        meanwhile(fleet)
    clock.run_all(until_s)
    fleet.close()
    replicas = [
        ReplicaRecord(e.index, "main", "none", len(e.stages), e.kv.num_blocks, e.kv.block_size, e.stages)
        for e in engines
    ]
    return RunRecord(fleet.requests, log, replicas, clock.now, events=clock.events)
