"""By priority: who is more urgent goes first, and takes the seat of who is less."""

from __future__ import annotations

from pydantic import Field

from llmsim.engine.request import Request
from llmsim.engine.schedulers.ordered import Ordered
from llmsim.spec.base import Strict


class PriorityOptions(Strict):
    """Options of ``scheduler: {kind: priority}``."""

    priorities: dict[str, int] = Field(
        {},
        description="priority of request classes, lower first; a class that is not named has what its requests "
        "say (`priority` of workload.clients, 0 by default)",
    )
    preempt: bool = Field(
        True, description="who is more urgent takes the seat and the blocks of the least urgent one that runs"
    )
    keep_kv: bool = Field(
        True,
        description="who loses its seat keeps its KV until the pool runs short; false recomputes it at once",
    )


class Priority(Ordered):
    """Chunked prefill by priority, lower first; among equals, in order of arrival.

    A request that comes takes the seat, and where the pool is short the blocks, of the least urgent one that runs, at
    a token's boundary; never those of its equals. ``vllm_v1`` with policy ``priority`` orders its queue alike, but
    takes a seat from nobody. Under load the least urgent wait without bound.

    Source: vLLM 0.6.2 (2024), ``Scheduler._schedule_priority_preemption``; best-effort behind real-time work, as in
    REEF (Han et al. 2022, OSDI).
    """

    Options = PriorityOptions
    options: PriorityOptions

    @property
    def preempts(self) -> bool:  # type: ignore[override]  # an option here
        """See :class:`Ordered`."""
        return self.options.preempt

    @property
    def keeps_kv(self) -> bool:  # type: ignore[override]  # an option here
        """See :class:`Ordered`."""
        return self.options.keep_kv

    def rank(self, req: Request, generated: int) -> float:
        """See :class:`Ordered`."""
        return self.options.priorities.get(req.class_name, req.priority)
