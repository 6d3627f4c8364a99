"""Shortest remaining processing time, by what a predictor says."""

from __future__ import annotations

from math import ceil, inf

from pydantic import Field

from llmsim.engine.request import Request
from llmsim.engine.schedulers.sjf import ShortestJobFirst, ShortestJobOptions
from llmsim.spec.attention import FOREVER


class ShortestRemainingOptions(ShortestJobOptions):
    """Options of ``scheduler: {kind: srpt}``."""

    keep_kv: bool = Field(
        True,
        description="who loses its seat keeps its KV until the pool runs short; false is preempted at once",
    )
    preempt_until: float | None = Field(
        None,
        ge=0,
        le=1e6,
        description="share of the predicted output after which a request keeps its seat (TRAIL's c); null is never",
    )


class ShortestRemaining(ShortestJobFirst):
    """The requests with the least work left run; one that comes with less takes the seat of the one with the most.

    A request that outlives its prediction has the work left that the predictor says then. ``aging`` as with ``sjf``.

    Source: Schrage 1968, "A proof of the optimality of the shortest remaining processing time discipline"; for LLMs,
    with preemption limited to the start of an output, Shahout et al. 2024, arXiv 2410.01035 (TRAIL).
    """

    Options = ShortestRemainingOptions
    options: ShortestRemainingOptions
    preempts = True
    falls = True

    @property
    def keeps_kv(self) -> bool:  # type: ignore[override]  # an option here
        """See :class:`Ordered`."""
        return self.options.keep_kv

    def rank(self, req: Request, generated: int) -> float:
        """See :class:`Ordered`."""
        if self.options.preempt_until is not None and generated >= self._safe_from(req):
            return -inf
        return super().rank(req, generated)

    def review_at(self, req: Request, generated: int) -> int | None:
        """See :class:`Ordered`: when its seat is safe, or the prediction is used up."""
        safe = self._safe_from(req)
        return None if generated >= safe else min(safe, self.knows.predictor.tokens(req, generated))

    def _safe_from(self, req: Request) -> int:
        """Tokens generated from which on ``req`` keeps its seat. Pure query."""
        share = self.options.preempt_until
        return FOREVER if share is None else max(1, ceil(share * self.knows.predictor.said(req)))
