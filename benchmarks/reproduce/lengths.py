"""Lengths of which only the means are published."""

from __future__ import annotations

from math import exp, log, sqrt
from statistics import NormalDist
from typing import Any

SHAREGPT, ALPACA = (161.31, 337.99), (19.31, 58.45)
"""Mean tokens of prompts and of answers: vLLM's Figure 11 (Kwon et al. 2023, arXiv 2309.06180)."""
SHAPE = 1.0
"""Standard deviation of the logarithm of a length: only histograms are published. An assumption."""


def cut_lognormal(mean: float, most: int, shape: float = SHAPE) -> dict[str, Any]:
    """A lognormal that is cut at ``most`` tokens and has ``mean`` after that, as a workload says it."""
    normal = NormalDist()

    def cut_mean(mu: float) -> float:
        below = (log(most) - mu) / shape
        return exp(mu + shape**2 / 2) * normal.cdf(below - shape) / normal.cdf(below)

    low, high = 0.0, log(most) + 4 * shape
    while high - low > 1e-9:
        middle = (low + high) / 2
        low, high = (middle, high) if cut_mean(middle) < mean else (low, middle)
    whole = exp(low + shape**2 / 2)
    return {"kind": "lognormal", "mean": whole, "std": whole * sqrt(exp(shape**2) - 1), "max": most}


def pair(means: tuple[float, float], most: int, shape: float = SHAPE) -> dict[str, Any]:
    """``input_tokens`` and ``output_tokens`` of a workload; each is cut at half of ``most``."""
    return {
        "input_tokens": cut_lognormal(means[0], most // 2, shape),
        "output_tokens": cut_lognormal(means[1], most // 2 - 1, shape),
    }
