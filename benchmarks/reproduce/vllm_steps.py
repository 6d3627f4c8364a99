"""Where the time of saturated steps goes: why twice the batch is not twice the rate of OPT-175B."""

from __future__ import annotations

from dataclasses import dataclass

import llmsim
from llmsim.cost.engines import engine_profile

HOST = engine_profile("vllm", "0.2").host


@dataclass(frozen=True)
class Steps:
    """Steps of a run that always had requests waiting.

    Attributes:
        sequences: Mean sequences of a step without prompts.
        step_s: Mean seconds of such a step.
        share: Share of the time that goes to such steps; the rest brings prompts in.
        preempted: Preemptions per request that came to its end.
    """

    sequences: float
    step_s: float
    share: float
    preempted: float

    def rate(self) -> float:
        """Tokens per second. Pure query."""
        return self.share * self.sequences / self.step_s


def steps_of(result: llmsim.Result, after_s: float) -> Steps:
    """The steps of ``result`` that start after ``after_s``."""
    log = result.record.steps
    kept = log.column("start_s") >= after_s
    duration, count = log.column("duration_s")[kept], log.column("iterations")[kept]
    decodes = log.column("prefill_tokens")[kept] == 0
    return Steps(
        float((log.column("sequences")[kept] * count)[decodes].sum() / count[decodes].sum()),
        float(duration[decodes].sum() / count[decodes].sum()),
        float(duration[decodes].sum() / duration.sum()),
        result.summary["preemptions"] / result.summary["completed"],
    )


def compared(few: Steps, many: Steps) -> str:
    """Batch and step of ``few`` and ``many``, in words."""
    return (
        f"{few.sequences:.0f} sequences in steps of {few.step_s * 1e3:.0f} ms against {many.sequences:.0f} in steps of "
        f"{many.step_s * 1e3:.0f} ms, {many.sequences / few.sequences:.2f}× the batch in "
        f"{many.step_s / few.step_s:.2f}× the step"
    )


def fixed_s(orca: Steps, vllm: Steps, wanted: float) -> float:
    """Seconds that every step of both would have to take longer for ``vllm`` to gain ``wanted``."""
    few, many = wanted * orca.share * orca.sequences, vllm.share * vllm.sequences
    return (few * vllm.step_s - many * orca.step_s) / (many - few)


def remark(smaller: tuple[Steps, Steps], larger: tuple[Steps, Steps], wanted: float) -> str:
    """Why vLLM gains less than ``wanted`` with the larger model; (Orca's steps, vLLM's) of each."""
    orca, vllm = larger
    return (
        "175B misses from below, because it is no longer memory that decides. Orca (Oracle) against vLLM under more "
        f"load than they can serve, OPT-66B: {compared(*smaller)}; OPT-175B: {compared(orca, vllm)}. KV to read grows "
        "with the batch, and beyond 128 rows the matrix products are bound by arithmetic. Steps with prompts take "
        f"{1 - orca.share:.0%} and {1 - vllm.share:.0%} of 175B's time, those of {vllm.preempted:.2f} recomputed "
        f"preemptions per request included. That leaves {vllm.rate() / orca.rate():.2f}×. The paper says so of Figure "
        "12f, this model with Alpaca's lengths: “compute-bound rather than memory-bound”. It publishes no times of "
        f"steps. With {fixed_s(orca, vllm, wanted) * 1e3:.0f} ms more per step for either system, whatever the batch, "
        f"it would be {wanted:g}×; here the host takes {HOST.iteration_s.value * 1e3:g} ms and "
        f"{HOST.sequence_s.value * 1e6:g} µs per sequence of each step."
    )
