"""Replicas are made, numbered, and written down."""

from __future__ import annotations

from llmsim.measure.records import ReplicaRecord, StepLog
from llmsim.sim.build import PoolPlan
from llmsim.sim.fleet import Fleet
from llmsim.sim.replica import Replica


class Maker:
    """Makes replicas of pools, numbered in the order of their making, and keeps a record of each."""

    def __init__(self, fleet: Fleet, log: StepLog, *, fast_forward: bool) -> None:
        self.records: list[ReplicaRecord] = []
        self._fleet = fleet
        self._log = log
        self._fast_forward = fast_forward

    def make(self, plan: PoolPlan) -> list[Replica]:
        """One replica of ``plan``'s pool: an engine for each data-parallel rank."""
        return [self._rank(plan) for _ in range(plan.pool.data_parallel_size)]

    def _rank(self, plan: PoolPlan) -> Replica:
        engine = plan.engine(len(self._fleet.replicas), self._log, fast_forward=self._fast_forward)
        replica = self._fleet.add(engine, plan.front_end, plan.pool.role)
        replica.pool, replica.model = plan.pool.name, plan.model_name
        self.records.append(plan.record(engine))
        return replica
