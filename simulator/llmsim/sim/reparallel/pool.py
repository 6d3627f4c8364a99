"""A pool whose pipelines are laid out anew over all of its instances whenever some come or go."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from math import inf
from typing import Any

from llmsim.errors import Problem, ScenarioError
from llmsim.files.scenario_file import LoadedScenario
from llmsim.measure.fleet_log import FleetEvent, FleetLog, Kind
from llmsim.measure.ledger import Holding
from llmsim.sim.build import PoolPlan
from llmsim.sim.clock import COMPLETION
from llmsim.sim.fleet import Fleet
from llmsim.sim.maker import Maker
from llmsim.sim.moves import Moves
from llmsim.sim.reparallel.held import HeldInstances
from llmsim.sim.reparallel.mesh import Configuration, Device
from llmsim.sim.reparallel.migration import latest_stop_s
from llmsim.sim.reparallel.options import MeshOptions
from llmsim.sim.reparallel.plans import Plans
from llmsim.sim.reparallel.rates import rates_of
from llmsim.sim.reparallel.running import Hit, Running
from llmsim.sim.reparallel.switch import Arrival, Pipeline, Switch, plan_switch
from llmsim.sim.reparallel.wanted import Wanted
from llmsim.sim.routers.central_queue import CentralQueue
from llmsim.workload.availability import Availability


class MeshPool:
    """Takes every instance the market offers; on a notice, or when instances join, lays its pipelines out anew.

    Decoding goes on until just before the bytes have to move to be there in time (just-in-time arrangement).
    A change while bytes are on their way waits for them. What can be had at 0 s serves at 0 s.
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
        self._name = plan.pool.name
        if plan.pool.autoscale is not None:
            message = "is laid out over every instance there is; remove `autoscale`, or limit it by `most_instances`"
            raise ScenarioError(Problem(f"fleet pool '{self._name}'", message))
        self._fleet, self._clock, self._maker, self._log = fleet, fleet.clock, maker, log
        self._options, self._tactics = options, options.tactics
        self._plans = Plans(loaded, plan, as_published=options.estimate == "spotserve")
        self._running: dict[int, Running] = {}
        self._next = self._review = 0
        self._will_look = False
        self._busy_until_s = 0.0
        self._held = HeldInstances(
            self._clock,
            plan,
            there,
            options.most_instances,
            options.engine_start_s if self._tactics.from_peers else 0.0,  # otherwise part of every restart
            note=self._note,
            changed=self._look,
            lost=self._lost,
        )
        self._rates = rates_of(moves.topology, plan.pool, self._held.per_instance)
        self._wishes = Wanted(self._plans, options, self._held.per_instance)
        self._wishes.refuse_too_little(self._name, min(there.most, options.most_instances or there.most))

    @property
    def holdings(self) -> list[Holding]:
        """What was held, and given back or taken."""
        return self._held.holdings

    def open(self) -> None:
        """Lay out what can be had at 0 s; it serves at once."""
        self._held.open()
        config = self._wanted()
        for arrival in self._planned(config, {}).arrivals:
            self._add(arrival, config).open(self._plan_of(config))
        self._note("serving")
        self._held.let_time_pass()

    def close(self) -> None:
        """The run is over."""
        self._held.close()

    # --- decisions ------------------------------------------------------------------------------

    def _look(self) -> None:
        """Decide at the end of this moment, when all its news are known."""
        if not self._will_look:
            self._will_look = True
            self._clock.call(self._clock.now, COMPLETION, self._decide)

    def _decide(self) -> None:
        """If another layout is due, say when the pipelines stop for it."""
        self._will_look = False
        config = self._wanted()
        if self._stands(config):
            return
        stop_s = now_s = self._clock.now
        used = {device.instance for each in self._running.values() for device in each.shape.devices}
        deadline_s = min(map(self._held.deadline_s, used), default=inf)
        if deadline_s < inf:
            most = self._plans.batch * self._plans.context_tokens
            full = {number: each.holding(most) for number, each in self._running.items()}
            seconds = self._planned(config, full).seconds if self._tactics.from_peers else 0.0
            stop_s = latest_stop_s(now_s, deadline_s, seconds + self._options.switch_s)
        self._review += 1
        self._clock.call(max(stop_s, self._busy_until_s), COMPLETION, partial(self._switch, self._review))

    def _wanted(self) -> Configuration | None:
        """The configuration for the instances there are; None where no pipeline fits."""
        return self._wishes.config(len(self._held.usable()))

    def _stands(self, config: Configuration | None) -> bool:
        """Whether the pipelines are as ``config`` wants them, on instances that stay."""
        shapes = [each.shape for each in self._running.values()]
        if config is None:
            return not shapes
        usable = set(self._held.usable())
        alike = all((shape.stages, shape.ranks) == (config.stages, config.ranks) for shape in shapes)
        return alike and len(shapes) == config.pipelines and all(s.devices.keys() <= usable for s in shapes)

    def _planned(
        self, config: Configuration | None, old: dict[int, Pipeline], senders: Sequence[Device] | None = None
    ) -> Switch:
        """What it takes to get from ``old`` to ``config``."""
        plans = self._plans
        if config is None:
            return Switch([], [])
        return plan_switch(
            config,
            self._held.usable(),
            old,
            plans.model,
            self._rates,
            self._tactics,
            senders=senders,
            decode_s=plans.decode_s(self._plan_of(config), config.batch),
            buffer_bytes=plans.buffer_bytes(config.stages, config.ranks),
        )

    def _plan_of(self, config: Configuration | None) -> PoolPlan:
        plan = self._plans.of(config.stages, config.ranks) if config else None
        assert plan is not None  # or it would not have been chosen
        return plan

    # --- pipelines ------------------------------------------------------------------------------

    def _switch(self, review: int) -> None:
        """Stop what has to, and let the new pipelines begin when their bytes are there."""
        if review != self._review:
            return
        config = self._wanted()
        old = {number: each.holding(each.tokens) for number, each in self._running.items()}
        switch = self._planned(config, old)
        if self._clock.now + switch.seconds > self._held.deadline_s() * (1 + 1e-9):
            switch = self._planned(config, old, self._held.usable())  # the doomed cannot send all of it
        stopped = {n: self._running.pop(n).stop() for n in list(self._running) if n not in switch.stay}
        kept, lost = self._hand_over(switch, config, stopped)
        self._note(
            "migrated",
            requests=sum(tokens > 0 for hit in stopped.values() for _, tokens in hit),
            moved_tokens=kept,
            lost_tokens=lost,
            moved_bytes=sum(move.num_bytes for move in switch.plan if move.source),
        )

    def _hand_over(
        self, switch: Switch, config: Configuration | None, stopped: dict[int, Hit]
    ) -> tuple[int, int]:
        """Requests of stopped pipelines go to new ones, or back; returns the tokens kept, and those lost."""
        options, kept = self._options, 0
        overhead_s = options.switch_s if self._tactics.from_peers else options.engine_start_s
        back: Hit = []
        for arrival in switch.arrivals:
            running = self._add(arrival, config)
            hit = stopped[arrival.context] if arrival.context is not None else []
            running.contexts = [entry for entry in hit if entry[1]] if arrival.has_kv else []
            kept += running.tokens
            ready_s = self._clock.now + overhead_s + arrival.ready_s
            self._busy_until_s = max(self._busy_until_s, ready_s)
            start = partial(running.start, self._plan_of(config), partial(self._note, "serving"))
            self._clock.call(ready_s, COMPLETION, start)
        goes_on = {req for running in self._running.values() for req, _ in running.contexts}
        back = [entry for hit in stopped.values() for entry in hit if entry[0] not in goes_on]
        return kept, self._send_back(back)

    def _add(self, arrival: Arrival, config: Configuration | None) -> Running:
        assert config is not None
        running = Running(Pipeline(config.stages, config.ranks, arrival.devices), self._fleet, self._maker)
        self._running[self._next] = running
        self._next += 1
        return running

    def _lost(self, name: str) -> None:
        """``name`` is gone this moment; pipelines still on it are lost."""
        on_it = [
            n for n, each in self._running.items() if any(d.instance == name for d in each.shape.devices)
        ]
        hit = [entry for number in on_it for entry in self._running.pop(number).stop()]
        lost = self._send_back(hit)
        self._note("reclaimed", name, requests=sum(tokens > 0 for _, tokens in hit), lost_tokens=lost)

    def _send_back(self, hit: Hit) -> int:
        """Requests that have lost their KV take their turn again, by arrival; returns the tokens lost."""
        for req, tokens in hit:
            req.moves += 1
            req.lost_tokens += tokens
            if not self._tactics.keeps_tokens:
                req.discarded_tokens += req.generated
                req.generated, req.prefill_target = 0, req.input_tokens
        for req in sorted((req for req, _ in hit), key=lambda req: -req.arrival_s):
            router = self._fleet.door.routers[req.model]
            if isinstance(router, CentralQueue):
                router.put_first(req)
            else:
                self._fleet.door.come_back(req)
        return sum(tokens for _, tokens in hit)

    def _note(self, kind: Kind, instance: str = "", **counts: Any) -> None:
        serving = sum(each.serves for each in self._running.values())
        self._log.add(FleetEvent(self._clock.now, kind, self._name, instance, serving, **counts))
