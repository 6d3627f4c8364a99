"""Prompt Cache (arXiv 2311.04934): parts of prompts from a store, in the GPU or in the host's memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from reproduce.page import Reproduction, Row, relative
from reproduce.runs import highest, run

BEFORE_MS, AFTER_MS = 286.9, 78.2
"""TTFT of the example on an RTX 4090, without and with reuse."""
MOST_GPU = 8.0
"""Up to how many times lower TTFT is on GPUs."""
OWN = 100
"""Tokens of a prompt that are no document, taken here."""
DOCUMENTS = 4


def ttft_ms(documents_tokens: int, cache: Any) -> float:
    """Median time to first token of single requests, once the documents have been seen."""
    scenario = {
        "model": "llama-2-7b",
        "fleet": {"accelerator": "rtx-4090"},
        "engine": {
            "kv_cache": cache,
            "max_model_len": 8192,
            "max_num_batched_tokens": 8192,
            "max_num_seqs": 1,
            "num_kv_tokens": 16_384,
        },
        "workload": {
            "arrival": {"kind": "constant", "request_rate": 0.2},
            "input_tokens": OWN,
            "output_tokens": 2,
            "num_requests": 20,
            "segments": {
                "tokens": documents_tokens // DOCUMENTS,
                "num_segments": DOCUMENTS,
                "per_prompt": DOCUMENTS,
            },
        },
    }
    requests = run(scenario).record.requests[1:]
    return float(np.median([req.first_token_s - req.arrival_s for req in requests])) * 1e3


def store(place: str) -> dict[str, Any]:
    """Segment reuse with a store in ``place``."""
    return {"kind": "segment", "store": place, "store_tokens": 8192}


def reproduce(data: Path) -> Reproduction:
    """The example, at the length that takes as long without reuse, and the most that reuse gains; needs no ``data``."""
    tokens = int(highest(lambda n: ttft_ms(int(n), "paged") <= BEFORE_MS, 500, 8000, 16))
    before, host, gpu = (
        ttft_ms(tokens, "paged"),
        ttft_ms(tokens, store("host")),
        ttft_ms(tokens, store("gpu")),
    )
    gains = {n: ttft_ms(n, "paged") / ttft_ms(n, store("gpu")) for n in (1000, 2000, 4000, 6000)}
    return Reproduction(
        "Prompt Cache: documents that are not computed again",
        "arXiv 2311.04934 (MLSys'24), abstract; README of yale-sys/prompt-cache",
        f"Llama-2-7B on an RTX 4090, one request at a time; four documents that have been seen, and {OWN} tokens of "
        "its own; `kv_cache: segment`. The example's length is not published: it is taken so long that it takes as "
        "long without reuse.",
        [
            relative(
                f"TTFT of {tokens + OWN:,} tokens without reuse (set)",
                BEFORE_MS,
                before,
                within=0.05,
                unit="ms",
                digits=1,
            ),
            relative("the same, documents in host memory", AFTER_MS, host, within=0.3, unit="ms", digits=1),
            Row(
                "the same, documents in the GPU",
                f"at most {AFTER_MS} ms",
                f"{gpu:.1f} ms",
                f"{before / gpu:.1f}× lower",
                gpu <= AFTER_MS * 1.05,
            ),
            Row(
                "the most that is gained on a GPU",
                f"{MOST_GPU:.0f}×",
                f"{gains[4000]:.1f}× with 4,000 tokens",
                "direction",
                gains[1000] < gains[2000] < gains[4000] < gains[6000] and gains[6000] > MOST_GPU,
            ),
        ],
        [
            "Gain from the GPU by tokens of documents: "
            + ", ".join(f"{n:,}: {gain:.1f}×" for n, gain in gains.items())
            + ". It grows with the length, as the paper has it.",
            "Where the example kept its documents, and which share of it was its own, is not published, so the second "
            "row says no more than that the size is right.",
            "The paper's prototype runs Hugging Face transformers; here it is vLLM's host time and kernels.",
            "The 60× (17,917 to 511 ms) are of inference on a CPU, an i9-13900K, of which the catalogue has none.",
        ],
    )
