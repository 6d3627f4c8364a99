"""The distribution of each request latency at fixed probability levels, for the curves of a comparison."""

from __future__ import annotations

import numpy as np

from llmsim.measure.requests import RequestTable
from llmsim.measure.slo import REQUEST_METRICS

_TAIL = (0.0, 0.0001, 0.0002, 0.0005, *(step / 1000 for step in range(1, 10)))
_BODY = tuple(step / 100 for step in range(1, 100))
LEVELS: tuple[float, ...] = tuple(
    sorted({*_TAIL, *_BODY, *(round(1 - level, 4) for level in _TAIL), 0.015, 0.025, 0.975, 0.985})
)
"""The 129 probability levels of a curve: hundredths, finer below 1% and above 99%, from least to greatest."""


def curves(table: RequestTable) -> dict[str, list[float]]:
    """Quantiles of ``ttft_ms``, ``tpot_ms`` and ``e2el_ms`` of completed requests, one for each of ``LEVELS``.

    They interpolate linearly, as every percentile of a summary does. A metric without samples has none.
    """
    return {metric: _quantiles(getattr(table, metric)[table.completed]) for metric in REQUEST_METRICS}


def _quantiles(samples: np.ndarray[tuple[int], np.dtype[np.float64]]) -> list[float]:
    samples = samples[~np.isnan(samples)]
    return np.quantile(samples, LEVELS).tolist() if len(samples) else []
