"""FastServe's queues: whoever has had little goes first, and nobody need know how long an output is."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from functools import lru_cache
from math import ceil, inf
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from pydantic import Field

from llmsim import plugins
from llmsim.engine.batch import Batch
from llmsim.engine.kv.base import KVCache
from llmsim.engine.ordered_queue import OrderedQueue
from llmsim.engine.plan import StepPlan, Wait
from llmsim.engine.preemption.swap import Swap
from llmsim.engine.request import Request
from llmsim.engine.run import TIE
from llmsim.engine.scheduler import Limits
from llmsim.engine.schedulers.ordered import Lane, Ordered
from llmsim.engine.schedulers.proactive import Mover
from llmsim.spec.base import Place, Strict

if TYPE_CHECKING:
    from llmsim.spec.scenario import Scenario


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
        description="who loses its seat keeps its KV until the pool runs short; false is preempted at once",
    )
    swap: Literal["reactive", "proactive"] = Field(
        "reactive",
        description="proactive moves kept KV to the host before the pool runs short, and back before it is needed, "
        "while iterations run; needs preemption_mode swap",
    )
    idle_cache: float = Field(
        0.1,
        ge=0,
        le=1,
        description="share of the KV blocks that proactive swapping keeps free for those who come",
    )


class Stay(NamedTuple):
    """The way of a request through the queues.

    Attributes:
        queue: The one it joins.
        leaves_at: Tokens generated when the quantum of this one is used up, that of the next, and so on.
    """

    queue: int
    leaves_at: list[int]


KEPT = 1 << 16
"""Ways that are remembered: one for each length of a prompt."""


class SkipJoinQueues(Ordered):
    """Skip-join multi-level feedback queue: the lowest queue runs, first come, first served within one.

    A request joins the first queue whose quantum covers its prompt's time alone, and goes one down whenever it has
    used its queue's quantum up; who waits in a lower queue then takes its seat, at a token's boundary. Time is
    counted as the profile has it for a request alone: the prompt, then so much per token. Who has waited
    ``starve_limit_s`` starts anew in the first queue. KV stays where it is while there is room; then that of the last
    queue goes (:meth:`Ordered.reclaim`). With proactive swapping it goes before, and comes back before it is needed
    (:class:`Mover`): a request is let in when its KV is there, unless others have to make room for it.

    Source: FastServe (Wu et al. 2023, arXiv 2305.05920, §4.2 and §4.3). The number of queues, their ratio, the
    starvation limit and the share of idle cache are assumptions here; KV moves in the order of the queues, which is
    the paper's estimated next scheduled time but for jobs that are about to be promoted.
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
        self._stay_of = lru_cache(KEPT)(self._make_stay)
        self._refused: Request | None = None
        """Who was first when there was no room for it, whatever others gave."""
        self._mover: Mover | None = None
        if self.options.swap == "proactive" and isinstance(kv.preemption, Swap):
            reserve = int(self.options.idle_cache * kv.num_blocks)
            self._mover = Mover(
                kv,
                kv.preemption,
                reserve,
                lambda req: self.rank(req, req.generated),
                self.waiting,
                self._parked,
            )

    @property
    def waits(self) -> bool:  # type: ignore[override]  # an option here
        """See :class:`Scheduler`: for KV that is on its way."""
        return self._mover is not None

    @property
    def keeps_kv(self) -> bool:  # type: ignore[override]  # an option here
        """See :class:`Ordered`."""
        return self.options.keep_kv

    def rank(self, req: Request, generated: int) -> float:
        """See :class:`Ordered`: the queue that ``req`` is in, from 0."""
        stay = self._stay(req)
        return stay.queue + bisect_right(stay.leaves_at, generated - self._promoted.get(req, 0))

    def review_at(self, req: Request, generated: int) -> int | None:
        """See :class:`Ordered`: when its quantum is used up."""
        since = self._promoted.get(req, 0)
        leaves_at = self._stay(req).leaves_at
        following = bisect_right(leaves_at, generated - since)
        return leaves_at[following] + since if following < len(leaves_at) else None

    def _stay(self, req: Request) -> Stay:
        """Of a request that was promoted, since then: it is in the first queue, and its prompt is done with."""
        if req in self._promoted:
            return self._stay_of(0, 0.0)
        prompt_s = self.knows.profile.prefill_s(req.input_tokens)
        return self._stay_of(1, prompt_s)

    def _make_stay(self, tokens_of_prompt: int, prompt_s: float) -> Stay:
        """Where a request joins, and how many tokens it has when it leaves each queue but the last."""
        o = self.options
        token_s = self.knows.profile.decode_s(1) or 1.0
        quantum_s = o.quantum_ms / 1e3 if o.quantum_ms else token_s
        first, leaves_at, granted_s = 0, [], 0.0
        while o.skip_join and first < o.num_queues - 1 and quantum_s * o.quantum_ratio**first < prompt_s:
            first += 1
        for queue in range(first, o.num_queues - 1):
            granted_s += quantum_s * o.quantum_ratio**queue
            tokens = ceil((granted_s - prompt_s) / token_s * (1 - TIE)) + tokens_of_prompt
            leaves_at.append(max(1, tokens))
        return Stay(first, leaves_at)

    def plan(self, batch: Batch, now_s: float) -> StepPlan | Wait | None:  # type: ignore[override]  # KV may be late
        """See :class:`Scheduler`."""
        self._now_s = now_s
        if self._mover:
            self._mover.settle(now_s)
        starved_s = self._next_starved_s()
        while starved_s - TIE * abs(starved_s) <= now_s:
            self._promote(self._starving.popleft())
            starved_s = self._next_starved_s()
        plan = super().plan(batch, now_s)
        if plan is not None:
            plan.until_s = self._next_starved_s()
        return self._move(batch, plan) if self._mover else plan

    def _move(self, batch: Batch, plan: StepPlan | None) -> StepPlan | Wait | None:
        """Start what is to move while ``plan`` runs; it holds until something has, or has to."""
        assert self._mover is not None  # who calls has seen to that
        self._mover.move(self._now_s, may_fetch=not self.waiting or self.waiting[0] is not self._refused)
        next_s = self._mover.next_s
        if plan is None:
            return Wait(next_s) if next_s < inf else None
        plan.until_s = min(plan.until_s, next_s)
        plan.stable_for = max(1, min(plan.stable_for, self._mover.steady(batch, len(self._lanes))))
        return plan

    def _admit(self, batch: Batch, lane: Lane) -> bool:
        """See :class:`Ordered`. Who is first and has its KV elsewhere is waited for, if it can be had."""
        head, mover = self.waiting[0], self._mover
        if mover is None:
            return super()._admit(batch, lane)
        if head in mover.returning:
            return False
        mover.keep(head)
        if mover.swap.is_away(head):
            last = lane.last.least[0] if lane.last else -inf
            if not self.has_seat() and not self._is_before(batch, self.waiting.least, last):
                return False
            if mover.fetch(head, self._now_s):
                return False
        is_in = super()._admit(batch, lane)
        self._refused = None if is_in or not self.has_seat() else head
        return is_in

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
        if self._mover:
            self._mover.ranked_anew(req)

    def submit(self, req: Request) -> None:
        """See :class:`Scheduler`."""
        super().submit(req)
        if self.options.starve_limit_s is not None:
            self._starving.append(req)

    def stopped(self, batch: Batch, req: Request) -> None:
        """See :class:`Ordered`."""
        if self.options.starve_limit_s is not None:
            self._starving.put(req, self._now_s + self.options.starve_limit_s)
        if self._mover:
            self._mover.thrown_out(req)

    def _make_room(self, batch: Batch, lane: Lane, req: Request, rank: float) -> bool:
        """See :class:`Ordered`. Those that leave anyway go first."""
        return self._hurry(lane) or super()._make_room(batch, lane, req, rank)

    def _take_from_last(self, batch: Batch, lane: Lane) -> None:
        """See :class:`Ordered`. Those that leave anyway go first."""
        if not self._hurry(lane):
            super()._take_from_last(batch, lane)

    def _hurry(self, lane: Lane) -> bool:
        if self._mover is None or not self._mover.hurry():
            return False
        lane.moved = True
        return True

    def reclaim(self, req: Request) -> None:
        """See :class:`Ordered`."""
        super().reclaim(req)
        if self._mover:
            self._mover.thrown_out(req)

    def finish(self, batch: Batch, done: Sequence[Request], now_s: float) -> Sequence[Request]:
        """See :class:`Scheduler`."""
        for req in done:
            self._promoted.pop(req, None)
        return super().finish(batch, done, now_s)

    def evacuate(self) -> list[Request]:
        """See :class:`Scheduler`."""
        self._promoted.clear()
        self._starving.clear()
        if self._mover:
            self._mover.clear()
        return super().evacuate()

    @classmethod
    def conflicts(cls, options: dict[str, Any], scenario: Scenario, at: Place) -> Iterator[tuple[Place, str]]:
        """See :class:`Scheduler`."""
        if options["swap"] == "reactive":
            return
        pools = [pool for index, pool in enumerate(scenario.fleet) if at[0] != "fleet" or index == at[1]]
        modes = [scenario.engine_of(pool).preemption_mode.kind for pool in pools]
        if not all(issubclass(plugins.PREEMPTION_MODES.get(mode), Swap) for mode in modes):
            yield (
                (*at, "swap"),
                "proactive needs a host to swap to; write `preemption_mode: swap`, or reactive",
            )
        if not options["keep_kv"]:
            yield (*at, "swap"), "proactive moves the KV that is kept; write `keep_kv: true`, or reactive"
