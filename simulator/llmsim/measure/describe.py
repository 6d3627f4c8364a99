"""A sample in the field names of ``vllm bench serve``: mean, median, std and percentiles."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

PERCENTILES = (50, 90, 95, 99)


def named(
    metric: str, mean: float | None, std: float | None, percentiles: list[float | None]
) -> dict[str, float | None]:
    """``mean_``, ``median_``, ``std_`` and ``pNN_`` of ``metric``, in vLLM's order. Pure query."""
    fields = {f"mean_{metric}": mean, f"median_{metric}": percentiles[0], f"std_{metric}": std}
    return fields | {f"p{p}_{metric}": value for p, value in zip(PERCENTILES, percentiles, strict=True)}


def nothing(metric: str) -> dict[str, float | None]:
    """The same fields for a metric without samples: all None."""
    return named(metric, None, None, [None] * len(PERCENTILES))


def describe(metric: str, sample: Floats) -> dict[str, float | None]:
    """Statistics of ``sample``, NaN left out; None where nothing is left.

    The standard deviation divides by n and percentiles interpolate linearly, as numpy does.
    """
    sample = sample[~np.isnan(sample)]
    if not len(sample):
        return nothing(metric)
    points: list[float | None] = list(np.percentile(sample, PERCENTILES).tolist())
    return named(metric, float(sample.mean()), float(sample.std()), points)


def ratio(numerator: float, denominator: float) -> float | None:
    """``numerator / denominator``; None when the denominator is zero."""
    return float(numerator / denominator) if denominator else None


def thin_sample_note(metric: str, percentile: float, num_samples: int) -> str | None:
    """A warning when fewer than 10 samples lie beyond ``percentile`` (in percent), else None.

    An extreme percentile of a small sample is one of its last order statistics: with k samples beyond
    it, its relative standard error in rank is about 1/√k, a third at ten.
    """
    beyond = num_samples * (100.0 - percentile) / 100.0
    if not num_samples or beyond >= 10.0 - 1e-9:
        return None
    return (
        f"p{percentile:g} of {metric} rests on the {max(1, round(beyond))} slowest of "
        f"{num_samples} requests: "
        f"{round(1000 / (100.0 - percentile))} requests would put 10 beyond it"
    )
