"""The pools of a scenario at run time: those that stay as they are, and those that change."""

from __future__ import annotations

from collections.abc import Sequence

from llmsim import plugins
from llmsim.files.prices import pool_prices
from llmsim.files.scenario_file import LoadedScenario
from llmsim.measure.fleet_log import Assumed, FleetLog
from llmsim.measure.ledger import Holding
from llmsim.sim.autoscaling import Autoscaling
from llmsim.sim.build import PoolPlan
from llmsim.sim.fleet import Fleet
from llmsim.sim.handover import Handover
from llmsim.sim.maker import Maker
from llmsim.sim.moves import Moves
from llmsim.sim.open_routers import open_decode_routers
from llmsim.sim.options import options_of
from llmsim.sim.patience import WatchedLog
from llmsim.sim.reparallel.pool import MeshPool
from llmsim.sim.supply import Supply
from llmsim.sim.topology import Topology
from llmsim.spec.scenario import Scenario
from llmsim.workload.availability import availability


class Pools:
    """Deploys every pool of a fleet at 0 s, and keeps the supplies of those that change.

    Attributes:
        log: What happened to the fleet; None when no pool can change.
    """

    def __init__(self, loaded: LoadedScenario, plans: Sequence[PoolPlan], fleet: Fleet, maker: Maker) -> None:
        self._fleet = fleet
        self._fixed = [plan for plan in plans if plan.pool.is_fixed]
        changing = [plan for plan in plans if not plan.pool.is_fixed]
        fixed = sum(plan.pool.replicas for plan in self._fixed)
        self.log = (
            WatchedLog(tuple(plan.pool.name for plan in changing), fixed, fleet=fleet) if changing else None
        )
        self._supplies: list[Supply | MeshPool] = []
        scenario = loaded.scenario
        self._topology = Topology(scenario.topology)
        moves = Moves(fleet.clock, self._topology)
        for plan in self._fixed:
            for _ in range(plan.pool.replicas):
                ranks = maker.make(plan)
                if scenario.is_disaggregated:
                    place = moves.place(plan.pool, plan.plan.num_devices * len(ranks))
                    for replica in ranks:
                        replica.place = place
        if self.log is not None:
            self._supplies = [_supply(loaded, plan, fleet, maker, moves, self.log) for plan in changing]
            for supply in self._supplies:
                supply.open()
            fleet.when_over = self._stop
        if scenario.is_disaggregated:
            fleet.handover = _handover(loaded, plans, fleet, moves)

    def scale(self, scenario: Scenario) -> None:
        """Let the pools that have an autoscaler follow it; the fleet is open."""
        scalable = [supply for supply in self._supplies if isinstance(supply, Supply)]
        Autoscaling(self._fleet, scalable, scenario)

    def holdings(self) -> list[Holding]:
        """What was held when, of the whole fleet; empty when nothing could change. Call it when the run is over."""
        if self.log is None:
            return []
        self.log.assumed = [Assumed(*fact) for fact in self._topology.facts()]
        for supply in self._supplies:
            supply.close()
        held = [holding for supply in self._supplies for holding in supply.holdings]
        return held + [_throughout(plan, self._fleet.clock.now) for plan in self._fixed]

    def _stop(self) -> None:
        """The last request is done: nothing that the fleet could still do matters."""
        self._fleet.clock.stopped = True


def _handover(loaded: LoadedScenario, plans: Sequence[PoolPlan], fleet: Fleet, moves: Moves) -> Handover:
    return Handover(
        fleet.clock,
        moves,
        open_decode_routers(loaded, fleet.replicas, fleet.clock),
        loaded.scenario.disaggregation,
        {plan.pool.name: (plan.kv_bytes_per_token, plan.num_layers) for plan in plans},
        ended=fleet.ended,
    )


def _supply(
    loaded: LoadedScenario, plan: PoolPlan, fleet: Fleet, maker: Maker, moves: Moves, log: FleetLog
) -> Supply | MeshPool:
    pool, seed = plan.pool, loaded.scenario.simulation.seed
    spot = pool.spot
    if spot is None:
        return Supply(plan, fleet, maker, moves, log)
    per_replica = -(-plan.plan.num_devices * pool.data_parallel_size // pool_prices(pool).num_accelerators)
    most = pool.autoscale.max_replicas if pool.autoscale else pool.replicas
    there = availability(
        spot, pool=pool.name, instances=(most + spot.num_overprovision) * per_replica, seed=seed
    )
    log.capacity[pool.name] = there.source
    policy = plugins.RECLAIMS.get(spot.on_reclaim.kind)
    options = options_of(policy, spot.on_reclaim)
    whole_pool: type[MeshPool] | None = getattr(policy, "whole_pool", None)
    if whole_pool is not None:
        return whole_pool(loaded, plan, fleet, maker, moves, log, there, options)
    return Supply(plan, fleet, maker, moves, log, there, policy, options)


def _throughout(plan: PoolPlan, end_s: float) -> Holding:
    """A pool that stays as it is, held from 0 s to the end."""
    devices = plan.plan.num_devices * plan.pool.data_parallel_size * plan.pool.replicas
    prices = pool_prices(plan.pool)
    by_type = prices.billed(devices) // prices.num_accelerators
    return Holding.of_pool(
        plan.pool.name,
        prices,
        devices,
        instances=by_type if plan.pool.instance else plan.pool.replicas,
        is_spot=False,
        accelerator=plan.accelerator.name,
        start_s=0.0,
        end_s=end_s,
    )
