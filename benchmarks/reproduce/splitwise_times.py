"""Splitwise's measured times of Llama-2-70B on one DGX, and the straight line through them.

Source: Mutinifni/splitwise-sim@3780880 data/perf_model.csv (MIT), rows of llama2-70b with TP8; medians of five.
"""

from __future__ import annotations

import numpy as np

PROMPT_TOKENS = (128, 256, 512, 1024, 2048, 4096)
PROMPT_MS = {
    "a100-sxm-80gb": (65.3, 66.8, 94.3, 154.5, 274.2, 661.2),
    "h100-sxm": (58.2, 51.7, 53.4, 77.9, 136.8, 390.3),
}
"""Of one prompt alone."""
BATCHES = (1, 2, 4, 8, 16, 32, 64)
TOKEN_MS = {
    "a100-sxm-80gb": (44.8, 44.6, 45.8, 46.4, 50.4, 53.0, 71.6),
    "h100-sxm": (29.7, 30.3, 31.6, 32.5, 34.1, 38.6, 50.2),
}
"""Between the tokens of so many sequences, each after a prompt of 512."""


def line(accelerator: str) -> dict[str, float | str]:
    """A ``linear`` cost model through prompts and tokens alike, every time with the same relative weight."""
    rows = [(1.0, n, 1.0, n * (n + 1) / 2) for n in PROMPT_TOKENS] + [(1.0, b, b, 0.0) for b in BATCHES]
    times = np.array((*PROMPT_MS[accelerator], *TOKEN_MS[accelerator])) / 1e3
    weighted = np.array(rows) / times[:, None]
    scale = weighted.max(axis=0)
    found = np.linalg.lstsq(weighted / scale, np.ones(len(times)), rcond=None)[0] / scale
    names = ("iteration_s", "per_token_s", "per_sequence_s", "per_prefill_pair_s")
    return {"kind": "linear", **{name: float(value) for name, value in zip(names, found, strict=True)}}


def seconds(cost: dict[str, float | str], tokens: int, sequences: int, pairs: float) -> float:
    """Of one iteration."""
    return (
        float(cost["iteration_s"])
        + float(cost["per_token_s"]) * tokens
        + float(cost["per_sequence_s"]) * sequences
        + float(cost["per_prefill_pair_s"]) * pairs
    )
