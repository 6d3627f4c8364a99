"""One pipelined server as a simpy process: a micro-batch per stage in flight."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Sequence
from math import inf
from typing import NamedTuple

from simpy.events import Event

from llmsim.engine.batch import Batch
from llmsim.engine.core import Engine
from llmsim.engine.plan import StepPlan, Wait
from llmsim.engine.run import TIE, Run
from llmsim.sim.clock import ARRIVAL, COMPLETION, Alarm, Clock
from llmsim.sim.replica import NO_FRONT_END, Delivered, FrontEnd, Replica

LOOK_AHEAD = 32
"""Iterations per micro-batch that are launched ahead of time while nothing needs a decision."""


class Pass(NamedTuple):
    """One iteration of a micro-batch on its way through the stages.

    Attributes:
        batch, plan: What it computes.
        start_s, end_s: When it was planned and its KV was there, and when it leaves the last stage.
        free_s: When each stage is free again after it.
        stable_until: The micro-batch's iteration for which it has to be planned anew.
    """

    batch: Batch
    plan: StepPlan
    start_s: float
    end_s: float
    free_s: tuple[float, ...]
    stable_until: int


class PipelinedReplica(Replica):
    """An engine whose stages are resources: each serves one pass at a time, first come, first served.

    A micro-batch is planned anew when its pass has left the last stage, so as many passes are in
    flight as there are stages with work, and bubbles emerge. While every micro-batch only decodes,
    passes are launched ahead by the same recurrence, without a plan or an event each; an arrival
    takes back those that have not been launched by then.
    """

    def __init__(
        self, clock: Clock, engine: Engine, delivered: Delivered, front_end: FrontEnd = NO_FRONT_END
    ) -> None:
        self._passes: list[Pass] = []  # in order of launch, which is the order of their ends
        self._free_s: tuple[float, ...] = (0.0,) * len(engine.stages)
        self._woken_s = -1.0
        """When something has changed last: plans from before are not carried on."""
        super().__init__(clock, engine, delivered, front_end)

    @property
    def is_idle(self) -> bool:
        """Whether a micro-batch is free to start at once. Pure query."""
        return len({one.batch.lane for one in self._passes}) < len(self.engine.batches)

    @property
    def num_generated(self) -> int:
        """See :class:`Replica`. Passes launched ahead only decode."""
        moment_s = self.clock.now * (1 + TIE)
        done = (one for one in self._passes if one.end_s <= moment_s and one.plan.decodes)
        return self.engine.num_generated + sum(one.batch.num_outputs for one in done)

    def _blocks_given(self) -> int:
        """See :class:`Replica`."""
        moment_s = self.clock.now * (1 + TIE)
        done = Counter(one.batch for one in self._passes if one.end_s <= moment_s and one.plan.decodes)
        return sum(
            batch.growth.need_over(batch.iteration + batch.allocated, passes)
            for batch, passes in done.items()
        )

    @property
    def kv_tokens(self) -> int:
        """See :class:`Replica`."""
        moment_s = self.clock.now * (1 + TIE)
        done = (one for one in self._passes if one.end_s <= moment_s and one.plan.decodes)
        return self.engine.kv_tokens + sum(one.batch.num_sequences for one in done)

    def wake(self) -> None:
        """Something has changed: decide anew when a micro-batch is free, which may be now."""
        now_s = self._woken_s = self.clock.now
        if self.is_idle:
            if self._alarm.time_s > now_s:
                self._take_back(now_s)
                self._alarm = self.clock.move(self._alarm, now_s, self._phase)
        else:
            moment_s = now_s - TIE * now_s
            boundary_s = next(one.end_s for one in self._passes if one.end_s >= moment_s)
            if boundary_s < self._alarm.time_s:
                self._take_back(boundary_s)
                self._alarm = self.clock.move(self._alarm, max(boundary_s, now_s), COMPLETION)

    def _expect(self, enters_s: float, matters: bool) -> None:
        """See :class:`Replica`. What is in flight by then is not known yet, so that moment has its own event."""
        if enters_s > self.clock.now:
            self.clock.at(enters_s, ARRIVAL).callbacks.append(self._entered)
        elif matters:
            self.wake()

    def _entered(self, _: Event) -> None:
        """A request has left the front end."""
        matters = self.is_idle or self.engine.scheduler.arrival_matters()
        self.engine.let_in(self.clock.now)
        if matters:
            self.wake()

    def _finish(self) -> None:
        """See :class:`Replica`: passes that have left the last stage are done."""
        self._finish_passes()
        self._passes.clear()

    def _serve(self) -> Generator[Alarm, None, None]:
        clock = self.clock
        while True:
            pause = self._launch()
            decide_s = self._look_ahead() if self._passes else inf
            if pause is not None and pause.until_s < decide_s:
                self._take_back(pause.until_s)
                self._alarm = clock.at(pause.until_s, self._phase)
            else:
                self._alarm = clock.at(decide_s, COMPLETION) if self._passes else Alarm(clock)
            yield self._alarm
            self._finish_passes()
            moment_s = clock.now * (1 + TIE)
            while (next_s := clock.acts_before(self._phase, moment_s)) is not None:
                self._alarm = clock.at(next_s, self._phase)
                yield self._alarm
                self._finish_passes()

    def _launch(self) -> Wait | None:
        """Plan every micro-batch that is not in flight; returns the shortest declared pause."""
        if self.before_planning:
            self.before_planning()
        pauses: list[Wait] = []
        flying = {one.batch.lane for one in self._passes}
        for batch in self.engine.batches:
            if batch.lane in flying:
                continue
            plan = self.engine.plan(batch, self.clock.now)
            ready_s = self.engine.kv.ready_s(self.clock.now)
            if isinstance(plan, Wait):
                pauses.append(plan)
            elif plan is not None:
                seconds = [self.engine.price(stage, batch, plan, 1)[0] for stage in self.engine.stages]
                self._send(batch, plan, ready_s, seconds, batch.iteration + plan.stable_for)
        if self.engine.scheduler.dropped:
            self._tell_dropped()
        return min(pauses, key=lambda pause: pause.until_s, default=None)

    def _send(
        self, batch: Batch, plan: StepPlan, ready_s: float, seconds: Sequence[float], stable_until: int
    ) -> None:
        """Send one pass through the stages: it enters each when both are ready."""
        time_s = ready_s
        free_s = []
        for stage_free_s, stage_s in zip(self._free_s, seconds, strict=True):
            time_s = max(time_s, stage_free_s) + stage_s
            free_s.append(time_s)
        self._free_s = tuple(free_s)
        self._passes.append(Pass(batch, plan, ready_s, time_s, self._free_s, stable_until))

    def _look_ahead(self) -> float:
        """Launch what is certain to follow; returns when the next decision is due."""
        flying = list(self._passes)
        rounds = self._certain_rounds()
        if rounds > 1:
            lines = [
                [self.engine.price(stage, one.batch, one.plan, rounds) for stage in self.engine.stages]
                for one in flying
            ]
            rounds = min(rounds, *(count for line in lines for _, _, count in line))
            ready = [one.end_s for one in flying]
            for i in range(1, rounds):
                for lane, one in enumerate(flying):
                    seconds = [first_s + i * growth_s for first_s, growth_s, _ in lines[lane]]
                    self._send(one.batch, one.plan, ready[lane], seconds, one.stable_until)
                    ready[lane] = self._passes[-1].end_s
        return self._passes[(max(rounds, 1) - 1) * len(flying)].end_s

    def _certain_rounds(self) -> int:
        """Iterations that every micro-batch in flight will do without a decision. Pure query."""
        if any(one.start_s <= self._woken_s or one.plan.until_s < inf for one in self._passes):
            return 1
        if self.engine.kv.ready_s(self.clock.now) > self.clock.now:  # whoever is planned next waits as well
            return 1
        rounds = min(LOOK_AHEAD, *(self.engine.horizon(one.batch, one.plan) for one in self._passes))
        rounds = min(rounds, *(one.stable_until - one.batch.iteration for one in self._passes))
        while rounds > 1 and self._blocks_needed(rounds) > self.engine.kv.free_blocks:
            rounds //= 2
        return rounds

    def _blocks_needed(self, rounds: int) -> int:
        return sum(one.batch.growth.need_over(one.batch.iteration + 1, rounds - 1) for one in self._passes)

    def _take_back(self, decision_s: float) -> None:
        """Forget the passes launched ahead that would start at or after the decision at ``decision_s``."""
        ended: set[int] = set()
        flying: set[int] = set()
        kept = 0
        for one in self._passes:
            lane = one.batch.lane
            if one.end_s <= decision_s:
                ended.add(lane)
            elif lane in flying or (lane in ended and one.start_s >= decision_s):
                break
            else:
                flying.add(lane)
            kept += 1
        if kept < len(self._passes):
            del self._passes[kept:]
            self._free_s = self._passes[-1].free_s

    def _finish_passes(self) -> None:
        """Complete, in order, the passes that have left the last stage by now."""
        moment_s = self.clock.now * (1 + TIE)
        while self._passes and self._passes[0].end_s <= moment_s:
            one = self._passes.pop(0)
            if one.batch.until_release() == 1:  # it gives blocks back: those it was in flight with come first
                self._allocate(one.end_s)
            waiting = len(self.engine.scheduler.waiting)
            run = Run(one.batch, one.plan, one.start_s, 1, one.end_s - one.start_s, 0.0, waiting)
            delivered = self.engine.complete(run)
            if delivered:
                self._delivered(delivered)
                if self._when_empty:
                    self.tell_if_empty()
        self._allocate(inf)

    def _allocate(self, before_s: float) -> None:
        """Passes launched ahead that have begun ``before_s`` take their blocks."""
        for one in self._passes:
            if one.plan.decodes and not one.batch.allocated and one.start_s < before_s:
                one.batch.allocate_decode()
