"""How the run went over time, for the report's plots."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from llmsim.measure.records import RunRecord
from llmsim.measure.requests import RequestTable
from llmsim.measure.stepwise import interval_averages

Floats = npt.NDArray[np.float64]


def series(record: RunRecord, num_bins: int = 200, *, table: RequestTable | None = None) -> dict[str, Floats]:
    """Time averages over ``num_bins`` equal bins from the first arrival to the last completion.

    ``running`` and ``waiting`` count requests; one that lost its place counts as running until it ends.
    ``kv_usage`` is a share of all replicas' blocks, each row's blocks held for the row's duration.
    Token rates spread a row's tokens evenly over it. ``time_s`` holds the bins' limits.

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
    return {
        "time_s": edges,
        "running": interval_averages(table.wait_end_s, table.leave_s, edges),
        "waiting": interval_averages(table.arrival_s, table.wait_end_s, edges),
        **_step_series(record, edges),
    }


def _step_series(record: RunRecord, edges: Floats) -> dict[str, Floats]:
    """The series that come from rows."""
    steps = record.steps
    starts, durations = steps.column("start_s"), steps.column("duration_s")
    ends = starts + durations
    lasting = np.where(durations > 0, durations, np.inf)
    num_blocks = sum(replica.num_kv_blocks for replica in record.replicas)
    held_from, blocks = kv_intervals(record)
    return {
        "kv_usage": interval_averages(held_from, ends, edges, blocks) / max(1, num_blocks),
        "prefill_tokens_per_s": interval_averages(
            starts, ends, edges, steps.column("prefill_tokens") / lasting
        ),
        "decode_tokens_per_s": interval_averages(
            starts, ends, edges, steps.column("decode_tokens") / lasting
        ),
    }


def kv_intervals(record: RunRecord) -> tuple[Floats, Floats]:
    """Per row, from when to the row's end its ``kv_blocks`` count as held, and the blocks.

    Rows of the same replica's other lanes report the same pool, so with lanes a row counts from the
    end of the row before it, whatever its lane.
    """
    steps = record.steps
    starts, blocks = steps.column("start_s"), steps.column("kv_blocks")
    if not steps.column("lane").any():
        return starts, blocks
    ends = starts + steps.column("duration_s")
    replicas = steps.column("replica")
    order = np.lexsort((ends, replicas))
    same = replicas[order][1:] == replicas[order][:-1]
    held_from = starts.copy()
    held_from[order[1:]] = np.maximum(starts[order[1:]], np.where(same, ends[order[:-1]], -np.inf))
    return held_from, blocks
