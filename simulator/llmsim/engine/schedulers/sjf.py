"""Shortest job first, by what a predictor says of the jobs."""

from __future__ import annotations

from pydantic import Field

from llmsim.engine.request import Request
from llmsim.engine.schedulers.ordered import Ordered
from llmsim.spec.base import Strict


class ShortestJobOptions(Strict):
    """Options of ``scheduler: {kind: sjf}``."""

    prompt_token_iterations: float | None = Field(
        None, ge=0, le=1e3, description="decode iterations a prompt token is worth; null is 1 / max_num_batched_tokens"
    )  # fmt: skip
    aging: float = Field(
        0.0,
        ge=0,
        le=1e9,
        description="decode iterations by which a request counts as shorter for each second since it arrived; "
        "0 lets long ones starve",
        json_schema_extra={"unit": "1/s"},
    )


class ShortestJobFirst(Ordered):
    """Chunked prefill, the shortest job first: work is the prompt and the output that the predictor says.

    Nobody who runs loses its seat to a shorter one. With ``aging`` a job of work W that has waited W / aging seconds
    goes before everyone who comes from then on, so that nobody starves. Without a predictor, the shortest prompt.

    Source: Conway, Maxwell and Miller 1967, "Theory of Scheduling", §8; for outputs by prediction, Qiu et al. 2024,
    arXiv 2404.08509 (SSJF).
    """

    Options = ShortestJobOptions
    options: ShortestJobOptions

    def rank(self, req: Request, generated: int) -> float:
        """See :class:`Ordered`. Who waits longer gains on all alike, so only arrivals count, not the time now."""
        o = self.options
        per_token = o.prompt_token_iterations
        if per_token is None:
            per_token = 1 / self.limits.max_num_batched_tokens
        output = self.knows.predictor.remaining(req, generated)
        return (req.prefill_target - req.computed) * per_token + output + o.aging * req.arrival_s
