"""vLLM V1 in full: its queue policies and its limits on long prompts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from llmsim.engine.batch import Batch
from llmsim.engine.kv.base import KVCache
from llmsim.engine.ordered_queue import OrderedQueue
from llmsim.engine.request import Request
from llmsim.engine.scheduler import Limits
from llmsim.engine.schedulers.chunked_prefill import ChunkedPrefill
from llmsim.spec.base import Place, Strict

if TYPE_CHECKING:
    from llmsim.spec.scenario import Scenario


class VllmV1Options(Strict):
    """Options of ``scheduler: {kind: vllm_v1}``, by vLLM's names."""

    policy: Literal["fcfs", "priority"] = Field(
        "fcfs", description="order of the queue: of arrival, or by `priorities` and then of arrival"
    )
    priorities: dict[str, int] = Field(
        {},
        description="priority of request classes, lower first; a class that is not named has what its requests "
        "say (`priority` of workload.clients, 0 by default)",
    )
    long_prefill_token_threshold: int = Field(
        0,
        ge=0,
        description="most tokens of one prompt in an iteration; 0 is no limit",
        json_schema_extra={"unit": "tokens"},
    )
    max_num_partial_prefills: int | None = Field(
        None,
        ge=1,
        description="most prompts that an iteration leaves unfinished; null is no limit, as V1 has none",
    )


class VllmV1(ChunkedPrefill):
    """vLLM V1: running sequences first, decodes before prompts under way, then the queue, in one token budget.

    With the defaults it decides as ``chunked_prefill`` does. Under policy ``priority`` the queue is
    ordered by (priority, arrival), and when the pool is short the running sequence with the greatest
    (priority, arrival) is preempted, wherever it is; a request that waits takes nobody's seat. When
    that sequence is itself the one without a block, V1 leaves those admitted after it out of the step;
    here they go on. ``max_num_partial_prefills`` is V0's flag, which V1 refuses above 1
    (v0.8 to v0.24) and then dropped. Async scheduling is the engine's: ``engine.name`` and ``version``.

    Source: vLLM V1 (v0.9 to 2026), ``vllm/v1/core/sched/scheduler.py`` ``Scheduler.schedule``,
    ``request_queue.py``; V0's ``PartialPrefillMetadata``.
    """

    Options = VllmV1Options
    options: VllmV1Options  # type: ignore[assignment]  # its own keys, in place of the base's
    whole_prompts = False

    def __init__(self, limits: Limits, kv: KVCache, options: Strict | None = None) -> None:
        super().__init__(limits, kv, options)
        self._by_priority = self.options.policy == "priority"
        if self._by_priority:
            self.waiting = OrderedQueue(self.rank)
        self._chunks: list[tuple[Request, int]] = []

    def rank(self, req: Request) -> tuple[int, float, int]:
        """The order under policy ``priority``, the least first. Pure query."""
        return self.options.priorities.get(req.class_name, req.priority), req.arrival_s, req.id

    def share(self, wanted: int, budget: int) -> int:
        """See :class:`ChunkedPrefill`."""
        threshold = self.options.long_prefill_token_threshold
        return min(wanted, budget, threshold) if threshold else min(wanted, budget)

    def may_start(self, req: Request, wanted: int, budget: int) -> bool:
        """See :class:`ChunkedPrefill`."""
        most = self.options.max_num_partial_prefills
        if most is None or self.share(wanted, budget) == wanted:
            return True
        return sum(each.computed + count < each.prefill_target for each, count in self._chunks) < most

    def give_way(self, batch: Batch) -> Request:
        """See :class:`ChunkedPrefill`. Preemptions are few: looking at all that run for one costs little."""
        if not self._by_priority:
            return self.preempt_newest(batch)
        return self.preempt(batch, max(batch.running, key=self.rank))

    def _continue_prompts(
        self, batch: Batch, chunks: list[tuple[Request, int]], budget: int
    ) -> tuple[int, bool]:
        """See :class:`ChunkedPrefill`. Who is preempted gives back the tokens it was given in this step."""
        preempted = False
        for req in list(batch.prefilling):
            if budget <= 0:
                break
            count = self.share(req.prefill_target - req.computed, budget)
            while req in batch.prefilling and not batch.extend(req, req.computed + count):
                decoding = batch.num_decoding
                out = self.give_way(batch)
                preempted = True
                budget += decoding - batch.num_decoding + sum(n for each, n in chunks if each is out)
                chunks[:] = [chunk for chunk in chunks if chunk[0] is not out]
            if req in batch.prefilling:
                chunks.append((req, count))
                budget -= count
        return budget, preempted

    def _admit(self, batch: Batch, chunks: list[tuple[Request, int]], budget: int) -> bool:
        """See :class:`ChunkedPrefill`."""
        self._chunks = chunks
        return super()._admit(batch, chunks, budget)

    def arrival_matters(self) -> bool:
        """See :class:`Scheduler`. By priority, whoever comes may be the next."""
        return self.has_seat() if self._by_priority else super().arrival_matters()

    @classmethod
    def conflicts(cls, options: dict[str, Any], scenario: Scenario, at: Place) -> Iterator[tuple[Place, str]]:
        """See :class:`Scheduler`."""
        if options["priorities"] and options["policy"] == "fcfs":
            yield (*at, "priorities"), "not used with policy fcfs; write `policy: priority`, or remove them"
        if options["policy"] == "priority" and scenario.router.kind == "central_queue":
            yield (
                (*at, "policy"),
                "priority is an order of the server's own queue, and router central_queue lets none form; take another "
                "router",
            )
