"""Exact time averages of step functions: numbers in system, blocks held, rates."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def bin_averages(times: Floats, jumps: Floats | float, edges: Floats) -> Floats:
    """Time averages, bin by bin, of the function that is 0 at first and jumps by ``jumps`` at ``times``.

    A jump before the first edge counts from that edge on; one at or after the last edge not at all.
    Times need no order. ``edges`` rise strictly. shape (num_edges - 1,).
    """
    widths = np.diff(edges)
    num_bins = len(widths)
    bins = np.maximum(np.searchsorted(edges, times, side="right") - 1, 0)
    within = bins < num_bins
    bins, times = bins[within], times[within]
    jumps = np.broadcast_to(jumps, within.shape)[within]
    rest = jumps * (edges[bins + 1] - np.maximum(times, edges[0]))
    level = np.cumsum(np.bincount(bins, weights=jumps, minlength=num_bins))
    at_start = np.concatenate(([0.0], level[:-1]))
    return np.asarray(at_start + np.bincount(bins, weights=rest, minlength=num_bins) / widths)


def interval_averages(starts: Floats, ends: Floats, edges: Floats, level: Floats | float = 1.0) -> Floats:
    """Time averages, bin by bin, of the sum of ``level`` over the intervals that are open. Never negative.

    Source: the difference of two step functions; rounding below zero is cut off.
    """
    return np.maximum(bin_averages(starts, level, edges) - bin_averages(ends, level, edges), 0.0)
