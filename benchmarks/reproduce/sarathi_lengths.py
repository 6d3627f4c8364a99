"""Lengths of Sarathi-Serve's two workloads, through the quantiles of the paper (arXiv 2403.02310, Table 2).

Of ``openchat_sharegpt4`` the median and P90 are 1730 and 5696 tokens (prompts) and 415 and 834 (answers), of
``arxiv_summarization`` 7059 and 12985, and 208 and 371. The medians of prompts are as others quote them; the rest
could not be checked against the paper, nor could the deviations: of prompts 2088 and 3638, of answers 101 and 265.
Requests of more than 8192 and 16384 tokens are left out. Lines join these points and end at the longest request.

Prompts of chats so drawn have a standard deviation of 2126. 201 rows from the middle of the trace itself, which is
published (microsoft/sarathi-serve@72339db data/processed_traces), have a mean of 2473 and 418, a median of 2083 and
366, deviations of 2038 and 262, and no correlation to speak of (-0.12). An answer's 101 cannot be right: a mean is
within a deviation of the median, so at most 516, and a tenth of all may not lie more than three deviations above it
(Cantelli). It is not used.

Papers: the quantiles below P90 are those of the lognormal through median and P90, which gives prompts a deviation of
3419. The last 2% of the answers are as long as makes theirs 270.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Trace:
    """One workload.

    Attributes:
        lengths: Keys of a scenario's workload.
        longest: Most tokens of a request, prompt and answer.
        ablation_rate: Requests per second in the script of the ablation.
    """

    lengths: dict[str, Any]
    longest: int
    ablation_rate: float


def _quantiles(**tokens_at: int) -> dict[str, Any]:
    """``p50=415`` says that half the requests have at most 415 tokens."""
    return {
        "kind": "quantiles",
        "percentiles": [int(name[1:]) for name in tokens_at],
        "tokens": list(tokens_at.values()),
    }


TRACES = {
    "sharegpt4": Trace(
        {
            "input_tokens": _quantiles(p0=4, p50=1730, p90=5696, p100=8100),
            "output_tokens": _quantiles(p0=5, p50=415, p90=834, p100=1024),
        },
        longest=8192,
        ablation_rate=1.0,
    ),
    "arxiv": Trace(
        {
            "input_tokens": _quantiles(
                p0=1600, p5=3230, p10=3840, p25=5120, p50=7059, p75=9730, p90=12985, p100=16000
            ),
            "output_tokens": _quantiles(p0=10, p50=208, p90=371, p98=600, p100=2900),
        },
        longest=16384,
        ablation_rate=0.5,
    ),
}
"""By the names of the paper's tables."""
