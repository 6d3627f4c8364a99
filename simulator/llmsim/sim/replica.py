"""One server as a simpy process: plan, sleep, finish."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import NamedTuple

from llmsim.engine.core import Engine
from llmsim.engine.plan import Wait
from llmsim.engine.request import Request
from llmsim.engine.run import TIE, Run
from llmsim.sim.clock import COMPLETION, SCHEDULING, Alarm, Clock

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
        self.on_the_way = 0
        """Requests in the front end."""
        self._run: Run | None = None
        self._phase = SCHEDULING + engine.index  # at equal times, replicas decide in their order
        self._alarm = Alarm(clock)  # rings for no one until something arrives
        clock.process(self._serve())

    @property
    def num_requests(self) -> int:
        """Requests here: in the front end, waiting or running. Pure query."""
        return self.engine.num_requests + self.on_the_way

    @property
    def num_waiting(self) -> int:
        """Requests here that do not run: in the front end, or in the queue. Pure query."""
        return self.engine.num_waiting + self.on_the_way

    @property
    def num_generated(self) -> int:
        """Tokens generated so far, those of the run under way included. Pure query."""
        run, tokens = self._run, self.engine.num_generated
        if run is not None and run.plan.decodes:
            tokens += run.iterations_before(self.clock.now * (1 + TIE)) * run.batch.num_decoding
        return tokens

    @property
    def is_idle(self) -> bool:
        """Whether it sleeps with nothing to run. Pure query."""
        return self._run is None

    def delay_s(self, req: Request) -> float:
        """Seconds until the engine sees ``req``, which has arrived. Pure query."""
        return self.front_end.delay_s(req)

    def submit(self, req: Request) -> str:
        """``req`` joins this replica's queue, unless it can never run here: then why not."""
        refusal = self.engine.submit(req, None if self.is_idle else self.clock.now)
        if not refusal and (self.is_idle or self.engine.arrival_matters()):
            self.wake()
        return refusal

    def withdraw(self, req: Request) -> bool:
        """``req``, which has not started, gives up; False when it is not in the queue yet."""
        if not self.engine.withdraw(req):
            return False
        self.wake()
        return True

    def wake(self) -> None:
        """Something has changed: decide anew at the next iteration boundary, or now when idle."""
        run, now_s = self._run, self.clock.now
        if run is None:
            if self._alarm.time_s > now_s:
                self._alarm = self.clock.move(self._alarm, now_s, self._phase)
        elif run.iterations > 1:
            boundary = run.iterations_until(now_s)
            if boundary < run.iterations:
                run.cut(boundary)
                self._alarm = self.clock.move(self._alarm, max(run.end_s, now_s), COMPLETION)

    def settle(self) -> None:
        """The simulation stops now: keep the iterations done so far, forget the rest."""
        if self._run is not None:
            self._run.cut(self._run.iterations_before(self.clock.now))
            if self._run.iterations:
                self.engine.complete(self._run)
            self._run = None
        self.engine.close()

    def _serve(self) -> Generator[Alarm, None, None]:
        clock, engine = self.clock, self.engine
        (batch,) = engine.batches
        while True:
            step = engine.begin(batch, clock.now)
            if not isinstance(step, Run):
                self._alarm = clock.at(step.until_s, self._phase) if isinstance(step, Wait) else Alarm(clock)
                yield self._alarm
                continue
            self._run = step
            yield clock.again(self._alarm, step.end_s, COMPLETION)
            self._run = None
            delivered = engine.complete(step)
            if delivered:
                self._delivered(delivered)
            moment_s = clock.now * (1 + TIE)
            while (next_s := clock.acts_before(self._phase, moment_s)) is not None:
                self._alarm = clock.at(next_s, self._phase)
                yield self._alarm
