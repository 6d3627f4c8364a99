"""One server as a simpy process: plan, sleep, finish."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence

from llmsim.engine.core import Engine
from llmsim.engine.plan import Wait
from llmsim.engine.request import Request
from llmsim.engine.run import TIE, Run
from llmsim.sim.clock import COMPLETION, SCHEDULING, Alarm, Clock

Delivered = Callable[[Sequence[Request]], None]


class Replica:
    """An engine on the clock. It sleeps through whole runs of iterations.

    An arrival does not break a run: the replica settles to the first iteration boundary at or after
    it, and only there decides anew.

    Args:
        clock: The simulation's clock.
        engine: What it runs.
        delivered: Told of the requests that each run completed.
    """

    def __init__(self, clock: Clock, engine: Engine, delivered: Delivered) -> None:
        self.clock = clock
        self.engine = engine
        self._delivered = delivered
        self._run: Run | None = None
        self._phase = SCHEDULING + engine.index  # at equal times, replicas decide in their order
        self._alarm = Alarm(clock)  # rings for no one until something arrives
        clock.process(self._serve())

    @property
    def num_requests(self) -> int:
        """Requests here, waiting or running. Pure query."""
        return self.engine.num_requests

    @property
    def is_idle(self) -> bool:
        """Whether it sleeps with nothing to run. Pure query."""
        return self._run is None

    def submit(self, req: Request) -> str:
        """``req`` joins this replica's queue, unless it can never run here: then why not."""
        refusal = self.engine.submit(req)
        if not refusal and (self.is_idle or self.engine.scheduler.arrival_matters()):
            self.wake()
        return refusal

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
