"""FasterTransformer behind a dynamic batcher, as Orca's authors describe their baseline."""

from __future__ import annotations

from llmsim.engine.batch import Batch
from llmsim.engine.plan import StepPlan, Wait
from llmsim.engine.schedulers.dynamic import Dynamic
from llmsim.plugins import SCHEDULERS

KIND = "fastertransformer"
"""The name it is registered by."""


@SCHEDULERS.register(KIND)
class FasterTransformer(Dynamic):
    """One batch at a time, whose first iteration computes as much of each prompt as the shortest one has.

    What is left of longer prompts then goes through one token an iteration, beside those that generate already. The
    batch is one micro-batch: the stages of a pipeline wait for each other. ``dynamic`` pads to the longest prompt.

    Source: Orca (Yu et al. 2022, OSDI) §6.2, on why larger batches do not help FasterTransformer.
    """

    def plan(self, batch: Batch, now_s: float) -> StepPlan | Wait | None:
        """See :class:`Scheduler`."""
        if batch.prefilling:
            batch.allocate_decode()
            return StepPlan([(req, 1) for req in batch.prefilling], decodes=batch.num_decoding > 0)
        if self.kv.num_sequences and not batch.running:
            return None
        plan = super().plan(batch, now_s)
        if isinstance(plan, StepPlan) and plan.chunks:
            shortest = min(count for _, count in plan.chunks)
            plan.chunks, plan.padded_to = [(req, shortest) for req, _ in plan.chunks], 0
        return plan
