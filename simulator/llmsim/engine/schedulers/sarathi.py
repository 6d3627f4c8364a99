"""SARATHI: every prompt in chunks of one size, each with the decodes that fit beside it."""

from __future__ import annotations

from pydantic import Field

from llmsim.engine.batch import Batch
from llmsim.engine.plan import StepPlan
from llmsim.engine.request import Request
from llmsim.engine.scheduler import Scheduler
from llmsim.spec.base import Strict


class SarathiOptions(Strict):
    """Options of ``scheduler: {kind: sarathi}``."""

    chunk_size: int = Field(
        256,
        ge=1,
        description="tokens of an iteration with a prompt in it: its chunk and one of each decoding sequence",
        json_schema_extra={"unit": "tokens"},
    )


class Sarathi(Scheduler):
    """Decode-maximal batches: one chunk of one prompt, and all decodes piggybacked on it.

    The chunk and the decodes are ``chunk_size`` tokens together, so that the matrices keep the
    size that fills their tiles; the last chunk of a prompt may be smaller. One prompt is under way
    at a time. A request is admitted with room for its longest output, as the paper's batches of
    fixed slots are; nothing is preempted. While ``chunk_size`` sequences decode no prompt goes on.

    Source: Agrawal et al. 2023, arXiv 2308.16369, §4.2 and §4.3. Sarathi-Serve's stall-free batching,
    which fills the budget with several prompts, is ``chunked_prefill``.
    """

    Options = SarathiOptions
    options: SarathiOptions

    def plan(self, batch: Batch, now_s: float) -> StepPlan | None:
        """See :class:`Scheduler`."""
        decoding = batch.num_decoding
        left = self.options.chunk_size - decoding
        if decoding:
            batch.allocate_decode()
        req = self._prompt(batch) if left > 0 else None
        chunks = [(req, min(req.prefill_target - req.computed, left))] if req is not None else []
        return StepPlan(chunks, decodes=decoding > 0) if chunks or decoding else None

    def _prompt(self, batch: Batch) -> Request | None:
        """The prompt under way, or the next in the queue if there is a seat and room for it."""
        if batch.prefilling:
            return next(iter(batch.prefilling))
        if not self.waiting or not self.has_seat():
            return None
        req = self.waiting[0]
        return self.waiting.popleft() if batch.admit(req, self.longest(req), self.kv.find(req)) else None
