"""Orca (OSDI'22): GPT-3 175B on sixteen A100, against FasterTransformer at the same latency."""

from __future__ import annotations

from pathlib import Path
from statistics import median
from typing import Any

from reproduce.page import Reproduction, relative
from reproduce.runs import highest, run

LIMIT_S = 0.190
"""Median latency per output token at which rates are compared."""
FASTERTRANSFORMER, ORCA = 0.185, 6.81
"""Requests per second at that latency (Figure 10b)."""
MOST_OUTPUT, LONGEST = 128, 640
FT_BATCHES = (1, 8)
"""``max_bs`` of its best two, with a micro-batch as large: one batch is under way at a time."""
ORCA_BATCH = 32
"""``max_bs``; a batch for each of the two pipeline stages is in flight."""
ENGINES: dict[str, dict[str, Any]] = {
    "orca": {"scheduler": "orca", "kv_cache": "paged"},
    "fastertransformer": {"scheduler": "dynamic", "kv_cache": "contiguous_max"},
}


def scenario(system: str, rate: float, *, batch: int, num_requests: int) -> dict[str, Any]:
    """``system`` with at most ``batch`` requests in a batch."""
    return {
        "model": "gpt-3-175b",
        "fleet": {
            "accelerator": "a100-sxm-40gb",
            "tensor_parallel_size": 8,
            "pipeline_parallel_size": 2,
        },
        "engine": {
            "name": "fastertransformer",
            "max_num_seqs": 2 * batch if system == "orca" else batch,
            "max_num_batched_tokens": 16384,
            "max_model_len": LONGEST,
            **ENGINES[system],
        },
        "workload": {
            "arrival": {"kind": "poisson", "request_rate": rate},
            "input_tokens": {"kind": "uniform", "min": 32, "max": 512},
            "output_tokens": {"kind": "uniform", "min": 1, "max": MOST_OUTPUT},
            "max_tokens": MOST_OUTPUT,
            "num_requests": num_requests,
        },
    }


def median_latency_s(system: str, rate: float, *, batch: int, num_requests: int) -> float:
    """Median over requests of end-to-end latency per output token."""
    requests = run(scenario(system, rate, batch=batch, num_requests=num_requests)).record.requests
    return median((req.finish_s - req.arrival_s) / req.output_tokens for req in requests)


def rate_at_limit(system: str, batch: int, *, num_requests: int, most: float) -> float:
    """The highest rate with a median of ``LIMIT_S``, to a hundredth of ``most``; 0 where none has it."""

    def meets(rate: float) -> bool:
        return median_latency_s(system, rate, batch=batch, num_requests=num_requests) <= LIMIT_S

    return highest(meets, 0.0, most, most / 100)


def rates(num_requests: int = 3000) -> dict[str, float]:
    """Requests/s at the limit: FasterTransformer by its batch, and Orca."""
    found = {
        f"FasterTransformer, max_bs {batch}": rate_at_limit(
            "fastertransformer", batch, num_requests=num_requests // 4, most=2.0
        )
        for batch in FT_BATCHES
    }
    return found | {"Orca": rate_at_limit("orca", ORCA_BATCH, num_requests=num_requests, most=16.0)}
