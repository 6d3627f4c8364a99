"""How sure one run is of its steady state: 95% intervals of means and percentiles from batch means.

They cover what another stretch of the same service would change, not what the model has wrong (``model_error``).
"""

from __future__ import annotations

from math import ceil, floor
from typing import Any

import numpy as np

from llmsim.measure.batches import LEVEL, STUDENT_T, Floats, half_width, is_independent, num_batches
from llmsim.measure.requests import RequestTable
from llmsim.measure.slo import REQUEST_METRICS

PERCENTILES = (50, 90, 99)
LEAST_REQUESTS = 500
"""Fewer make batches of under 25 requests, or tenths of one or two."""
LEAST_BEYOND = 20
"""Requests that must lie beyond a percentile: one or two for each batch."""
ROUNDING = 1e-9
"""Relative spread of one value that many requests have, whose order in time would look like a trend."""
WARM_UP = "MSER-5 on the number in system"

Found = tuple[float, float] | str
"""An interval, or in words why there is none."""


def confidence(table: RequestTable, window: tuple[float, float] | str) -> dict[str, Any]:
    """The block ``confidence`` of a summary: intervals of the figures of the steady state.

    ``mean_``, ``p50_``, ``p90_`` and ``p99_`` of each latency are ``[low, high]`` in ms, or None with the reason
    in ``reasons``. Requests that arrived in the window and completed count, in order of arrival.

    Args:
        table: The run's requests.
        window: The steady window in seconds, or why there is none.
    """
    found: dict[str, Found] = {}
    batches: dict[str, int | None] = dict.fromkeys(REQUEST_METRICS)
    for metric in REQUEST_METRICS:
        if isinstance(window, str):
            found |= dict.fromkeys(_names(metric), window)
            continue
        served = table.completed & (table.arrival_s >= window[0]) & (table.arrival_s <= window[1])
        values = getattr(table, metric)[served]
        batches[metric], ends = intervals(values[~np.isnan(values)])
        found |= dict(zip(_names(metric), ends, strict=True))
    return {
        "level": LEVEL,
        "of": "steady_state",
        "warm_up": WARM_UP,
        "batches": batches,
        **{name: None if isinstance(each, str) else list(each) for name, each in found.items()},
        "reasons": {name: each for name, each in found.items() if isinstance(each, str)},
    }


def _names(metric: str) -> list[str]:
    """Summary fields of ``metric`` that have an interval: the mean, then ``PERCENTILES``."""
    return [f"mean_{metric}", *(f"p{percent}_{metric}" for percent in PERCENTILES)]


def intervals(values: Floats) -> tuple[int | None, list[Found]]:
    """Number of batches, and the intervals of the mean and of ``PERCENTILES``.

    Args:
        values: Of one metric in the steady state, in order of arrival.
    """
    if len(values) < LEAST_REQUESTS:
        why = f"{len(values):,} requests of the steady state have it: at least {LEAST_REQUESTS} are needed"
        return None, [why] * (1 + len(PERCENTILES))
    ordered = np.sort(values)
    if ordered[-1] - ordered[0] <= ROUNDING * abs(ordered[-1]):
        return max(STUDENT_T), [(float(ordered[0]), float(ordered[-1]))] * (1 + len(PERCENTILES))
    count = num_batches(values)
    if count is None:
        why = "neighbouring requests depend on each other for too long, as in a busy queue: a longer run would do"
        return None, [why] * (1 + len(PERCENTILES))
    mean, half = float(values.mean()), half_width(values, count)
    tails = [percentile_interval(values, ordered, percent / 100, count) for percent in PERCENTILES]
    return count, [(mean - half, mean + half), *tails]


def percentile_interval(values: Floats, ordered: Floats, level: float, count: int) -> Found:
    """Interval of the quantile ``level``, or why there is none.

    The share of values below the quantile is an average, so that batch means tell how sure it is; the order
    statistics at both ends of that share's interval bound the quantile. Unlike sectioning (Asmussen and Glynn,
    "Stochastic Simulation", III.5) it asks no batch for a percentile of its own, which a short one does not know.
    Sources: Woodruff, "Confidence intervals for medians and other position measures", JASA 47 (1952); for
    requests that depend on each other Heidelberger and Lewis, "Quantile estimation in dependent sequences",
    Operations Research 32 (1984).

    Args:
        values: In order of time.
        ordered: The same, rising.
        level: Between 0 and 1.
        count: Number of batches.
    """
    number = len(values)
    beyond = number * min(level, 1 - level)
    if beyond < LEAST_BEYOND - 1e-9:
        needed = ceil(LEAST_BEYOND / min(level, 1 - level) - 1e-9)
        return f"{number:,} requests of the steady state have it: at least {needed:,} are needed"
    below = (values <= (1 + ROUNDING) * np.quantile(ordered, level)).astype(np.float64)
    if not is_independent(below, count):
        return "the slow requests come in long spells: a longer run would do"
    half = half_width(below, count)
    low, high = floor(number * (level - half)) - 1, ceil(number * (level + half))
    if low < 0 or high >= number:
        return "the slow requests came in too few spells: a longer run would do"
    return float(ordered[low]), float(ordered[high])
