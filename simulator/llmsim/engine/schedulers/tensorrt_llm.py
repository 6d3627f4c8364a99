"""TensorRT-LLM's in-flight batching: mixed iterations, with or without a reservation to the end."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from llmsim.engine.request import Request
from llmsim.engine.schedulers.chunked_prefill import ChunkedPrefill
from llmsim.spec.base import Strict


class TensorRTLLMOptions(Strict):
    """Options of ``scheduler: {kind: tensorrt_llm}``."""

    capacity_scheduler_policy: Literal["guaranteed_no_evict", "max_utilization"] = Field(
        "guaranteed_no_evict",
        description="guaranteed_no_evict: a request starts when its longest output has room; max_utilization: when "
        "the next iteration has, and the newest is paused when the pool runs out",
    )
    enable_chunked_context: bool = Field(
        False, description="cut prompts where max_num_batched_tokens ends; otherwise they wait for room"
    )


class TensorRTLLM(ChunkedPrefill):
    """In-flight batching: tokens of running requests first, then prompts, in one iteration.

    ``guaranteed_no_evict`` takes a request in only if the pool holds it, and all that run, to their
    longest outputs: nothing is ever paused, and blocks that are reserved stay empty for a while.
    ``max_utilization`` fills the pool; a paused request loses its KV and is computed anew. Without
    chunked context a prompt waits for an iteration with room for all of it; one that is longer than
    ``max_num_batched_tokens``, which TensorRT-LLM refuses, is cut here.

    Source: NVIDIA TensorRT-LLM 1.0, ``capacityScheduler.cpp`` and ``microBatchScheduler.cpp``; its
    documentation of ``CapacitySchedulerPolicy`` and of chunked context.
    """

    Options = TensorRTLLMOptions
    options: TensorRTLLMOptions  # type: ignore[assignment]  # its own keys, in place of the base's

    @property
    def whole_prompts(self) -> bool:
        """See :class:`ChunkedPrefill`."""
        return not self.options.enable_chunked_context

    def room(self, req: Request, tokens: int) -> int:
        """See :class:`ChunkedPrefill`."""
        reserves = self.options.capacity_scheduler_policy == "guaranteed_no_evict"
        return self.longest(req) if reserves else tokens
