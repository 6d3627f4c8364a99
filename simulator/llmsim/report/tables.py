"""The request and step tables of the results, as columns in the order of interface.md."""

from __future__ import annotations

import numpy as np

from llmsim.measure.records import RunRecord
from llmsim.measure.requests import STATUSES, RequestTable
from llmsim.measure.slo import good
from llmsim.report.whole_files import Columns
from llmsim.spec.targets import Slo

STEP_INTEGERS = ("prefill_tokens", "decode_tokens", "kv_blocks", "waiting")


def request_columns(table: RequestTable, slo: Slo) -> Columns:
    """One entry per request offered; times and latencies are nan (empty in the file) where there is none."""
    met = good(table, slo)
    return {
        "id": table.id,
        "class": np.array(table.class_names, dtype=object)[table.class_index],
        "arrival_s": table.arrival_s,
        "first_token_s": table.first_token_s,
        "finish_s": table.finish_s,
        "input_tokens": table.input_tokens,
        "cached_tokens": table.cached_tokens,
        "output_tokens": table.output_tokens,
        "replica": table.replica,
        "preemptions": table.preemptions,
        "status": np.array(STATUSES, dtype=object)[table.status],
        "ttft_ms": table.ttft_ms,
        "tpot_ms": table.tpot_ms,
        "e2el_ms": table.e2el_ms,
        "slo_ok": table.completed if met is None else met,
    }


def step_columns(record: RunRecord) -> Columns:
    """One entry per run of identical iterations."""
    steps = record.steps
    whole = {name: steps.column(name).astype(np.int64) for name in STEP_INTEGERS}
    return {
        "replica": steps.column("replica").astype(np.int32),
        "start_s": steps.column("start_s"),
        "iterations": steps.column("iterations").astype(np.int64),
        "duration_s": steps.column("duration_s"),
        "sequences": steps.column("sequences").astype(np.int32),
        **whole,
    }
