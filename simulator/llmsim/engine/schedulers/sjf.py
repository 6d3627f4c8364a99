"""Shortest job first, by what a predictor says of the jobs."""

from __future__ import annotations

from pydantic import Field

from llmsim.engine.kv.base import KVCache
from llmsim.engine.request import Request
from llmsim.engine.scheduler import Limits
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

    Source: Conway, Maxwell and Miller 1967, "Theory of Scheduling"; for outputs by prediction, Qiu et al. 2024,
    arXiv 2404.08509 (SSJF).
    """

    Options = ShortestJobOptions
    options: ShortestJobOptions

    def __init__(self, limits: Limits, kv: KVCache, options: Strict | None = None) -> None:
        super().__init__(limits, kv, options)
        given = self.options.prompt_token_iterations
        self._per_prompt_token = 1 / limits.max_num_batched_tokens if given is None else given

    def rank(self, req: Request, generated: int) -> float:
        """See :class:`Ordered`. Who waits longer gains on all alike, so only arrivals count, not the time now."""
        output = self.knows.predictor.remaining(req, generated)
        prompt = (req.prefill_target - req.computed) * self._per_prompt_token
        return prompt + output + self.options.aging * req.arrival_s
