"""A pool whose pipelines are laid out anew over all of its instances whenever some come or go."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from math import inf
from typing import Any

from llmsim.engine.request import Request
from llmsim.files.prices import pool_prices
from llmsim.files.scenario_file import LoadedScenario
from llmsim.measure.fleet_log import FleetEvent, FleetLog, Kind
from llmsim.measure.ledger import Holding
from llmsim.sim.build import Maker, PoolPlan
from llmsim.sim.clock import COMPLETION, SCHEDULING
from llmsim.sim.fleet import Fleet
from llmsim.sim.market import Market
from llmsim.sim.moves import Moves
from llmsim.sim.reparallel.choose import choose
from llmsim.sim.reparallel.mesh import Configuration, Device
from llmsim.sim.reparallel.migration import latest_stop_s
from llmsim.sim.reparallel.options import MeshOptions, RerouteOptions
from llmsim.sim.reparallel.plans import Plans
from llmsim.sim.reparallel.rates import rates_of
from llmsim.sim.reparallel.switch import Arrival, Pipeline, Switch, plan_switch
from llmsim.sim.replica import Replica
from llmsim.sim.routers.central_queue import CentralQueue
from llmsim.workload.availability import Availability

Hit = list[tuple[Request, int]]
"""Requests, each with the tokens it had in the KV cache."""


@dataclass
class Held:
    """An instance: since when it is held, from when it can be used, when it will be taken."""

    name: str
    zone: str
    held_s: float
    ready_s: float
    deadline_s: float = inf


@dataclass
class Running:
    """A pipeline at run time; without a replica while its bytes are on their way."""

    shape: Pipeline
    replica: Replica | None = None
    contexts: Hit = field(default_factory=list)
    has_joined: bool = False

    @property
    def now(self) -> Pipeline:
        """Its shape, with the KV it has now."""
        tokens = self.replica.kv_tokens if self.replica else sum(tokens for _, tokens in self.contexts)
        return Pipeline(self.shape.stages, self.shape.ranks, self.shape.devices, tokens)

    def full(self, tokens: int) -> Pipeline:
        """Its shape, with as much KV as it may have by the time it stops."""
        return Pipeline(self.shape.stages, self.shape.ranks, self.shape.devices, tokens)


class MeshPool:
    """Takes every instance the market offers; on a notice, or when instances join, lays its pipelines out anew.

    Decoding goes on until just before the bytes have to move to be there in time (just-in-time arrangement).
    A change while bytes are on their way waits for them. What can be had at 0 s serves at 0 s.

    Attributes:
        holdings: What was held, and given back or taken.
    """

    def __init__(
        self,
        loaded: LoadedScenario,
        plan: PoolPlan,
        fleet: Fleet,
        maker: Maker,
        moves: Moves,
        log: FleetLog,
        there: Availability,
        options: MeshOptions,
    ) -> None:
        spot = plan.pool.spot
        assert spot is not None
        self.holdings: list[Holding] = []
        self._pool, self._accelerator = plan.pool, plan.accelerator.name
        self._fleet, self._clock, self._maker, self._log = fleet, fleet.clock, maker, log
        self._options, self._tactics = options, options.tactics
        self._plans = Plans(loaded, plan, as_published=options.estimate == "spotserve")
        self._prices = pool_prices(plan.pool)
        self._per_instance = self._prices.num_accelerators
        self._rates = rates_of(moves.topology, plan.pool, self._per_instance)
        self._instances: dict[str, Held] = {}
        self._running: dict[int, Running] = {}
        self._next = 0
        self._fixed: tuple[int, int] | None = None
        self._waits_for_review = self._opening = False
        self._review = 0
        self._busy_until_s = 0.0
        self._market = Market(
            self._clock,
            there,
            spot.notice_s,
            changed=self._offered,
            noticed=self._noticed,
            taken=self._taken,
            held_in=self._names_in,
        )

    def open(self) -> None:
        """Lay out what can be had at 0 s; it serves at once."""
        self._opening = True
        self._offered()
        config = self._wanted()
        for arrival in self._planned(config, now=True).arrivals:
            self._start(self._add(arrival, config))
        self._opening = False
        self._market.open()

    def close(self) -> None:
        """The run is over: what is held was held until now."""
        for name in list(self._instances):
            self._end_holding(name)

    # --- instances ------------------------------------------------------------------------------

    def _offered(self) -> None:
        """Take what there is, up to the most that is wanted."""
        most = self._options.most_instances or inf
        delay_s = 0.0 if self._opening else self._pool.provisioning.startup_delay_s
        while (zones := self._market.zones()) and len(self._instances) < most:
            name, now_s = self._market.take(zones[0]), self._clock.now
            self._instances[name] = Held(name, zones[0], now_s, now_s + delay_s)
            self._note("requested", name)
            if not self._opening:
                self._clock.call(now_s + delay_s, COMPLETION, self._look)

    def _names_in(self, zone: str) -> list[str]:
        return [each.name for each in reversed(self._instances.values()) if each.zone == zone]

    def _noticed(self, name: str, deadline_s: float) -> None:
        self._instances[name].deadline_s = deadline_s
        self._note("notice", name)
        self._look()

    def _taken(self, name: str) -> None:
        """``name`` is gone this moment; pipelines still on it are lost."""
        self._end_holding(name)
        hit: Hit = []
        for number, running in list(self._running.items()):
            if any(device.instance == name for device in running.shape.devices):
                hit += self._stop(number)
        lost = self._send_back(hit)
        self._note("reclaimed", name, requests=sum(tokens > 0 for _, tokens in hit), lost_tokens=lost)
        self._look()

    def _usable(self) -> list[Device]:
        """Devices that can be used and will stay."""
        now_s = self._clock.now
        sound = [
            each for each in self._instances.values() if each.ready_s <= now_s and each.deadline_s == inf
        ]
        return [Device(each.name, number) for each in sound for number in range(self._per_instance)]

    # --- decisions ------------------------------------------------------------------------------

    def _look(self) -> None:
        """Decide at the end of this moment, when all its news are known."""
        if not self._waits_for_review:
            self._waits_for_review = True
            self._clock.call(self._clock.now, COMPLETION, self._decide)

    def _decide(self) -> None:
        """If another layout is due, say when the pipelines stop for it."""
        self._waits_for_review = False
        config = self._wanted()
        if self._stands(config):
            return
        now_s = self._clock.now
        deadline_s = min(
            (self._instances[d.instance].deadline_s for r in self._running.values() for d in r.shape.devices),
            default=inf,
        )
        if deadline_s < inf:
            seconds = self._planned(config).seconds if self._tactics.from_peers else 0.0
            stop_s = latest_stop_s(now_s, deadline_s, seconds + self._options.switch_s)
        else:
            stop_s = now_s + (self._options.engine_start_s if self._tactics.from_peers else 0.0)
        self._review += 1
        review = self._review
        self._clock.call(max(stop_s, self._busy_until_s), COMPLETION, lambda: self._switch(review))

    def _wanted(self) -> Configuration | None:
        """The configuration for the instances there are."""
        devices, plans = len(self._usable()), self._plans
        rate = self._options.request_rate
        if self._tactics.adapts:
            choice = choose(devices, rate, plans.space, plans.latency_s)
            return choice.config if choice else None
        if self._fixed is None:
            fixed_for = self._options.plan_for if isinstance(self._options, RerouteOptions) else None
            choice = choose(
                fixed_for * self._per_instance if fixed_for else devices, rate, plans.space, plans.latency_s
            )
            if choice is None:
                return None
            self._fixed = choice.config.stages, choice.config.ranks
        stages, ranks = self._fixed
        pipelines = devices // (stages * ranks)
        return Configuration(pipelines, stages, ranks, plans.batch) if pipelines else None

    def _stands(self, config: Configuration | None) -> bool:
        """Whether the pipelines are as ``config`` wants them, on instances that stay."""
        usable = set(self._usable())
        shapes = [running.shape for running in self._running.values()]
        if config is None:
            return not shapes
        alike = all((shape.stages, shape.ranks) == (config.stages, config.ranks) for shape in shapes)
        return alike and len(shapes) == config.pipelines and all(s.devices.keys() <= usable for s in shapes)

    def _planned(self, config: Configuration | None, *, now: bool = False) -> Switch:
        """What it takes to get to ``config``: now, or with as much KV as there may be by then."""
        plans, most = self._plans, self._plans.batch * self._plans.context_tokens
        old = {n: running.now if now else running.full(most) for n, running in self._running.items()}
        decode_s, buffer_bytes = 0.0, inf
        if config is not None:
            plan = plans.of(config.stages, config.ranks)
            assert plan is not None
            decode_s = plans.decode_s(plan, config.batch)
            buffer_bytes = plans.buffer_bytes(config.stages, config.ranks)

        def planned(senders: Sequence[Device] | None) -> Switch:
            return plan_switch(
                config,
                self._usable(),
                old,
                plans.model,
                self._rates,
                self._tactics,
                senders=senders,
                decode_s=decode_s,
                buffer_bytes=buffer_bytes,
            )

        switch = planned(None)
        last_s = min((each.deadline_s for each in self._instances.values()), default=inf)
        if now and self._clock.now + switch.seconds > last_s * (1 + 1e-9):
            return planned(self._usable())  # those about to be taken cannot send all of it
        return switch

    # --- pipelines ------------------------------------------------------------------------------

    def _switch(self, review: int) -> None:
        """Stop what has to, and let the new pipelines begin when their bytes are there."""
        if review != self._review:
            return
        config = self._wanted()
        switch = self._planned(config, now=True)
        contexts = {number: self._stop(number) for number in list(self._running) if number not in switch.stay}
        hit = [entry for hits in contexts.values() for entry in hits]
        new = [self._add(arrival, config) for arrival in switch.arrivals]
        for arrival, running in zip(switch.arrivals, new, strict=True):
            if arrival.context is not None:
                running.contexts = [entry for entry in contexts.pop(arrival.context) if entry[1]]
        moved = {id(req) for running in new for req, _ in running.contexts}
        lost = self._send_back([entry for entry in hit if id(entry[0]) not in moved])
        self._note(
            "migrated",
            requests=sum(tokens > 0 for _, tokens in hit),
            moved_tokens=sum(tokens for running in new for _, tokens in running.contexts),
            lost_tokens=lost,
            moved_bytes=sum(move.num_bytes for move in switch.plan if move.source),
        )
        overhead_s = self._options.switch_s if self._tactics.from_peers else self._options.engine_start_s
        for arrival, running in zip(switch.arrivals, new, strict=True):
            ready_s = self._clock.now + overhead_s + arrival.ready_s
            self._busy_until_s = max(self._busy_until_s, ready_s)
            self._clock.call(ready_s, COMPLETION, partial(self._start, running))

    def _add(self, arrival: Arrival, config: Configuration | None) -> Running:
        assert config is not None
        running = Running(Pipeline(config.stages, config.ranks, arrival.devices))
        self._running[self._next] = running
        self._next += 1
        return running

    def _start(self, running: Running) -> None:
        """Its bytes are there: it goes on with its contexts, then takes new requests."""
        if not self._is_there(running):
            return
        plan = self._plans.of(running.shape.stages, running.shape.ranks)
        assert plan is not None
        (running.replica,) = self._maker.make(plan)
        self._note("serving")
        if self._opening:
            running.has_joined = True  # the routers start with it
        else:  # once its process has begun
            self._clock.call(self._clock.now, COMPLETION, partial(self._resume, running))

    def _resume(self, running: Running) -> None:
        """It forms its first batch of the requests that came with it; then it joins the others."""
        replica = running.replica
        if replica is None or not self._is_there(running):
            return
        for req, tokens in running.contexts:
            req.moves += 1
            req.computed = max(req.computed, min(tokens, req.prefill_target - 1))
            replica.submit(req)
        running.contexts = []
        self._clock.call(self._clock.now, SCHEDULING + replica.engine.index + 1, partial(self._join, running))

    def _join(self, running: Running) -> None:
        if running.replica is not None and self._is_there(running):
            running.has_joined = True
            self._fleet.door.joined(running.replica)

    def _is_there(self, running: Running) -> bool:
        return any(each is running for each in self._running.values())

    def _stop(self, number: int) -> Hit:
        """It ends in the middle of whatever it does."""
        running = self._running.pop(number)
        if running.replica is None:
            return running.contexts
        if running.has_joined:
            self._fleet.door.left(running.replica)
        hit = running.contexts + running.replica.stop()
        if self._fleet.door.watches:
            self._fleet.door.gone([req for req, _ in hit], running.replica)
        return hit

    def _send_back(self, hit: Hit) -> int:
        """Requests that have lost their KV take their turn again, by arrival; returns the tokens lost."""
        for req, tokens in hit:
            req.moves += 1
            req.lost_tokens += tokens
            if not self._tactics.keeps_tokens:
                req.discarded_tokens += req.generated
                req.generated = 0
                req.prefill_target = req.input_tokens
        for req in sorted((req for req, _ in hit), key=lambda req: -req.arrival_s):
            router = self._fleet.door.routers[req.model]
            if isinstance(router, CentralQueue):
                router.put_first(req)
            else:
                self._fleet.door.come_back(req)
        return sum(tokens for _, tokens in hit)

    # --- books ----------------------------------------------------------------------------------

    def _end_holding(self, name: str) -> None:
        held = self._instances.pop(name)
        self.holdings.append(
            Holding.of_pool(
                self._pool.name,
                self._prices,
                self._per_instance,
                is_spot=True,
                accelerator=self._accelerator,
                start_s=held.held_s,
                end_s=self._clock.now,
                instance=name,
                instance_type=self._pool.instance or "",
                zone=held.zone,
            )
        )

    def _note(self, kind: Kind, instance: str = "", **counts: Any) -> None:
        serving = sum(running.replica is not None for running in self._running.values())
        self._log.add(FleetEvent(self._clock.now, kind, self._pool.name, instance, serving, **counts))
