"""Warm-up, the steady window, and the metrics of that window alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from llmsim.measure.describe import describe, ratio
from llmsim.measure.requests import RequestTable
from llmsim.measure.slo import REQUEST_METRICS, good
from llmsim.measure.stepwise import interval_averages
from llmsim.spec.arrivals import CHANGING, Arrival, ClosedArrivals
from llmsim.spec.targets import Slo

Floats = npt.NDArray[np.float64]

MAX_BATCHES = 200
MIN_BATCHES = 20
BATCH = 5
"""Observations in one batch mean: the 5 of MSER-5."""


def mser_cut(batch_means: Floats) -> int | None:
    """Batches to cut off as warm-up, by MSER; None when the best cut is the last one allowed.

    The cut d minimises Σ_{j≥d} (Y_j − Ȳ_d)²/(n − d)² over the first half: beyond, too little is left to
    call the rest steady. Source: White, Cobb and Spratt, "A comparison of five steady-state truncation
    heuristics for simulation", Winter Simulation Conference 2000.
    """
    kept = np.arange(len(batch_means), 0, -1)  # n - d
    centred = batch_means - batch_means.mean()
    sums, squares = (np.cumsum((centred**power)[::-1])[::-1] for power in (1, 2))
    errors = (squares - sums**2 / kept) / kept.astype(np.float64) ** 2
    last_cut = len(batch_means) // 2
    cut = int(np.argmin(errors[: last_cut + 1]))
    return None if cut == last_cut else cut


def steady_window(table: RequestTable, arrival: Arrival | None = None) -> tuple[float, float] | str:
    """Limits in seconds of the steady window, or in words why there is none.

    Warm-up ends where MSER-5 on the time-averaged number in system says, and in a closed loop, where that
    number never varies, not before all of its opening burst have left; what follows the last arrival is
    cooling down and left out. Arrivals whose rate changes of itself have no steady window: cutting their
    start off would cut off what they are about.

    Args:
        table: The requests.
        arrival: How they were meant to arrive; None for a constant rate.
    """
    if isinstance(arrival, CHANGING):
        what = {"diurnal": "a day", "modulated_gamma": "windows", "clients": "a file"}.get(
            arrival.kind, f"a {arrival.kind}"
        )
        return f"arrivals follow {what}, whose rate changes; every figure covers all of it"
    num_batches = min(MAX_BATCHES, len(table) // BATCH)
    if num_batches < MIN_BATCHES:
        return f"fewer than {MIN_BATCHES * BATCH} requests: too few to tell warm-up from steady state"
    first, last = float(table.arrival_s.min()), float(table.arrival_s.max())
    if first == last:
        return "all requests arrive at once: there is no steady state"
    edges = np.linspace(first, last, num_batches * BATCH + 1)
    in_system = interval_averages(table.arrival_s, table.leave_s, edges)
    cut = mser_cut(in_system.reshape(num_batches, BATCH).mean(axis=1))
    if cut is None:
        return "the number in system never settled: warm-up lasts more than half of the arrivals (MSER-5)"
    start = float(edges[cut * BATCH])
    if isinstance(arrival, ClosedArrivals):
        start = max(start, float(table.leave_s[: arrival.max_concurrency].max()))
        if start > (first + last) / 2:
            return (
                "the burst that opens the closed loop takes more than half of the time requests are sent in"
            )
    finished = table.completed & (table.finish_s >= start) & (table.finish_s <= last)
    return (start, last) if finished.any() else "no request completed between warm-up and the last arrival"


def steady_metrics(table: RequestTable, slo: Slo, window: tuple[float, float]) -> dict[str, Any]:
    """The headline metrics of the steady window.

    Latencies are those of the requests that arrived in it, whenever they completed; throughputs count
    the completions in it. ITL is left out: gaps are pooled without the time they fell in.
    """
    start, end = window
    arrived = (table.arrival_s >= start) & (table.arrival_s <= end)
    served = arrived & table.completed
    finished = table.completed & (table.finish_s >= start) & (table.finish_s <= end)
    met = good(table, slo)
    output_tokens = int(table.output_tokens[finished].sum())
    tokens = output_tokens + int(table.input_tokens[finished].sum())
    length = end - start
    metrics: dict[str, Any] = {
        "start_s": start,
        "end_s": end,
        "offered": int(arrived.sum()),
        "completed": int(served.sum()),
        "request_throughput": ratio(int(finished.sum()), length),
        "request_goodput": None if met is None else ratio(int((finished & met).sum()), length),
        "output_throughput": ratio(output_tokens, length),
        "total_token_throughput": ratio(tokens, length),
        "slo_attainment": None if met is None else ratio(int((arrived & met).sum()), int(arrived.sum())),
    }
    for metric in REQUEST_METRICS:
        metrics |= describe(metric, getattr(table, metric)[served])
    return metrics
