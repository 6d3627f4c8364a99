"""The requests of one client of a population in ServeGen's form."""

from __future__ import annotations

from collections.abc import Iterator
from math import gamma as gamma_function

import numpy as np
import numpy.typing as npt

from llmsim.engine.request import Request
from llmsim.files.servegen import ClientTrace, Floats, Gaps
from llmsim.rng import Streams
from llmsim.workload.modulated import DrawGaps, WindowedTimes, gamma_gaps

BLOCK = 64
"""Requests drawn at a time; has no influence on them."""


def client_requests(
    client: ClientTrace, start_s: float, factor: float, streams: Streams
) -> Iterator[Request]:
    """Its requests in order of arrival, from ``start_s`` of its day on; the day repeats.

    Gaps follow each window's distribution, stretched to the window's rate. Prompt and output lengths are drawn apart,
    each from the quantiles of its time: the form does not say how they go together. Fewer than one token is one.

    Source: Xiang et al. 2026, "ServeGen: Workload Characterization and Generation of Large Language Model Serving in
    Production", NSDI (arXiv 2505.09999): a workload is composed of clients, each with its own rate and lengths.
    """
    times = client_times(client, start_s, factor, streams("arrivals"))
    rng, day_s = streams("lengths"), client.edges_s[-1]
    while True:
        arrival_s, level = times(BLOCK), rng.random((BLOCK, 2))
        moment_s = (arrival_s + start_s) % day_s
        table = np.maximum(np.searchsorted(client.starts_s, moment_s, side="right") - 1, 0)
        drawn = [
            _tokens(client.levels, rows, table, level[:, i])
            for i, rows in enumerate((client.inputs, client.outputs))
        ]
        yield from map(Request, [-1] * BLOCK, arrival_s.tolist(), *drawn)


def _tokens(levels: Floats, rows: Floats, table: npt.NDArray[np.int64], level: Floats) -> list[int]:
    """``rows[table]`` at ``level``, straight lines between the levels given, in whole tokens."""
    found = np.empty(len(level))
    for which in np.unique(table):
        mine = table == which
        found[mine] = np.interp(level[mine], levels, rows[which])
    whole: list[int] = np.maximum(np.rint(found), 1).astype(np.int64).tolist()
    return whole


def client_times(
    client: ClientTrace, start_s: float, factor: float, rng: np.random.Generator
) -> WindowedTimes:
    """When its requests arrive."""
    day_s = client.edges_s[-1]
    begins_s = start_s % day_s
    inner = client.edges_s[(client.edges_s > begins_s) & (client.edges_s < day_s)]
    before = client.edges_s[client.edges_s <= begins_s]
    edges_s = np.concatenate([[begins_s], inner, before + day_s, [begins_s + day_s]])
    edges_s = np.unique(edges_s)  # where the run begins with a window, the last one is whole
    middles_s = (edges_s[:-1] + edges_s[1:]) / 2 % day_s
    window = np.searchsorted(client.edges_s, middles_s, side="right") - 1
    gaps = [client.gaps[place] for place in window.tolist()]
    draws = [_gaps(kind, shape, rng) for kind, shape in gaps]
    return WindowedTimes(edges_s - begins_s, client.rates[window] * factor, draws)


def _gaps(kind: Gaps, shape: float, rng: np.random.Generator) -> DrawGaps:
    """Gaps of mean 1."""
    if kind == "Weibull":
        scale = 1 / gamma_function(1 + 1 / shape)
        return lambda n: scale * rng.weibull(shape, n)
    return gamma_gaps(shape, rng)
