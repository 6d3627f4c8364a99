"""TGI: decodes stop for new prompts only when enough requests wait, or when the last ones came long ago."""

from __future__ import annotations

from pydantic import Field

from llmsim.engine.batch import Batch
from llmsim.engine.kv.base import KVCache
from llmsim.engine.plan import StepPlan
from llmsim.engine.request import Request
from llmsim.engine.scheduler import Limits, Scheduler
from llmsim.spec.attention import FOREVER
from llmsim.spec.base import Strict


class TGIOptions(Strict):
    """Options of ``scheduler: {kind: tgi}``, by the names of its launcher."""

    waiting_served_ratio: float = Field(
        1.2,
        ge=0,
        le=1e6,
        description="a batch that decodes is stopped for new prompts when this many wait for each that runs",
    )
    max_waiting_tokens: int = Field(
        20,
        ge=0,
        description="decode iterations after the last prompts from which on any that fit stop the batch",
        json_schema_extra={"unit": "tokens"},
    )
    max_batch_prefill_tokens: int | None = Field(
        None,
        ge=1,
        description="most prompt tokens in an iteration; null is max_num_batched_tokens",
        json_schema_extra={"unit": "tokens"},
    )
    max_batch_total_tokens: int | None = Field(
        None,
        ge=1,
        description="most tokens that all running requests may come to have; null is what the KV pool holds",
        json_schema_extra={"unit": "tokens"},
    )


class TGI(Scheduler):
    """Prompts or decodes, by the waiting-served ratio; room is reserved for every longest output.

    A batch that decodes goes on until ``waiting_served_ratio`` requests per running one wait and fit
    together, or ``max_waiting_tokens`` iterations have passed since the last prompts; then those that
    fit are computed in an iteration of their own, and at least one decode follows. Requests start in
    order of arrival, with room for prompt and longest output, so none is preempted. A prompt longer than
    ``max_batch_prefill_tokens``, which TGI refuses, runs alone.

    Source: Hugging Face text-generation-inference 2.0, router ``batching_task`` and ``queue.rs``.
    """

    Options = TGIOptions
    options: TGIOptions

    def __init__(self, limits: Limits, kv: KVCache, options: Strict | None = None) -> None:
        super().__init__(limits, kv, options)
        o = self.options
        self._most_prompt_tokens = o.max_batch_prefill_tokens or limits.max_num_batched_tokens
        most = o.max_batch_total_tokens
        whole = None if most is None else kv.blocks_of(most - most % kv.block_size)
        self._most_blocks = kv.num_blocks if whole is None else min(kv.num_blocks, whole)
        self._last: dict[int, tuple[int, bool]] = {}
        """Lane to the decode iterations it had done by its last prompts, and whether these joined a batch."""
        self._least: dict[int, int] = {}  # lane -> how many requests stop it, as of its last plan
        self._forget()

    def _forget(self) -> None:
        """The head of the queue has changed: what fits has to be found out anew."""
        self._fitting = self._fitting_tokens = self._fitting_blocks = 0
        self._is_cut = False

    def plan(self, batch: Batch, now_s: float) -> StepPlan | None:
        """See :class:`Scheduler`."""
        lane = batch.lane
        last, has_joined = self._last.get(lane, (0, False))
        decoded = batch.iteration - last
        patience = (
            self.options.max_waiting_tokens - 1 - decoded
        )  # TGI counts the prompts' own token as the first
        running = len(batch.running)
        is_free = not running or patience <= 0
        self._least[lane] = 1 if is_free else max(1, int(running * self.options.waiting_served_ratio))
        is_due = decoded > 0 or not running or not has_joined
        if is_due and (chunks := self._admit(batch)):
            self._last[lane] = (batch.iteration, running > 0)
            return StepPlan(chunks, decodes=False)
        if not running:
            return None
        batch.allocate_decode()
        stable_for = patience if patience > 0 else FOREVER
        return StepPlan([], decodes=True, stable_for=stable_for if is_due else 1)

    def _admit(self, batch: Batch) -> list[tuple[Request, int]]:
        """The requests at the head of the queue that fit, if they are enough to stop the batch."""
        least, seats = self._least[batch.lane], self._seats()
        chunks: list[tuple[Request, int]] = []
        self._is_cut = False
        if least > min(len(self.waiting), seats) or self._count_fitting(seats) < least:
            return chunks
        for _ in range(self._fitting):
            req = self.waiting[0]
            if not batch.admit(req, self.longest(req), self.kv.find(req)):
                break
            self.waiting.popleft()
            chunks.append((req, req.prefill_target - req.computed))
        self._forget()
        return chunks

    def _count_fitting(self, seats: int) -> int:
        """How many from the head of the queue fit together. Goes on from where it was the last time."""
        free = self._most_blocks - (self.kv.num_blocks - self.kv.free_blocks)
        if self._fitting_blocks > free:  # another micro-batch has taken some
            self._forget()
        while self._fitting < min(len(self.waiting), seats):
            req = self.waiting[self._fitting]
            tokens = self._fitting_tokens + req.prefill_target - req.computed
            blocks = self._fitting_blocks + self.kv.blocks_of(self.longest(req))
            is_first = not self._fitting
            if (blocks > free and not (is_first and free == self._most_blocks)) or (
                tokens > self._most_prompt_tokens and not is_first
            ):
                self._is_cut = True
                break
            self._fitting, self._fitting_tokens, self._fitting_blocks = self._fitting + 1, tokens, blocks
        return self._fitting

    def withdraw(self, req: Request) -> bool:
        """See :class:`Scheduler`."""
        self._forget()
        return super().withdraw(req)

    def evacuate(self) -> list[Request]:
        """See :class:`Scheduler`."""
        self._forget()
        return super().evacuate()

    def arrival_matters(self) -> bool:
        """See :class:`Scheduler`. Not while too few wait, nor behind those that do not fit."""
        least = min(self._least.values(), default=1)
        return not self._is_cut and least <= min(len(self.waiting) + 1, self._seats())

    def _seats(self) -> int:
        return self.limits.max_num_seqs - self.kv.num_sequences
