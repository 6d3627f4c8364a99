"""A pool whose replicas come and go: what it holds, what it deploys, and what happens when it loses some."""

from __future__ import annotations

from itertools import count
from typing import Any

from llmsim.engine.request import Request
from llmsim.files.prices import PoolPrices, pool_prices
from llmsim.measure.fleet_log import FleetEvent, FleetLog, Kind
from llmsim.measure.ledger import Holding
from llmsim.sim.build import PoolPlan
from llmsim.sim.clock import COMPLETION
from llmsim.sim.failures import Repairs
from llmsim.sim.fleet import Fleet
from llmsim.sim.instances import Deployment, Instance
from llmsim.sim.maker import Maker
from llmsim.sim.market import Market
from llmsim.sim.moves import Moves
from llmsim.sim.reclaims.base import Reclaim
from llmsim.sim.reclaims.restart import Restart
from llmsim.spec.base import Strict
from llmsim.spec.spot import Spot
from llmsim.workload.availability import Availability


class Supply:
    """Keeps as many replicas of a pool as are wanted, as far as there is capacity.

    A spot pool takes what the market offers, spread over zones, and on-demand instances where its
    fallback says so; any other pool takes on-demand instances. What can be had at 0 s serves at 0 s.
    A replica about to be reclaimed is replaced as soon as notice is given.

    Args:
        plan: The pool.
        fleet: Where its replicas join.
        maker: Makes replicas.
        moves: Carries weights and KV.
        log: Told of every change.
        availability: Of spot capacity; None for a pool on demand.
        reclaim: What a reclaim does to the requests.

    Attributes:
        target: Replicas wanted.
        deployments: Those there are, in order of deployment.
        holdings: What was held, and given back or taken.
    """

    def __init__(
        self,
        plan: PoolPlan,
        fleet: Fleet,
        maker: Maker,
        moves: Moves,
        log: FleetLog,
        availability: Availability | None = None,
        reclaim: type[Reclaim] = Restart,
        reclaim_options: Strict | None = None,
    ) -> None:
        self.plan, self.pool = plan, plan.pool
        self.fleet, self.clock = fleet, fleet.clock
        self.moves = moves
        self.target = self.pool.replicas
        self.deployments: list[Deployment] = []
        self.holdings: list[Holding] = []
        self.reclaim = reclaim(self, reclaim_options)
        self._maker = maker
        self._log = log
        self._prices: PoolPrices = pool_prices(self.pool)
        self._repairs = Repairs(self)
        self._instances: list[Instance] = []
        self._numbers = count()
        self._opening = True
        zones = availability.zones if availability else ()
        self._has_zones = len(zones) > 1
        """Whether capacity comes from several zones; a single one is the pool's own, whatever its trace calls it."""
        self._home = self.pool.zone or (zones[0] if self._has_zones else "")
        """Where instances on demand are: beside the spot ones."""
        spot = self.pool.spot
        self._market = self._open_market(spot, availability) if spot and availability else None

    # --- what others ask ------------------------------------------------------------------------

    def open(self) -> None:
        """Deploy what can be had at 0 s; it serves at once."""
        self.adjust()
        self._opening = False
        if self._market:
            self._market.open()
        self._repairs.expect()

    def want(self, replicas: int) -> None:
        """Change the number of replicas wanted."""
        if replicas != self.target:
            self.target = replicas
            self.adjust()

    @property
    def serving(self) -> list[Deployment]:
        """Deployments that take requests, in order. Pure query."""
        return [each for each in self.deployments if each.state == "serving"]

    @property
    def num_starting(self) -> int:
        """Deployments that will take requests. Pure query."""
        return sum(each.state == "starting" for each in self.deployments)

    @property
    def num_draining(self) -> int:
        """Deployments that only finish what they have. Pure query."""
        return sum(each.state == "draining" for each in self.deployments)

    @property
    def startup_s(self) -> float:
        """Time from wanting one more replica until it runs its image: what is known of its start beforehand."""
        return self.pool.provisioning.startup_delay_s

    @property
    def instances(self) -> list[Instance]:
        """What it holds, in order. Pure query."""
        return list(self._instances)

    def close(self) -> None:
        """The run is over: what is held was held until now."""
        for instance in self.instances:
            self._end_holding(instance)

    # --- towards the target ---------------------------------------------------------------------

    def adjust(self) -> None:
        """Ask for what is missing, let go of what is too much."""
        spot = self.pool.spot
        if spot is None:
            self._adjust(is_spot=False, wanted=self.target)
        else:
            base = min(spot.base_ondemand_fallback_replicas, self.target)
            self._adjust(is_spot=True, wanted=self.target - base + spot.num_overprovision * bool(self.target))
            serving = sum(each.is_spot for each in self._sound() if each.state == "serving")
            missing = max(0, self.target - base - serving) if spot.dynamic_ondemand_fallback else 0
            self._adjust(is_spot=False, wanted=base + missing)
        for instance in [each for each in self._instances if each.free == each.devices]:
            self._give_back(instance)

    def _sound(self) -> list[Deployment]:
        """Deployments that serve or will, none of them about to be taken. Pure query."""
        never = float("inf")
        return [d for d in self.deployments if d.state in ("starting", "serving") and d.deadline_s == never]

    def _adjust(self, *, is_spot: bool, wanted: int) -> None:
        mine = [each for each in self._sound() if each.is_spot is is_spot]
        for _ in range(wanted - len(mine)):
            if not self._deploy(is_spot=is_spot):
                return
        extra = len(mine) - wanted
        if extra > 0:
            newest_first = mine[::-1]
            for deployment in sorted(newest_first, key=lambda each: each.state == "serving")[:extra]:
                self.drain(deployment)

    def _deploy(self, *, is_spot: bool) -> bool:
        """Find devices for one more replica, on what is held or on more; False where there are none."""
        needed = self.plan.plan.num_devices * self.pool.data_parallel_size
        parts: list[tuple[Instance, int]] = []
        for instance in self._instances:
            if (
                instance.is_spot is is_spot
                and instance.deadline_s == float("inf")
                and instance.free
                and needed
            ):
                parts.append((instance, min(instance.free, needed)))
                needed -= parts[-1][1]
        while needed > 0:
            held = self._acquire(is_spot=is_spot, needed=needed)
            if held is None:
                return False
            parts.append((held, min(held.free, needed)))
            needed -= parts[-1][1]
        zone = parts[0][0].zone or None if self._has_zones else None
        devices = sum(number for _, number in parts)
        deployment = Deployment(parts, self.moves.place(self.pool, devices, zone))
        self.deployments.append(deployment)
        ready_s = max(self.clock.now, *(instance.ready_s for instance, _ in parts))
        if self._opening:
            self._serve(deployment)
        else:
            self.clock.call(ready_s, COMPLETION, lambda: self._load(deployment))
        return True

    def _acquire(self, *, is_spot: bool, needed: int) -> Instance | None:
        """One more instance, or None where the market has no more."""
        now_s = self.clock.now
        size = self._prices.num_accelerators if self.pool.instance else needed
        if is_spot:
            zones = self._market.zones() if self._market else []
            if not zones:
                return None
            zone = min(zones, key=self._held_there)
            name = self._market.take(zone) if self._market else ""
        else:
            zone, name = self._home, f"{self.pool.name}/{next(self._numbers)}"
        delay_s = 0.0 if self._opening else self._repairs.wait_s() + self.pool.provisioning.startup_delay_s
        instance = Instance(name, zone, size, is_spot=is_spot, held_s=now_s, ready_s=now_s + delay_s)
        self._instances.append(instance)
        self.note("requested", instance.name)
        return instance

    def _held_there(self, zone: str) -> int:
        return sum(instance.zone == zone for instance in self._instances if instance.is_spot)

    # --- the life of a replica ------------------------------------------------------------------

    def _load(self, deployment: Deployment) -> None:
        """Its instances run: the weights come."""
        if deployment.state == "starting":
            peers = [each.place for each in self.serving if each.place is not None]
            self.moves.load_weights(self.plan, deployment, peers, lambda: self._serve(deployment))

    def _serve(self, deployment: Deployment) -> None:
        """The weights are there."""
        if deployment.state != "starting":
            return
        deployment.replicas = self._maker.make(self.plan)
        for replica in deployment.replicas:
            replica.place = deployment.place
        if len(deployment.parts) == 1:
            deployment.parts[0][0].replica_index = deployment.replicas[0].engine.index
        if self._opening:
            deployment.state = "serving"
            self.note("serving")
        else:  # once their processes have begun
            self.clock.call(self.clock.now, COMPLETION, lambda: self._join(deployment))

    def _join(self, deployment: Deployment) -> None:
        """It takes requests from now on."""
        if deployment.state == "starting":
            deployment.state = "serving"
            self.note("serving")
            for replica in deployment.replicas:
                self.fleet.joined(replica)
            self.adjust()

    def drain(self, deployment: Deployment) -> None:
        """It takes no more requests, and goes when it has none."""
        if deployment.state == "starting":
            self._end(deployment)
            return
        self.leave(deployment)
        self.note("draining")
        for replica in deployment.replicas:
            replica.when_empty(lambda: self._drained(deployment))

    def leave(self, deployment: Deployment) -> None:
        """It takes no more requests."""
        if deployment.state == "serving":
            deployment.state = "draining"
            for replica in deployment.replicas:
                self.fleet.left(replica)

    def _drained(self, deployment: Deployment) -> None:
        if deployment.state == "draining" and deployment.is_empty:
            self._end(deployment)
            self.adjust()

    def _end(self, deployment: Deployment) -> None:
        """It is gone: its devices are free, its transfers lost."""
        deployment.state = "gone"
        self.deployments.remove(deployment)
        self.moves.leave(deployment)
        for replica in deployment.replicas:
            self._maker.end(replica)
        for instance, number in deployment.parts:
            instance.free += number

    # --- the market -----------------------------------------------------------------------------

    def _open_market(self, spot: Spot, availability: Availability) -> Market:
        return Market(
            self.clock,
            availability,
            spot.notice_s,
            changed=self.adjust,
            noticed=self._notice,
            taken=self._take,
            held_in=self._names_in,
        )

    def _names_in(self, zone: str) -> list[str]:
        """Spot instances held in ``zone``, the newest first. Pure query."""
        return [each.name for each in reversed(self._instances) if each.is_spot and each.zone == zone]

    def _notice(self, name: str, deadline_s: float) -> None:
        instance = self._called(name)
        instance.deadline_s = deadline_s
        self.note("notice", name)
        for deployment in [each for each in self.deployments if each.is_on(instance)]:
            if deployment.state == "starting":
                self._end(deployment)
            else:
                self.reclaim.noticed(deployment, deadline_s)
        self.adjust()

    def _take(self, name: str) -> None:
        self.lose(self._called(name), "reclaimed")

    def lose(self, instance: Instance, kind: Kind) -> None:
        """``instance`` is gone this moment, with all that was on it."""
        hit: list[tuple[Request, int]] = []
        for deployment in [each for each in self.deployments if each.is_on(instance)]:
            hit += self.stop(deployment)
        self._end_holding(instance)
        self.note(
            kind,
            instance.name,
            requests=sum(tokens > 0 for _, tokens in hit),
            lost_tokens=sum(tokens for _, tokens in hit),
        )
        for req, tokens in hit:
            self.fleet.start_over(req, tokens)
        self.adjust()

    def stop(self, deployment: Deployment) -> list[tuple[Request, int]]:
        """It ends in the middle of whatever it does; returns its requests, each with its tokens of KV."""
        hit = self.halt(deployment)
        self._end(deployment)
        return hit

    def halt(self, deployment: Deployment) -> list[tuple[Request, int]]:
        """Its replicas stop; it stays where it is. Returns its requests, each with its tokens of KV."""
        self.leave(deployment)
        hit: list[tuple[Request, int]] = []
        for replica in deployment.replicas:
            hit += self.fleet.stop(replica)
        return hit

    def let_go(self, deployment: Deployment) -> None:
        """It has nothing left to do."""
        if deployment.state != "gone":
            self._end(deployment)
            self.adjust()

    def _called(self, name: str) -> Instance:
        return next(instance for instance in self._instances if instance.name == name)

    # --- books ----------------------------------------------------------------------------------

    def _give_back(self, instance: Instance) -> None:
        self._end_holding(instance)
        if instance.is_spot and self._market:
            self._market.give_back(instance.name, instance.zone)
        self.note("released", instance.name)

    def _end_holding(self, instance: Instance) -> None:
        instance.is_held = False
        self._instances.remove(instance)
        self.holdings.append(
            Holding.of_pool(
                self.pool.name,
                self._prices,
                instance.devices,
                is_spot=instance.is_spot,
                accelerator=self.plan.accelerator.name,
                start_s=instance.held_s,
                end_s=self.clock.now,
                replica=instance.replica_index,
                instance=instance.name,
                instance_type=self.pool.instance or "",
                zone=instance.zone,
            )
        )

    def note(self, kind: Kind, instance: str = "", **counts: Any) -> None:
        """Write down a change; ``counts`` are the other fields of :class:`FleetEvent`."""
        serving = len(self.serving)
        self._log.add(FleetEvent(self.clock.now, kind, self.pool.name, instance, serving, **counts))
