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

    def rate(self, more_s: float = 0.0) -> float:
        """Tokens per second, if each such step took so much longer. Pure query."""
        return self.share * self.sequences / (self.step_s + more_s)


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


def remark(orca: Steps, vllm: Steps, wanted: float) -> str:
    """Why the larger batch gains less than ``wanted``, and with which fixed time per step it would gain that."""
    gain = vllm.rate() / orca.rate()
    longer_s = (
        wanted * orca.share * orca.sequences * vllm.step_s - vllm.share * vllm.sequences * orca.step_s
    ) / (vllm.share * vllm.sequences - wanted * orca.share * orca.sequences)
    return (
        "175B misses from below, because it is no longer memory that decides. Under more load than they can serve, "
        f"Orca (Oracle) runs {orca.sequences:.0f} sequences in steps of {orca.step_s * 1e3:.0f} ms and vLLM "
        f"{vllm.sequences:.0f} in steps of {vllm.step_s * 1e3:.0f} ms: {vllm.sequences / orca.sequences:.2f}× the "
        f"batch, but {vllm.step_s / orca.step_s:.2f}× the step. KV to read grows with the batch, and beyond 128 rows "
        f"the matrix products are bound by arithmetic. Steps with prompts take {1 - orca.share:.0%} and "
        f"{1 - vllm.share:.0%} of the time, those of {vllm.preempted:.2f} recomputed preemptions per request "
        f"included. That leaves {gain:.2f}×. The paper says so of Figure 12f, this model with Alpaca's lengths: "
        "“compute-bound rather than memory-bound”. It publishes no times of steps. With "
        f"{longer_s * 1e3:.0f} ms more per step for either system, whatever the batch, it would be {wanted:g}×; here "
        f"the host takes {HOST.iteration_s.value * 1e3:g} ms and {HOST.sequence_s.value * 1e6:g} µs per sequence of "
        "each step."
    )
