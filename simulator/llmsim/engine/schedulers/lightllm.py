"""LightLLM: prompts are let in by the most memory that all running requests will ever hold at once."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from llmsim.engine.batch import Batch
from llmsim.engine.kv.base import KVCache
from llmsim.engine.plan import StepPlan
from llmsim.engine.request import Request
from llmsim.engine.scheduler import Limits, Scheduler
from llmsim.engine.schedulers.future_peak import FuturePeak
from llmsim.spec.attention import FOREVER
from llmsim.spec.base import Strict


class LightLLMOptions(Strict):
    """Options of ``scheduler: {kind: lightllm}``, by the names of its launcher."""

    router_max_wait_tokens: int = Field(
        10,
        ge=1,
        description="decode iterations after which the queue is looked at again",
        json_schema_extra={"unit": "tokens"},
    )
    router_max_new_token_len: int | None = Field(
        None,
        ge=1,
        description="output length that a request is taken to reach at most: more run at once, and some are "
        "paused; null is its longest output",
        json_schema_extra={"unit": "tokens"},
    )


class LightLLM(Scheduler):
    """Prompts or decodes; a prompt starts if the future peak of all running requests fits the pool.

    Every running request is taken to grow to its expected length (its longest output, or what
    ``engine.predictor`` says) and to give its tokens back then; the
    peak of that sum decides, and not the sum of all lengths. Every ``router_max_wait_tokens`` decode
    iterations, and after prompts that were let in, waiting prompts that fit together are computed in an
    iteration of their own, up to ``max_num_batched_tokens``. When the pool runs short all the same, the
    newest is paused and computed anew. With ``kv_cache: token`` the peak is exact; with larger blocks
    what they waste is not in it. Of pipelined micro-batches the peaks are added up.

    Source: ModelTC LightLLM (2024), docs "Router" (Efficient Router), ``ReqQueue._can_add_new_req`` and
    ``RouterManager._step``.
    """

    Options = LightLLMOptions
    options: LightLLMOptions

    def __init__(self, limits: Limits, kv: KVCache, options: Strict | None = None) -> None:
        super().__init__(limits, kv, options)
        self._peaks: dict[int, FuturePeak] = {}  # lane -> its sequences
        self._looked: dict[int, int] = {}  # lane -> iteration of its last prompts

    def remaining(self, req: Request) -> int:
        """Output tokens that ``req`` is taken to have before it when it starts, at least 1. Pure query."""
        output = min(
            self.longest(req) - req.input_tokens,
            self.options.router_max_new_token_len or FOREVER,
            self.knows.predictor.tokens(req, req.generated),
        )
        return max(1, output - req.generated)

    def plan(self, batch: Batch, now_s: float) -> StepPlan | None:
        """See :class:`Scheduler`."""
        lane, wait = batch.lane, self.options.router_max_wait_tokens
        decoded = (batch.iteration - self._looked.get(lane, 0)) % wait
        if (not decoded or not batch.num_decoding) and self.may_admit() and (chunks := self._admit(batch)):
            self._looked[lane] = batch.iteration
            return StepPlan(chunks, decodes=False)
        stable_for = wait - decoded if self.waiting else FOREVER
        while batch.num_decoding and not batch.allocate_decode():
            self._peaks[lane].remove(self.preempt_newest(batch))
            stable_for = 1  # what it gave back may let another micro-batch start
        return StepPlan([], decodes=True, stable_for=stable_for) if batch.num_decoding else None

    def _admit(self, batch: Batch) -> list[tuple[Request, int]]:
        """Prompts in order of arrival, while tokens, seats, and the pool at its fullest last."""
        chunks: list[tuple[Request, int]] = []
        budget = self.limits.max_num_batched_tokens
        while self.waiting and self.has_seat():
            req = self.waiting[0]
            if (chunks and req.prefill_target - req.computed > budget) or not self._start(batch, req):
                break
            self.waiting.popleft()
            count = req.prefill_target - req.computed  # less, where the prefix is cached
            chunks.append((req, count))
            budget -= count
        return chunks

    def _start(self, batch: Batch, req: Request) -> bool:
        """Take ``req`` in, if the pool holds it with the others at their peak. Changes batch and pool, or neither."""
        lane, kv = batch.lane, self.kv
        peak = self._peaks.setdefault(lane, FuturePeak())
        peak.add(req, req.prefill_target + 1, self.remaining(req) - 1, batch.iteration)
        others = sum(peak.tokens(0) for other, peak in self._peaks.items() if other != lane)
        fits = peak.tokens(batch.iteration) + others <= kv.num_tokens or not kv.num_sequences
        if not fits or not batch.admit(req, req.prefill_target, kv.find(req)):
            peak.remove(req)
            return False
        return True

    def finish(self, batch: Batch, done: Sequence[Request], now_s: float) -> Sequence[Request]:
        """See :class:`Scheduler`."""
        for req in done:
            self._peaks[batch.lane].remove(req)
        return super().finish(batch, done, now_s)

    def evacuate(self) -> list[Request]:
        """See :class:`Scheduler`."""
        self._peaks.clear()
        return super().evacuate()
