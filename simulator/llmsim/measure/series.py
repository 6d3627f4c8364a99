"""How the run went over time, for the report's plots."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from llmsim.measure.fleet_series import fleet_series
from llmsim.measure.records import RunRecord
from llmsim.measure.requests import RequestTable
from llmsim.measure.stepwise import interval_averages

Floats = npt.NDArray[np.float64]


def series(record: RunRecord, num_bins: int = 200, *, table: RequestTable | None = None) -> dict[str, Floats]:
    """Time averages over ``num_bins`` equal bins from the first arrival to the last completion.

    ``running`` and ``waiting`` count requests (:func:`occupancy`).
    ``kv_usage`` is a share of all replicas' blocks, each row's blocks held for the row's duration.
    Token rates spread a row's tokens evenly over it. ``time_s`` holds the bins' limits. A fleet that changes
    has the series of :func:`fleet_series` too.

    Args:
        record: The run.
        num_bins: Points in each series.
        table: The run's requests where the caller has them as columns already.

    Returns:
        Arrays of shape (num_bins,), except ``time_s`` of shape (num_bins + 1,). Empty for a run that
        took no time.
    """
    table = record.table if table is None else table
    first, last = table.window_s
    if last <= first:
        return {}
    edges = np.linspace(first, last, num_bins + 1)
    running, waiting = occupancy(record, table, edges)
    in_system = {"running": running, "waiting": waiting}
    return {"time_s": edges, **in_system, **_step_series(record, edges), **fleet_series(record, edges)}


def occupancy(record: RunRecord, table: RequestTable, edges: Floats) -> tuple[Floats, Floats]:
    """Time averages, bin by bin, of the requests that hold a place and of those that wait for one.

    Waiting are those never scheduled, by their own times; after a preemption also those that lost their
    place, as rows count them when they start. The others in the system hold a place.
    """
    in_system = interval_averages(table.arrival_s, table.leave_s, edges)
    waiting = interval_averages(table.arrival_s, table.wait_end_s, edges)
    if table.preemptions.any():
        count_from, ends = row_intervals(record)
        waiting = np.maximum(
            waiting, interval_averages(count_from, ends, edges, record.steps.column("waiting"))
        )
    waiting = np.minimum(waiting, in_system)
    return in_system - waiting, waiting


def _step_series(record: RunRecord, edges: Floats) -> dict[str, Floats]:
    """The series that come from rows."""
    steps = record.steps
    starts, durations = steps.column("start_s"), steps.column("duration_s")
    ends = starts + durations
    lasting = np.where(durations > 0, durations, np.inf)
    held_from, _ = row_intervals(record)
    blocks = steps.column("kv_blocks")
    return {
        "kv_usage": interval_averages(held_from, ends, edges, blocks)
        / np.maximum(1, kv_capacity(record, edges)),
        "prefill_tokens_per_s": interval_averages(
            starts, ends, edges, steps.column("prefill_tokens") / lasting
        ),
        "decode_tokens_per_s": interval_averages(
            starts, ends, edges, steps.column("decode_tokens") / lasting
        ),
    }


def kv_capacity(record: RunRecord, edges: Floats) -> Floats:
    """Time averages, bin by bin, of the KV blocks of all replicas that are there. shape (num_edges - 1,)."""
    starts, ends, blocks = (
        np.array([getattr(replica, name) for replica in record.replicas], dtype=np.float64)
        for name in ("start_s", "end_s", "num_kv_blocks")
    )
    throughout = (starts <= edges[0]) & (ends >= edges[-1])
    passing = ~throughout
    passers = interval_averages(starts[passing], ends[passing], edges, blocks[passing])
    return np.asarray(blocks[throughout].sum() + passers)


def row_intervals(record: RunRecord) -> tuple[Floats, Floats]:
    """Per row, from when to when what it says about its whole replica (blocks held, requests waiting) counts.

    Rows of the same replica's other lanes say it too, so with lanes a row counts from the end of the row
    before it, whatever its lane.
    """
    steps = record.steps
    starts = steps.column("start_s")
    ends = starts + steps.column("duration_s")
    if not steps.column("lane").any():
        return starts, ends
    replicas = steps.column("replica")
    order = np.lexsort((ends, replicas))
    same = replicas[order][1:] == replicas[order][:-1]
    count_from = starts.copy()
    count_from[order[1:]] = np.maximum(starts[order[1:]], np.where(same, ends[order[:-1]], -np.inf))
    return count_from, ends
