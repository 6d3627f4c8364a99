"""What FastServe's artifact runs, and what its papers claim of it."""

from __future__ import annotations

from typing import Any

from reproduce import distserve
from reproduce.lengths import ALPACA, SHAREGPT, pair

LIMIT_S = 0.3
"""Seconds per output token at which rates are compared: their plots' dashed line."""
WITHIN = 0.30
RATES: dict[str, tuple[tuple[float, int], ...]] = {
    "ShareGPT": (
        *((0.1, 20), (0.2, 50), (0.5, 100), (1, 200), (1.5, 300), (1.75, 350)),
        *((rate, 400) for rate in (2, 2.25, 2.5, 3, 4, 4.5, 5, 5.5, 6, 10)),
    ),
    "Alpaca": (
        *((1, 100), *((rate, 300) for rate in (3, 5, 8, 11, 11.5, 12, 13, 14, 15))),
        *((17, 340), (20, 400), (30, 600), (40, 800)),
    ),
}
"""(requests/s, prompts sent) of the artifact's runs; between them it takes straight lines."""
LENGTHS = {
    "ShareGPT": distserve.SHAREGPT,
    "Alpaca": pair(ALPACA, 2048),
    "ShareGPT, by means": pair(SHAREGPT, 2048),
    "Alpaca, narrower": pair(ALPACA, 2048, 0.7),
}
"""ShareGPT as OPT-13B's tokeniser has it in DistServe's runs, from the same laboratory; Alpaca has its means only."""
OTHER_LENGTHS = ("ShareGPT, by means", "Alpaca, narrower")
"""Lognormals with vLLM's means, and with a deviation of the logarithm of 0.7."""
SWAP_TOKENS = 85_000
"""KV of OPT-13B, 819,200 bytes per token, that 10 GB of the device and 56 GiB of the host hold."""
SYSTEMS: dict[str, dict[str, Any]] = {
    "FastServe": {
        "scheduler": {
            "kind": "mlfq",
            "quantum_ms": 10,
            "quantum_ratio": 2,
            "num_queues": 24,
            "starve_limit_s": 30,
        },
    },
    "FastServe-FCFS": {"scheduler": "chunked_prefill"},
    "Orca": {"scheduler": "orca"},
    "vLLM": {"name": "vllm", "version": "0.6", "scheduler": "vllm", "num_kv_tokens": 400 * 16},
    "FasterTransformer": {"scheduler": "dynamic", "kv_cache": "contiguous_max", "num_kv_tokens": 16 * 2048},
}
"""Quanta as in the program, whose queues have no end; it looks for who has starved every 1000 iterations of 30 ms."""
MEASURED_FT: dict[str, dict[float, float]] = {
    "ShareGPT": {0.2: 0.499, 0.5: 1.376, 1: 4.492},
    "Alpaca": {1: 0.13, 3: 0.391, 5: 0.81},
}
"""Seconds per token of FasterTransformer at a rate, in the artifact's plots."""
RANGES = {
    ("ShareGPT", "FastServe-FCFS"): (2.0, 4.0),
    ("ShareGPT", "vLLM"): (2.1, 6.1),
    ("ShareGPT", "FasterTransformer"): (31.5, 74.9),
    ("Alpaca", "FastServe-FCFS"): (1.6, 2.0),
    ("Alpaca", "vLLM"): (2.75, 3.5),
    ("Alpaca", "FasterTransformer"): (9.5, 15.8),
}
"""FastServe's rate over theirs at ``LIMIT_S``, OPT-13B to 175B (NSDI'26, Figure 11)."""
TAIL_RANGE = (2.0, 2.8)
"""FastServe's rate over FCFS's where the 95th percentile is ``LIMIT_S``: OPT-13B and 66B (arXiv v3, Figure 12)."""
VERSION_1 = (5.1, 6.4)
"""Average and tail JCT, Orca's over FastServe's, “up to” (arXiv v1)."""
ZIPF_RATES, ZIPF_CV = {1.5: 19.4, 1.0: 3.5}, 4.0
"""Requests/s by exponent, near what 16 seats can serve; and the coefficient of variation of bursts. Assumptions."""
SEEDS = range(3)


def published(lengths: str) -> str:
    """The data set that ``lengths``, a key of ``LENGTHS``, stand for. Pure query."""
    return lengths.partition(",")[0]
