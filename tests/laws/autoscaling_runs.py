"""A pool that grows and shrinks, without a market: for tests of what decides how large it is."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from llmsim.cost.linear import LinearCost, LinearOptions
from llmsim.cost.stage import StageCost
from llmsim.engine.request import Request
from llmsim.engine.scheduler import Limits
from llmsim.engine.schedulers.chunked_prefill import ChunkedPrefill
from llmsim.measure.laws import check
from llmsim.measure.records import ReplicaRecord, RunRecord, StepLog
from llmsim.sim.autoscaling import Autoscaling
from llmsim.sim.clock import COMPLETION, Clock
from llmsim.sim.fleet import Fleet
from llmsim.sim.play import RequestList, make_engine
from llmsim.sim.replica import Replica
from llmsim.sim.routers import LeastRequests, Router, Setting
from llmsim.spec.admission import Admission
from llmsim.spec.scenario import Scenario
from llmsim.spec.serving import Pool

TENTH = LinearCost(LinearOptions(iteration_s=0.1))
"""However many sequences there are, an iteration takes 0.1 s: a request of n tokens takes n/10 s."""


def scenario_of(autoscale: dict[str, Any], replicas: int = 1, **keys: Any) -> Scenario:
    """A scenario whose one pool is scaled; ``keys`` are further sections."""
    workload = {"arrival": {"kind": "burst"}, "input_tokens": 1, "output_tokens": 1, "num_requests": 1}
    pool = {"accelerator": "h100-sxm", "replicas": replicas, "autoscale": {"max_replicas": 50} | autoscale}
    return Scenario.model_validate({"model": "m", "fleet": [pool], "workload": workload} | keys)


@dataclass(eq=False)
class Deployed:
    """A replica, or the promise of one."""

    state: str = "starting"
    replicas: list[Replica] = field(default_factory=list)


class PlainSupply:
    """Replicas appear ``startup_s`` after they were wanted, if they still are; the newest go first.

    Attributes:
        wants: (time, replicas) of every change.
    """

    def __init__(self, fleet: Fleet, pool: Pool, startup_s: float, make: Any) -> None:
        self.fleet, self.pool, self.startup_s, self._make = fleet, pool, startup_s, make
        self.target = pool.replicas
        self.wants: list[tuple[float, int]] = []
        self.deployed = [Deployed("serving", [make()]) for _ in range(pool.replicas)]

    @property
    def serving(self) -> list[Deployed]:
        return [each for each in self.deployed if each.state == "serving"]

    @property
    def num_starting(self) -> int:
        return sum(each.state == "starting" for each in self.deployed)

    @property
    def num_draining(self) -> int:
        return sum(each.state == "draining" and each.replicas[0].num_requests > 0 for each in self.deployed)

    def want(self, replicas: int) -> None:
        now_s = self.fleet.clock.now
        self.wants.append((now_s, replicas))
        self.target = replicas
        mine = [each for each in self.deployed if each.state in ("starting", "serving")]
        for _ in range(replicas - len(mine)):
            new = Deployed()
            self.deployed.append(new)
            if self.startup_s < float("inf"):
                self.fleet.clock.call(now_s + self.startup_s, COMPLETION, lambda new=new: self._join(new))
        mine.reverse()
        newest = sorted(mine, key=lambda each: each.state == "serving")
        for each in newest[: max(0, len(mine) - replicas)]:
            if each.state == "serving":
                self.fleet.door.left(each.replicas[0])
            each.state = "gone" if each.state == "starting" else "draining"

    def _join(self, new: Deployed) -> None:
        if new.state == "starting":
            new.state, new.replicas = "serving", [self._make()]
            self.fleet.door.joined(new.replicas[0])


@dataclass
class Run:
    """What came of a scaled run; ``wants`` are the changes of the target, ``ticks`` replicas serving over time."""

    record: RunRecord
    wants: list[tuple[float, int]]
    serving: list[tuple[float, int]]


def play_scaled(
    requests: list[Request],
    autoscale: dict[str, Any],
    *,
    replicas: int = 1,
    startup_s: float = 5.0,
    seats: int = 64,
    tokens: int = 400_000,
    cost: StageCost = TENTH,
    stages: int = 1,
    router: type[Router] = LeastRequests,
    admission: Admission = Admission(),  # noqa: B008
    fast_forward: bool = True,
    max_concurrency: int | None = None,
    until_s: float | None = None,
    **keys: Any,
) -> Run:
    """Serve ``requests`` with one pool that is scaled as ``autoscale`` says; the laws of every run are checked."""
    scenario = scenario_of(autoscale, replicas, **keys)
    clock, log = Clock(), StepLog()
    fleet = Fleet(clock, RequestList(requests, max_concurrency))

    def make() -> Replica:
        limits = Limits(seats, 2048, 10_000)
        return fleet.add(
            make_engine(len(fleet.replicas), log, ChunkedPrefill, num_kv_tokens=tokens, limits=limits,
                        stages=[cost] * stages, fast_forward=fast_forward)
        )  # fmt: skip

    supply = PlainSupply(fleet, scenario.fleet[0], startup_s, make)
    opened = router(fleet.replicas, None, Setting(clock))
    fleet.open({"": opened, scenario.model.ref: opened}, admission)
    autoscaling = Autoscaling(fleet, [supply], scenario)
    fleet.when_over = autoscaling.stop
    serving: list[tuple[float, int]] = []

    def sample() -> None:
        serving.append((clock.now, len(supply.serving)))
        if len(fleet.requests) < len(requests):
            clock.call(clock.now + 1.0, COMPLETION, sample)

    clock.call(0.0, COMPLETION, sample)
    clock.run_all(until_s)
    fleet.close()
    entries = [
        ReplicaRecord(r.engine.index, "main", "none", stages, r.engine.kv.num_blocks, 16, r.engine.stages)
        for r in fleet.replicas
    ]
    record = RunRecord(fleet.requests, log, entries, clock.now, events=clock.events)
    check(record)
    return Run(record, supply.wants, serving)


def poisson(seed: int, rate: float, count: int, output: int = 100) -> list[Request]:
    """``count`` requests of Poisson arrivals, one prompt token and ``output`` tokens each."""
    times = np.cumsum(np.random.default_rng(seed).exponential(1 / rate, count)).tolist()
    return [Request(i, time_s, 1, output) for i, time_s in enumerate(times)]
