"""A pool whose replicas come and go: what it holds, what it deploys, and what happens when it loses some."""

from __future__ import annotations

from math import inf
from typing import Any

from llmsim.engine.request import Request
from llmsim.measure.fleet_log import FleetEvent, FleetLog, Kind
from llmsim.measure.ledger import Holding
from llmsim.sim.build import PoolPlan
from llmsim.sim.clock import COMPLETION
from llmsim.sim.estate import Estate
from llmsim.sim.failures import Repairs
from llmsim.sim.fleet import Fleet
from llmsim.sim.instances import Deployment, Instance
from llmsim.sim.maker import Maker
from llmsim.sim.moves import Moves
from llmsim.sim.reclaims.base import Reclaim
from llmsim.sim.reclaims.restart import Restart
from llmsim.spec.base import Strict
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
        self.reclaim = reclaim(self, reclaim_options)
        self._maker = maker
        self._log = log
        self._repairs = Repairs(self)
        self._opening = True
        accelerator = plan.accelerator.name
        self._estate = Estate(self.clock, self.pool, accelerator, availability, self._delay_s)
        if self.pool.spot and availability:
            self._estate.trade(
                availability,
                self.pool.spot.notice_s,
                changed=self.adjust,
                noticed=self._notice,
                taken=lambda instance: self.lose(instance, "reclaimed"),
            )

    # --- what others ask ------------------------------------------------------------------------

    def open(self) -> None:
        """Deploy what can be had at 0 s; it serves at once."""
        self.adjust()
        self._opening = False
        if self._estate.market:
            self._estate.market.open()
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
        return list(self._estate.held)

    @property
    def holdings(self) -> list[Holding]:
        """What was held, and given back or taken. Pure query."""
        return self._estate.holdings

    def close(self) -> None:
        """The run is over: what is held was held until now."""
        for instance in self.instances:
            self._estate.end(instance)

    # --- towards the target ---------------------------------------------------------------------

    def adjust(self) -> None:
        """Ask for what is missing, let go of what is too much."""
        spot, warm = self.pool.spot, self.pool.provisioning.warm_replicas
        if spot is None:
            self._adjust(is_spot=False, wanted=self.target, warm=warm)
        else:
            base = min(spot.base_ondemand_fallback_replicas, self.target)
            more = spot.num_overprovision if self.target else 0
            self._adjust(is_spot=True, wanted=self.target - base + more, warm=warm)
            serving = sum(each.state == "serving" for each in self._sound(is_spot=True))
            missing = max(0, self.target - base - serving) if spot.dynamic_ondemand_fallback else 0
            self._adjust(is_spot=False, wanted=base + missing, warm=0)
        for instance in self._estate.give_back_idle():
            self.note("released", instance.name)

    def _sound(self, *, is_spot: bool) -> list[Deployment]:
        """Deployments that serve, will, or could, and that nobody is about to take. Pure query."""
        return [
            each
            for each in self.deployments
            if each.is_spot is is_spot
            and (each.state != "draining" or each.returns)
            and each.deadline_s == inf
        ]

    def _adjust(self, *, is_spot: bool, wanted: int, warm: int) -> None:
        """So many that serve, and so many more that could at once."""
        for _ in range(wanted + warm - len(self._sound(is_spot=is_spot))):
            if not self._deploy(is_spot=is_spot):
                break
        mine = self._sound(is_spot=is_spot)
        serving = [each for each in mine if each.state == "serving"]
        for deployment in serving[wanted:]:
            deployment.returns = True
            self.drain(deployment)
        for deployment in [each for each in mine if each.state == "warm"][: max(0, wanted - len(serving))]:
            self._join(deployment)
        spare = [each for each in mine if each.state != "serving"]
        spare.sort(key=lambda each: ("draining", "warm", "starting").index(each.state))
        for deployment in spare[len(spare) - max(0, len(mine) - wanted - warm) :]:
            deployment.returns = False
            if deployment.state != "draining":
                self._end(deployment)

    def _deploy(self, *, is_spot: bool) -> bool:
        """Find devices for one more replica, on what is held or on more; False where there are none."""
        known = set(self._estate.held)
        devices = self.plan.plan.num_devices * self.pool.data_parallel_size
        parts = self._estate.find(devices, is_spot=is_spot)
        for instance in self._estate.held:
            if instance not in known:
                self.note("requested", instance.name)
        place = None if parts is None else self.moves.place(self.pool, devices, self._estate.zone_of(parts))
        if parts is None or place is None:
            return False
        deployment = Deployment(parts, place)
        self.deployments.append(deployment)
        ready_s = max(self.clock.now, *(instance.ready_s for instance, _ in parts))
        if self._opening:
            self._serve(deployment)
        else:
            self.clock.call(ready_s, COMPLETION, lambda: self._load(deployment))
        return True

    def _delay_s(self) -> float:
        """Seconds until an instance asked for now runs its image."""
        return 0.0 if self._opening else self._repairs.wait_s() + self.startup_s

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
            deployment.state = "warm"
        else:  # once their processes have begun
            self.clock.call(self.clock.now, COMPLETION, lambda: self._begin(deployment))

    def _begin(self, deployment: Deployment) -> None:
        """It could take requests from now on, and does if it is to."""
        if deployment.state == "starting":
            deployment.state = "warm"
            self.adjust()

    def _join(self, deployment: Deployment) -> None:
        """It takes requests from now on."""
        deployment.state = "serving"
        self.note("serving")
        if not self._opening:  # routers begin with those of 0 s
            for replica in deployment.replicas:
                self.fleet.joined(replica)

    def drain(self, deployment: Deployment) -> None:
        """It takes no more requests; when it has none it goes, or is warm."""
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
            if deployment.returns:
                deployment.state, deployment.returns = "warm", False
            else:
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

    def _notice(self, instance: Instance, deadline_s: float) -> None:
        instance.deadline_s = deadline_s
        self.note("notice", instance.name)
        for deployment in [each for each in self.deployments if each.is_on(instance)]:
            deployment.returns = False
            if deployment.state in ("starting", "warm"):
                self._end(deployment)
            else:
                self.reclaim.noticed(deployment, deadline_s)
        self.adjust()

    def lose(self, instance: Instance, kind: Kind) -> None:
        """``instance`` is gone this moment, with all that was on it."""
        hit: list[tuple[Request, int]] = []
        for deployment in [each for each in self.deployments if each.is_on(instance)]:
            hit += self.stop(deployment)
        self._estate.end(instance)
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

    def note(self, kind: Kind, instance: str = "", **counts: Any) -> None:
        """Write down a change; ``counts`` are the other fields of :class:`FleetEvent`."""
        serving = len(self.serving)
        self._log.add(FleetEvent(self.clock.now, kind, self.pool.name, instance, serving, **counts))
