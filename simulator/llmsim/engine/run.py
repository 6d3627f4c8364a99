"""A run: iterations that follow each other without a decision, priced in closed form."""

from __future__ import annotations

from math import ceil, sqrt

from llmsim.engine.batch import Batch
from llmsim.engine.plan import StepPlan

TIE = 1e-9
"""Two times this close, relatively, are the same moment (`design.md` §3)."""


class Run:
    """``iterations`` iterations of one plan; iteration i takes ``first_s + i * growth_s`` seconds.

    Attributes:
        batch, plan: What runs.
        start_s, end_s, lasts_s: When the first iteration starts, the last one ends, and the time between.
        sequences: Sequences in the batch of one iteration.
        decode_kv: KV tokens (full attention) that decoding reads in the first iteration.
        kv_growth: By how much that grows per iteration.
        waiting: Requests left waiting when it started.
    """

    __slots__ = (
        "batch",
        "decode_kv",
        "end_s",
        "first_s",
        "growth_s",
        "iterations",
        "kv_growth",
        "lasts_s",
        "plan",
        "sequences",
        "start_s",
        "waiting",
    )

    def __init__(
        self,
        batch: Batch,
        plan: StepPlan,
        start_s: float,
        iterations: int,
        first_s: float,
        growth_s: float,
        waiting: int,
    ) -> None:
        self.batch = batch
        self.plan = plan
        self.start_s = start_s
        self.first_s = first_s
        self.growth_s = growth_s
        self.waiting = waiting
        self.cut(iterations)
        width = batch.num_sequences if plan.decodes else 0
        self.sequences = width + len(plan.chunks)
        self.decode_kv = batch.context + width if plan.decodes else 0
        self.kv_growth = width

    def duration_s(self, count: int) -> float:
        """Seconds of the first ``count`` iterations: n·A + D·n(n-1)/2. Pure query."""
        return count * self.first_s + self.growth_s * (count * (count - 1) // 2)

    def cut(self, iterations: int) -> None:
        """The run has this many iterations; its length and its end follow."""
        self.iterations = iterations
        self.lasts_s = self.duration_s(iterations)
        self.end_s = self.start_s + self.lasts_s

    def iterations_until(self, time_s: float) -> int:
        """Iterations done at the first boundary at or after ``time_s``; at least 1. Pure query."""
        wanted = time_s - TIE * abs(time_s) - self.start_s
        linear = self.first_s - self.growth_s / 2
        root = linear + sqrt(max(0.0, linear * linear + 2 * self.growth_s * wanted)) if wanted > 0 else 0.0
        count = ceil(2 * wanted / root) if root > 0 else 1
        count = max(1, min(count, self.iterations))
        while count > 1 and self.duration_s(count - 1) >= wanted:  # rounding of the root
            count -= 1
        while count < self.iterations and self.duration_s(count) < wanted:
            count += 1
        return count

    def iterations_before(self, time_s: float) -> int:
        """Whole iterations done by ``time_s``; may be 0. Pure query."""
        count = self.iterations_until(time_s)
        return count if self.start_s + self.duration_s(count) <= time_s * (1 + TIE) else count - 1
