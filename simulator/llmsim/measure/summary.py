"""The summary of a run: every field of ``--json`` and ``summary.json``."""

from __future__ import annotations

from math import inf
from typing import Any

import numpy as np

from llmsim.measure import money
from llmsim.measure.bottleneck import Load, bottleneck
from llmsim.measure.confidence import confidence
from llmsim.measure.costs import class_costs, costs
from llmsim.measure.describe import describe, ratio, thin_sample_note
from llmsim.measure.errors import model_error
from llmsim.measure.fleet import fleet_summary, share_without_replica
from llmsim.measure.gaps import GapPool, describe_gaps
from llmsim.measure.kv_tiers import kv_tiers_summary
from llmsim.measure.records import RunRecord
from llmsim.measure.requests import BUCKETS, Bools, RequestTable
from llmsim.measure.saturation import Backlog, held_note
from llmsim.measure.series import kv_capacity, occupancy, row_intervals
from llmsim.measure.slo import REQUEST_METRICS, attainment_by_metric, good
from llmsim.measure.steady import steady_metrics, steady_window
from llmsim.measure.stepwise import interval_averages
from llmsim.spec.scenario import Scenario


def summarise(
    record: RunRecord, scenario: Scenario, *, sha256: str, version: str, table: RequestTable | None = None
) -> dict[str, Any]:
    """Every summary field of the run, ready for JSON: no nan, None for a metric without samples.

    Latencies and throughputs are those of completed requests over ``duration``, from the first arrival
    to the last completion, as ``vllm bench serve`` defines them. Keys come in a fixed order.

    Args:
        record: The run.
        scenario: What was run; its targets and engine limits are read.
        sha256: Of the resolved scenario.
        version: Of this program.
        table: The run's requests where the caller has them as columns already.
    """
    table = record.table if table is None else table
    first_s, last_s = table.window_s
    duration_s = last_s - first_s
    pool = GapPool.of(record.steps)
    headline = {**_counts(table, scenario, duration_s), **_latencies(table, pool)}
    return {
        **headline,
        "model_error": model_error(record.replicas, headline),
        **_slo(record, table, scenario, pool, duration_s),
        **_occupancy(record, table, duration_s),
        **costs(record, table, scenario, duration_s),
        "fleet": fleet_summary(record),
        "kv_transfers": record.handover.summary() if record.handover else None,
        "kv_swaps": record.swaps.summary() if record.swaps else None,
        "prefix_cache_hit_rate": _prefix_cache_hit_rate(table, scenario),
        "kv_tiers": kv_tiers_summary(record, table),
        **_verdicts(record, scenario, table, duration_s),
        "scenario_sha256": sha256,
        "version": version,
    }


def _counts(table: RequestTable, scenario: Scenario, duration_s: float) -> dict[str, Any]:
    """Buckets, tokens of completed requests, and throughputs."""
    done = table.completed
    input_tokens, output_tokens = (
        int(column[done].sum(dtype=np.int64)) for column in (table.input_tokens, table.output_tokens)
    )
    met = good(table, scenario.slo)
    return {
        "offered": len(table),
        **{bucket: int(table.is_status(bucket).sum()) for bucket in BUCKETS},
        "total_input_tokens": input_tokens,
        "total_output_tokens": output_tokens,
        "duration": duration_s,
        "request_throughput": ratio(int(done.sum()), duration_s),
        "request_goodput": None if met is None else ratio(int(met.sum()), duration_s),
        "output_throughput": ratio(output_tokens, duration_s),
        "total_token_throughput": ratio(input_tokens + output_tokens, duration_s),
    }


def _latencies(table: RequestTable, pool: GapPool) -> dict[str, Any]:
    ttft, tpot, e2el = (describe(name, getattr(table, name)[table.completed]) for name in REQUEST_METRICS)
    return ttft | tpot | describe_gaps(pool) | e2el


def _slo(
    record: RunRecord, table: RequestTable, scenario: Scenario, pool: GapPool, duration_s: float
) -> dict[str, Any]:
    """Attainment, overall and by class; ``classes`` is empty unless requests have classes of their own."""
    met = good(table, scenario.slo)
    has_classes = table.class_names not in ((), ("default",))
    spent = class_costs(record, table, duration_s) if has_classes else {}
    return {
        "slo_attainment": None if met is None else ratio(int(met.sum()), len(table)),
        "slo_attainment_by_metric": attainment_by_metric(table, scenario.slo, pool),
        "classes": {
            name: _of_class(table, table.class_index == index, met) | spent[name]
            for index, name in enumerate(table.class_names)
            if has_classes
        },
    }


def _of_class(table: RequestTable, members: Bools, met: Bools | None) -> dict[str, Any]:
    offered, served = int(members.sum()), members & table.completed
    metrics: dict[str, Any] = {
        "offered": offered,
        "completed": int(served.sum()),
        "slo_attainment": None if met is None else ratio(int((members & met).sum()), offered),
    }
    for metric in REQUEST_METRICS:
        metrics |= describe(metric, getattr(table, metric)[served])
    return metrics


def _occupancy(record: RunRecord, table: RequestTable, duration_s: float) -> dict[str, Any]:
    """Iterations and how full they were.

    ``mean_batch_size`` averages over iterations. ``mean_running`` and ``mean_waiting`` average over time:
    requests that hold a place, and those that wait for one, after a preemption again; together they obey
    Little's law. ``num_kv_blocks`` counts the whole fleet, on average over time where it changes.
    """
    running, waiting = _running_and_waiting(record, table)
    iterations = record.steps.column("iterations")
    total = float(iterations.sum())
    return {
        "preemptions": int(table.preemptions.sum(dtype=np.int64)),
        "iterations": int(total),
        "mean_batch_size": ratio(float(record.steps.column("sequences") @ iterations), total),
        "mean_running": running,
        "mean_waiting": waiting,
        "kv_cache_usage": _kv_cache_usage(record, table) if duration_s else {"mean": None, "max": None},
        "num_kv_blocks": round(_num_kv_blocks(record, table)),
    }


def _num_kv_blocks(record: RunRecord, table: RequestTable) -> float:
    """Blocks of the whole fleet, averaged over the run; of those there at first for a run that took no time."""
    first, last = table.window_s
    if last > first:
        return float(kv_capacity(record, np.array([first, last]))[0])
    return sum(replica.num_kv_blocks for replica in record.replicas if replica.start_s <= first)


def _running_and_waiting(record: RunRecord, table: RequestTable) -> tuple[float | None, float | None]:
    """Time averages over the run; None for a run that took no time."""
    first, last = table.window_s
    if last <= first:
        return None, None
    running, waiting = occupancy(record, table, np.array([first, last]))
    return float(running[0]), float(waiting[0])


def _kv_cache_usage(record: RunRecord, table: RequestTable) -> dict[str, float | None]:
    """Share of KV blocks held: over time and all replicas, and the fullest any replica ever was."""
    held_from, ends = row_intervals(record)
    blocks = record.steps.column("kv_blocks")
    held = interval_averages(held_from, ends, np.array(table.window_s), blocks)
    sizes = np.zeros(max((replica.index for replica in record.replicas), default=-1) + 1)
    for replica in record.replicas:
        sizes[replica.index] = replica.num_kv_blocks
    shares = blocks / np.maximum(sizes[record.steps.column("replica").astype(np.int64)], 1.0)
    return {
        "mean": ratio(float(held[0]), _num_kv_blocks(record, table)),
        "max": float(shares.max(initial=0.0)),
    }


def _verdicts(
    record: RunRecord, scenario: Scenario, table: RequestTable, duration_s: float
) -> dict[str, Any]:
    """Saturation, steady state and bottleneck, and in ``notes`` what a reader has to know."""
    partial = ["partial: the run was stopped before every request ended"] * record.interrupted
    if not duration_s:
        empty = dict.fromkeys(("saturation", "bottleneck", "bottleneck_shares", "steady_state"))
        sure = {"confidence": confidence(table, "the run took no time")}
        unfinished = _unfinished_note(record, scenario, table)
        return {**empty, **sure, "notes": partial + [unfinished] * bool(unfinished)}
    backlog = Backlog.of(table)
    overloaded = backlog.saturation == "overloaded"
    window = "the queue never stopped growing" if overloaded else steady_window(table, scenario.workload.pace)
    words, shares = bottleneck(record, scenario, _load(record, table, duration_s))
    notes = [
        *backlog.notes(),
        held_note(table),
        _unfinished_note(record, scenario, table),
        f"no steady window: {window}" if isinstance(window, str) else None,
        thin_sample_note("every latency", _highest_percentile(scenario), int(table.completed.sum())),
    ]
    return {
        "saturation": backlog.saturation,
        "bottleneck": words,
        "bottleneck_shares": shares,
        "steady_state": None if isinstance(window, str) else steady_metrics(table, scenario.slo, window),
        "confidence": confidence(table, window),
        "notes": partial + [note for note in notes if note],
    }


def _unfinished_note(record: RunRecord, scenario: Scenario, table: RequestTable) -> str | None:
    """How many requests were cut off, and by what."""
    count = int(table.is_status("unfinished").sum())
    if not count:
        return None
    why = "the time limit (simulation.max_duration_s) ended the run"
    if record.interrupted:
        why = "Ctrl-C ended the run"
    elif record.fleet is not None and record.fleet.given_up:
        why = record.fleet.given_up
    elif record.end_s < (scenario.simulation.max_duration_s or inf):
        changes = record.fleet is not None
        why = "no replica was left to serve them, and none would come" if changes else NEVER_SCHEDULED
    return f"{count:,} of {len(table):,} requests are unfinished: {why}; latencies leave them out"


NEVER_SCHEDULED = "the scheduler left them waiting when nothing else was to do"


def _highest_percentile(scenario: Scenario) -> float:
    """The highest percentile reported or asked for, in percent; an SLO for every request asks for none."""
    asked = 100 * scenario.slo.percentile
    return max(99.0, asked) if asked < 100 else 99.0


def _load(record: RunRecord, table: RequestTable, duration_s: float) -> Load:
    running, waiting = _running_and_waiting(record, table)
    return Load(
        busy_share=_busy_share(record, duration_s),
        mean_running=running or 0.0,
        mean_waiting=waiting or 0.0,
        preemptions=int(table.preemptions.sum(dtype=np.int64)),
        away_share=share_without_replica(record),
    )


def _busy_share(record: RunRecord, duration_s: float) -> float:
    """Share of the fleet's device time spent in iterations."""
    busy = money.busy_s(record, duration_s)
    worked = sum(replica.num_accelerators * busy[replica.index] for replica in record.replicas)
    return ratio(worked, money.accelerator_seconds(record, duration_s)) or 0.0


def _prefix_cache_hit_rate(table: RequestTable, scenario: Scenario) -> float | None:
    """Share of prompt tokens that a cache held; None while prefix caching is off everywhere."""
    if not any(scenario.engine_of(pool).caches_prefixes for pool in scenario.fleet):
        return None
    return ratio(
        int(table.cached_tokens[table.completed].sum()), int(table.input_tokens[table.completed].sum())
    )
