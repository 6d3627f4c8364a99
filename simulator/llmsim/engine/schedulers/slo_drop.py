"""Who cannot be served in time is not served at all: room for those who can."""

from __future__ import annotations

from math import inf
from typing import Literal

from pydantic import Field

from llmsim.engine.batch import Batch
from llmsim.engine.kv.base import KVCache
from llmsim.engine.ordered_queue import OrderedQueue
from llmsim.engine.plan import StepPlan
from llmsim.engine.request import Request
from llmsim.engine.run import TIE
from llmsim.engine.scheduler import Limits
from llmsim.engine.schedulers.edf import DeadlineOptions, EarliestDeadline
from llmsim.spec.base import Strict

TOO_LATE = "could not meet its deadline any more"


class DropOptions(DeadlineOptions):
    """Options of ``scheduler: {kind: slo_drop}``."""

    preempt: bool = Field(False, description="who goes before takes the seat of who goes last")
    order: Literal["arrival", "deadline"] = Field("arrival", description="who waits goes in this order")


class SloDrop(EarliestDeadline):
    """First come, first served, without those who would miss their deadline even if they ran alone from now on.

    They are dropped at the iteration boundary at which that becomes so. What a prompt, and for ``deadline: e2el`` the
    output that the predictor says, takes at least is known from a profile of the server. Who has started is finished.

    Source: AlpaServe (Li et al. 2023, arXiv 2302.11665); Clockwork (Gujarati et al. 2020, OSDI).
    """

    Options = DropOptions
    options: DropOptions
    drops = True

    def __init__(self, limits: Limits, kv: KVCache, options: Strict | None = None) -> None:
        super().__init__(limits, kv, options)
        self._latest = OrderedQueue(self.latest_start_s)

    def rank(self, req: Request, generated: int) -> float:
        """See :class:`Ordered`."""
        return req.arrival_s if self.options.order == "arrival" else self.due_s(req)

    def latest_start_s(self, req: Request) -> float:
        """When ``req`` has to start, alone, to be done in time; ∞ where it need not be. Pure query."""
        due_s, profile, predictor = self.due_s(req), self.knows.profile, self.knows.predictor
        if due_s == inf:
            return inf
        seconds = profile.prefill_s(req.input_tokens, req.computed)
        if self.options.deadline == "e2el" and predictor.is_informed:
            seconds += (predictor.first(req) - 1) * profile.decode_s(req.input_tokens)
        return due_s - seconds

    def submit(self, req: Request) -> None:
        """See :class:`Scheduler`."""
        super().submit(req)
        self._latest.append(req)

    def plan(self, batch: Batch, now_s: float) -> StepPlan | None:
        """See :class:`Scheduler`."""
        late_s = self._next_late_s()
        while late_s + TIE * abs(late_s) < now_s:
            req = self._latest.popleft()
            self.waiting.discard(req)
            self.drop(req, TOO_LATE)
            late_s = self._next_late_s()
        plan = super().plan(batch, now_s)
        if plan is not None:
            plan.until_s = self._next_late_s()
        return plan

    def _next_late_s(self) -> float:
        """When the next of those that wait for their start has waited too long; ∞ for nobody."""
        latest = self._latest
        while latest and (latest[0] not in self.waiting or latest[0].scheduled_s == latest[0].scheduled_s):
            latest.popleft()
        return latest.least if latest else inf

    def evacuate(self) -> list[Request]:
        """See :class:`Scheduler`."""
        self._latest.clear()
        return super().evacuate()

    def arrival_matters(self) -> bool:
        """See :class:`Scheduler`. Whoever comes may be late before anybody else is."""
        return True
