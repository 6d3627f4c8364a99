"""Earliest deadline first: deadlines are what the SLO promises a request's class."""

from __future__ import annotations

from collections.abc import Iterator
from math import inf
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from llmsim.engine.request import Request
from llmsim.engine.schedulers.ordered import Ordered
from llmsim.spec.base import Place, Strict

if TYPE_CHECKING:
    from llmsim.spec.scenario import Scenario


class DeadlineOptions(Strict):
    """Options of ``scheduler: {kind: edf}``."""

    deadline: Literal["ttft", "e2el"] = Field(
        "ttft",
        description="what is due: the first token (arrival + ttft_ms of the request's class) or the last (e2el_ms)",
    )
    preempt: bool = Field(
        True, description="who is due earlier takes the seat of who is due last, which keeps its KV while there is room"
    )  # fmt: skip


class EarliestDeadline(Ordered):
    """Chunked prefill, the earliest deadline first; a class without a target goes last, in order of arrival.

    Source: Liu and Layland 1973, "Scheduling algorithms for multiprogramming in a hard-real-time environment";
    Dertouzos 1974: on one server, whenever every deadline can be met, this order meets them.
    """

    Options = DeadlineOptions
    options: DeadlineOptions

    @property
    def preempts(self) -> bool:  # type: ignore[override]  # an option here
        """See :class:`Ordered`."""
        return self.options.preempt

    def rank(self, req: Request, generated: int) -> float:
        """See :class:`Ordered`."""
        return self.due_s(req)

    def due_s(self, req: Request) -> float:
        """When ``req`` has to have its first, or last, token; ∞ where its class is promised nothing. Pure query."""
        targets = self.knows.targets_of(req.class_name)
        limit_ms = targets.ttft_ms if self.options.deadline == "ttft" else targets.e2el_ms
        return inf if limit_ms is None else req.arrival_s + limit_ms / 1e3

    @classmethod
    def conflicts(cls, options: dict[str, Any], scenario: Scenario, at: Place) -> Iterator[tuple[Place, str]]:
        """See :class:`Scheduler`."""
        slo, key = scenario.slo, f"{options['deadline']}_ms"
        if all(getattr(targets, key) is None for targets in (slo, *slo.classes.values())):
            yield (
                at,
                f"goes by deadlines, and no class has one: write `{key}` under `slo` or one of its `classes`, or "
                "another `deadline`",
            )
