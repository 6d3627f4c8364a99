"""One server as a simpy process: plan, sleep, finish."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from math import inf
from typing import NamedTuple

from llmsim.engine.core import Engine
from llmsim.engine.plan import Wait
from llmsim.engine.request import Request
from llmsim.engine.run import TIE, Run
from llmsim.sim.clock import COMPLETION, SCHEDULING, Alarm, Clock
from llmsim.sim.places import Place
from llmsim.spec.serving import Role

Delivered = Callable[[Sequence[Request]], None]


class FrontEnd(NamedTuple):
    """Seconds a server spends on a request before its scheduler sees it: API, tokenisation, hand-over."""

    request_s: float = 0.0
    prompt_token_s: float = 0.0

    def delay_s(self, req: Request) -> float:
        """For one request. Pure query."""
        return self.request_s + self.prompt_token_s * req.input_tokens


NO_FRONT_END = FrontEnd()


class Replica:
    """An engine on the clock. It sleeps through whole runs of iterations.

    An arrival does not break a run: the replica settles to the first iteration boundary at or after
    it, and only there decides anew.

    Args:
        clock: The simulation's clock.
        engine: What it runs.
        delivered: Told of the requests that each run completed.
        front_end: Time from a request's arrival until the engine sees it.
    """

    def __init__(
        self, clock: Clock, engine: Engine, delivered: Delivered, front_end: FrontEnd = NO_FRONT_END
    ) -> None:
        self.clock = clock
        self.engine = engine
        self.front_end = front_end
        self._delivered = delivered
        self.pool = "main"
        self.model = ""
        """What it serves: a request's ``model``."""
        self.role: Role = "mixed"
        self.place: Place | None = None
        """Where it sits, in fleets that move data."""
        self.before_planning: Callable[[], None] | None = None
        """Called at each boundary: who else wants something of the KV pool may have it there, not in mid-run."""
        self.when_dropped: Callable[[Replica, Sequence[tuple[Request, str]]], None] | None = None
        """Told of the requests that its scheduler has given up, with the reasons."""
        self.num_parcels = 0
        """Requests that are elsewhere, or nowhere yet, while this replica keeps KV or room for them."""
        self._when_empty: Callable[[], None] | None = None
        self._is_asleep = False
        """Whether nothing runs, and nothing has been planned to run next."""
        self._run: Run | None = None
        self._phase = SCHEDULING + engine.index  # at equal times, replicas decide in their order
        self._alarm = Alarm(clock)  # rings for no one until something arrives
        clock.process(self._serve())

    @property
    def num_requests(self) -> int:
        """Requests here: in the front end, waiting or running. Pure query."""
        return self.engine.num_requests

    @property
    def num_waiting(self) -> int:
        """Requests here that do not run: in the front end, or in the queue. Pure query."""
        return self.engine.num_waiting

    @property
    def num_generated(self) -> int:
        """Tokens generated so far, those of the run under way included. Pure query."""
        run, tokens = self._run, self.engine.num_generated
        if run is not None and run.plan.decodes:
            tokens += run.iterations_before(self.clock.now) * run.batch.num_outputs
        return tokens

    @property
    def kv_usage(self) -> float:
        """Share of its KV blocks that are held, those given out in the run under way included. Pure query."""
        kv = self.engine.kv
        return (kv.num_blocks - kv.free_blocks + self._blocks_given()) / kv.num_blocks

    def _blocks_given(self) -> int:
        """Blocks that iterations done but not settled yet, and the one that runs, have taken. Pure query."""
        run = self._run
        if run is None or not run.plan.decodes:
            return 0
        batch = run.batch
        return batch.growth.need_over(
            batch.iteration + batch.allocated, run.iterations_before(self.clock.now)
        )

    @property
    def kv_tokens(self) -> int:
        """Tokens in the KV cache that its requests would lose with it, the run under way included. Pure query."""
        run, tokens = self._run, self.engine.kv_tokens
        if run is not None and run.plan.decodes:
            tokens += run.iterations_before(self.clock.now) * run.batch.num_sequences
        return tokens

    @property
    def is_idle(self) -> bool:
        """Whether it sleeps with nothing to run. Pure query."""
        return self._run is None

    def submit(self, req: Request) -> str:
        """``req`` goes through the front end and into the queue, unless it can never run here: then why not."""
        engine = self.engine
        refusal = engine.refusal(req)
        if refusal:
            return refusal
        now_s = self.clock.now
        enters_s = now_s + self.front_end.delay_s(req)
        is_idle = self.is_idle
        matters = is_idle or engine.arrival_matters(enters_s)
        seen_at_once = enters_s == now_s and (self._is_asleep or not engine.schedules_ahead)
        engine.kv.expect(req, now_s)
        engine.submit(req, None if seen_at_once else enters_s)
        self._expect(enters_s, matters)
        return ""

    def withdraw(self, req: Request) -> bool:
        """``req``, which has not started, gives up; False when it is not here."""
        if not self.engine.withdraw(req):
            return False
        self.wake()
        self.tell_if_empty()
        return True

    def when_empty(self, then: Callable[[], None]) -> None:
        """Call ``then`` once, when nothing is left here; at the end of this moment if that is so now."""
        self._when_empty = then
        self.tell_if_empty()

    @property
    def is_empty(self) -> bool:
        """Whether nobody needs it: no request is here, and no KV of one that goes to or from here. Pure query."""
        return not self.num_requests and not self.num_parcels

    def tell_if_empty(self) -> None:
        """Something has gone: tell who waits for that, if it was the last."""
        then = self._when_empty
        if then is not None and self.is_empty:
            self._when_empty = None
            self.clock.call(self.clock.now, COMPLETION, then)

    def _tell_dropped(self) -> None:
        """The scheduler has given requests up: they are done."""
        scheduler = self.engine.scheduler
        dropped, scheduler.dropped = scheduler.dropped, []
        if self.when_dropped is not None:
            self.when_dropped(self, dropped)
        self.tell_if_empty()

    def wake(self) -> None:
        """Something has changed: decide anew at the next iteration boundary, or now when idle."""
        run, now_s = self._run, self.clock.now
        if run is None:
            self._wake_idle(now_s)
        elif run.iterations > 1:
            self._cut(run, run.iterations_until(now_s))

    def _expect(self, enters_s: float, matters: bool) -> None:
        """A request gets to the scheduler at ``enters_s``: decide anew when it can join, if it matters."""
        run = self._run
        if not matters:
            return
        if run is None:
            self._wake_idle(enters_s)
        elif run.iterations > 1:
            self._cut(run, self.engine.iterations_until_heard(run, enters_s))

    def _wake_idle(self, time_s: float) -> None:
        if self._alarm.time_s > time_s:
            self._alarm = self.clock.move(self._alarm, time_s, self._phase)

    def _cut(self, run: Run, iterations: int) -> None:
        if iterations < run.iterations:
            run.cut(iterations)
            self._alarm = self.clock.move(self._alarm, max(run.end_s, self.clock.now), COMPLETION)

    def settle(self) -> None:
        """The simulation ends here: keep the iterations done so far, forget the rest."""
        self._finish()
        self.engine.close()

    def stop(self) -> list[tuple[Request, int]]:
        """It is gone, in the middle of whatever it does: an iteration under way is lost, nothing of it fires again.

        Returns:
            Its requests, each with the tokens it had in the KV cache.
        """
        self._finish()
        self._alarm.callbacks = []
        self.engine.kv.now_s = self.clock.now
        return self.engine.evacuate()

    def _finish(self) -> None:
        """Complete the iterations done so far, forget the rest."""
        if self._run is not None:
            self._run.cut(self._run.iterations_before(self.clock.now))
            delivered = self.engine.complete(self._run) if self._run.iterations else ()
            self._run = None
            if delivered:
                self._delivered(delivered)

    def _serve(self) -> Generator[Alarm, None, None]:
        clock, engine = self.clock, self.engine
        (batch,) = engine.batches
        self._alarm = Alarm(clock, clock.now)  # whoever woke it before it had started: it is awake
        while True:
            if self.before_planning:
                self.before_planning()
            step = engine.begin(batch, clock.now)
            if engine.scheduler.dropped:
                self._tell_dropped()
            if not isinstance(step, Run):
                until_s = step.until_s if isinstance(step, Wait) else inf
                if engine.incoming:
                    until_s = min(until_s, engine.incoming[0][0])
                self._alarm = clock.at(until_s, self._phase) if until_s < inf else Alarm(clock)
                self._is_asleep = True
                yield self._alarm
                self._is_asleep = False
                continue
            self._run = step
            yield clock.again(self._alarm, step.end_s, COMPLETION)
            self._run = None
            delivered = engine.complete(step)
            if delivered:
                self._delivered(delivered)
                if self._when_empty:
                    self.tell_if_empty()
            moment_s = clock.now * (1 + TIE)
            while (next_s := clock.acts_before(self._phase, moment_s)) is not None:
                self._alarm = clock.at(next_s, self._phase)
                yield self._alarm
