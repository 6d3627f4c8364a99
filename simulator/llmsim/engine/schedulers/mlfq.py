"""FastServe's queues: whoever has had little goes first, and nobody need know how long an output is."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, inf

from pydantic import Field

from llmsim.engine.batch import Batch
from llmsim.engine.kv.base import KVCache
from llmsim.engine.ordered_queue import OrderedQueue
from llmsim.engine.plan import StepPlan
from llmsim.engine.request import Request
from llmsim.engine.run import TIE
from llmsim.engine.scheduler import Limits
from llmsim.engine.schedulers.ordered import Ordered
from llmsim.spec.base import Strict


class QueueOptions(Strict):
    """Options of ``scheduler: {kind: mlfq}``."""

    num_queues: int = Field(6, ge=1, le=64, description="queues, the first one served first")
    quantum_ms: float | None = Field(
        None, gt=0, le=1e6, description="what the first queue grants; null is one decode iteration of a request alone",
        json_schema_extra={"unit": "ms"},
    )  # fmt: skip
    quantum_ratio: float = Field(
        2.0, ge=1, le=100, description="quantum of a queue over that of the one before"
    )
    skip_join: bool = Field(
        True, description="join the first queue whose quantum covers the prompt; false joins the first of all"
    )
    starve_limit_s: float | None = Field(
        10.0, gt=0, le=1e9, description="who waits so long goes to the first queue; null is never",
        json_schema_extra={"unit": "s"},
    )  # fmt: skip
    keep_kv: bool = Field(
        True,
        description="who loses its seat keeps its KV until the pool runs short; false recomputes it at once",
    )


class SkipJoinQueues(Ordered):
    """Skip-join multi-level feedback queue: the lowest queue runs, first come, first served within one.

    A request joins the first queue whose quantum covers its prompt's time alone, and goes one down whenever it has
    used its queue's quantum up; who waits in a lower queue then takes its seat, at a token's boundary. Time is
    counted as the profile has it for a request alone: the prompt, then so much per token. Who has waited
    ``starve_limit_s`` starts anew in the first queue. KV stays where it is while there is room; then that of the last
    queue goes (:meth:`Ordered.reclaim`).

    Source: FastServe (Wu et al. 2023, arXiv 2305.05920) §4, Algorithm 1. Its numbers of queues and its starvation limit
    are not given there: the defaults here are assumptions.
    """

    Options = QueueOptions
    options: QueueOptions
    preempts = True

    def __init__(self, limits: Limits, kv: KVCache, options: Strict | None = None) -> None:
        super().__init__(limits, kv, options)
        self._promoted: dict[Request, int] = {}
        """Tokens that a request had when it was put into the first queue again."""
        self._starving = OrderedQueue(lambda req: req.arrival_s + (self.options.starve_limit_s or inf))
        self._now_s = 0.0

    @property
    def keeps_kv(self) -> bool:  # type: ignore[override]  # an option here
        """See :class:`Ordered`."""
        return self.options.keep_kv

    def rank(self, req: Request, generated: int) -> float:
        """See :class:`Ordered`: the queue that ``req`` is in, from 0."""
        queue, used_up = self._joins(req)
        used = self._used(req, generated)
        while used >= used_up and queue < self.options.num_queues - 1:
            queue += 1
            used_up += self.options.quantum_ratio**queue
        return queue

    def review_at(self, req: Request, generated: int) -> int | None:
        """See :class:`Ordered`: when its quantum is used up."""
        now = self.rank(req, generated)
        if now == self.options.num_queues - 1:
            return None
        queue, used_up = self._joins(req)
        while queue < now:
            queue += 1
            used_up += self.options.quantum_ratio**queue
        missing = (used_up - self._used(req, generated)) / self._token_quanta(req)
        return generated + max(1, ceil(missing))

    def _joins(self, req: Request) -> tuple[int, float]:
        """The queue that ``req`` began in, and its quantum. Pure query."""
        o = self.options
        queue = 0
        if o.skip_join and req not in self._promoted:
            prompt = self._prompt_quanta(req)
            while queue < o.num_queues - 1 and o.quantum_ratio**queue < prompt:
                queue += 1
        return queue, o.quantum_ratio**queue

    def _used(self, req: Request, generated: int) -> float:
        """Quanta of the first queue that ``req`` has had since it joined. Pure query."""
        if req in self._promoted:
            return (generated - self._promoted[req]) * self._token_quanta(req)
        return self._prompt_quanta(req) + (generated - 1) * self._token_quanta(req) if generated else 0.0

    def _quantum_s(self) -> float:
        given_ms = self.options.quantum_ms
        return given_ms / 1e3 if given_ms else self.knows.profile.decode_s(1) or 1.0

    def _prompt_quanta(self, req: Request) -> float:
        return self.knows.profile.prefill_s(req.input_tokens) / self._quantum_s()

    def _token_quanta(self, req: Request) -> float:
        if self.options.quantum_ms is None:
            return 1.0
        return (self.knows.profile.decode_s(1) or 1.0) / self._quantum_s()

    def plan(self, batch: Batch, now_s: float) -> StepPlan | None:
        """See :class:`Scheduler`."""
        self._now_s = now_s
        starved_s = self._next_starved_s()
        while starved_s - TIE * abs(starved_s) <= now_s:
            self._promote(self._starving.popleft())
            starved_s = self._next_starved_s()
        plan = super().plan(batch, now_s)
        if plan is not None:
            plan.until_s = self._next_starved_s()
        return plan

    def _next_starved_s(self) -> float:
        """When the next of those that wait has waited for too long; ∞ for nobody."""
        starving = self._starving
        while starving and starving[0] not in self.waiting:
            starving.popleft()
        return starving.least if starving else inf

    def _promote(self, req: Request) -> None:
        """``req`` has waited for too long: it starts anew in the first queue."""
        self._promoted[req] = req.generated
        self.waiting.append(req)
        if req in self._parked:
            self._parked.append(req)

    def submit(self, req: Request) -> None:
        """See :class:`Scheduler`."""
        super().submit(req)
        if self.options.starve_limit_s is not None:
            self._starving.append(req)

    def stopped(self, batch: Batch, req: Request) -> None:
        """See :class:`Ordered`."""
        if self.options.starve_limit_s is not None:
            self._starving.put(req, self._now_s + self.options.starve_limit_s)

    def finish(self, batch: Batch, done: Sequence[Request], now_s: float) -> Sequence[Request]:
        """See :class:`Scheduler`."""
        for req in done:
            self._promoted.pop(req, None)
        return super().finish(batch, done, now_s)

    def evacuate(self) -> list[Request]:
        """See :class:`Scheduler`."""
        self._promoted.clear()
        self._starving.clear()
        return super().evacuate()
