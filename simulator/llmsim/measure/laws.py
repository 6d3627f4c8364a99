"""The laws one run can check about itself, from its own records; called after every run."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from llmsim.errors import InvariantError
from llmsim.measure.cases import TOLERANCE, Columns, Floats, first_case, is_before
from llmsim.measure.fleet_laws import fleet_laws
from llmsim.measure.gaps import GapPool
from llmsim.measure.records import RunRecord
from llmsim.measure.requests import BUCKETS, STATUSES, RequestTable


def check(record: RunRecord, *, table: RequestTable | None = None) -> None:
    """Say nothing about a run that keeps the laws.

    Raises:
        InvariantError: With every law broken, and the numbers of its first case.
    """
    table = record.table if table is None else table
    broken = [
        *_request_laws(record, table),
        *_row_laws(record),
        *_token_laws(record, table),
        *_second_laws(record, table),
        *fleet_laws(record, table),
    ]
    if broken:
        raise InvariantError("; ".join(broken))


def _request_laws(record: RunRecord, table: RequestTable) -> Iterator[str]:
    """L1 and L4, and that a completed request has all its tokens."""
    ended = np.isin(table.status, [STATUSES.index(bucket) for bucket in BUCKETS])
    status = np.array(STATUSES)[table.status] if not ended.all() else table.status
    yield from first_case("L1: a request ended in no bucket", ~ended, {"id": table.id, "status": status})
    times = (
        ("arrival_s", table.arrival_s),
        ("scheduled_s", table.scheduled_s),
        ("first_token_s", table.first_token_s),
        ("finish_s", table.finish_s),
    )
    for (before, earlier), (after, later) in pairwise(times):
        columns: Columns = {"id": table.id, before: earlier, after: later}
        yield from first_case(f"L4: {after} before {before}", is_before(later, earlier), columns)
        missing = table.completed & np.isnan(later)
        yield from first_case(f"L4: a completed request has no {after}", missing, {"id": table.id})
    generated = _generated(record)
    short = table.completed & (generated != table.output_tokens)
    tokens: Columns = {"id": table.id, "generated": generated, "output_tokens": table.output_tokens}
    yield from first_case("a completed request lacks tokens or has too many", short, tokens)


def _row_laws(record: RunRecord) -> Iterator[str]:
    """L2 and L3 for rows: they hold no more than the pool, fill their time, and follow one another."""
    steps = record.steps
    replica, start, duration = (steps.column(name) for name in ("replica", "start_s", "duration_s"))
    n, blocks = steps.column("iterations"), steps.column("kv_blocks")
    sizes = np.full(int(replica.max(initial=-1)) + 1, -1.0)
    for entry in record.replicas:
        if entry.index < len(sizes):
            sizes[entry.index] = entry.num_kv_blocks
    pool = sizes[replica.astype(np.int64)]
    at = {"replica": replica, "start_s": start}
    yield from first_case("a row has no iteration", n < 1, {**at, "iterations": n})
    over = (blocks < 0) | (blocks > pool)
    yield from first_case(
        "L2: more KV blocks held than there are", over, {**at, "kv_blocks": blocks, "pool": pool}
    )
    sums = n * steps.column("first_s") + steps.column("growth_s") * n * (n - 1) / 2
    off = np.abs(sums - duration) > TOLERANCE * np.maximum(np.abs(duration), np.abs(start))
    yield from first_case(
        "a row's iterations do not add up to its duration", off, {**at, "duration_s": duration, "sum": sums}
    )
    yield from _overlaps(replica, steps.column("lane"), start, start + duration)


def _overlaps(replica: Floats, lane: Floats, start: Floats, end: Floats) -> Iterator[str]:
    """L3: of one replica and lane, a row starts no earlier than the row before it ended."""
    key = replica.astype(np.int64) * (int(lane.max(initial=0.0)) + 1) + lane.astype(np.int64)
    if len(key) and key.min() != key.max():
        order = np.argsort(key, kind="stable")
        key, replica, start, end = key[order], replica[order], start[order], end[order]
    early = (key[1:] == key[:-1]) & is_before(start[1:], end[:-1])
    yield from first_case(
        "L3: a row starts before the one before it ended",
        early,
        {"replica": replica[1:], "start_s": start[1:], "previous_end_s": end[:-1]},
    )


def _token_laws(record: RunRecord, table: RequestTable) -> Iterator[str]:
    """Tokens are conserved between rows and requests.

    A first token comes from a prefill, every later one from a decode, or after a preemption or a move from
    a prefill again; each later one closes a gap. What was generated was delivered or discarded.
    """
    steps = record.steps
    generated = int(_generated(record).sum()) + _discarded(record, table)
    firsts = int((~np.isnan(table.first_token_s)).sum())
    preemptions = int(table.preemptions.sum(dtype=np.int64) + table.moves.sum(dtype=np.int64))
    decoded = round(float(steps.column("decode_tokens").sum()))
    if not decoded + firsts <= generated <= decoded + firsts + preemptions:
        yield (
            f"tokens: requests generated {generated}, rows decoded {decoded} after {firsts} first tokens "
            f"with {preemptions} preemptions and moves"
        )
    n = np.maximum(steps.column("iterations"), 1.0)
    inner = float((steps.column("decode_tokens") * (n - 1) / n).sum())
    extra = sum(count for _, count in steps.extra_gaps)
    gaps = round(inner + float(steps.column("aligned").sum()) + extra)
    if gaps != generated - firsts:
        yield f"gaps: rows hold {gaps}, requests {generated - firsts} ({firsts} first tokens left out)"


def _second_laws(record: RunRecord, table: RequestTable) -> Iterator[str]:
    """The gaps fill the time between first and last tokens, each second once.

    Only where the record says it exactly: every request that produced tokens completed, and was delivered
    when its last token was made.
    """
    pool = GapPool.of(record.steps)
    done = table.completed
    last_token_s = record.request_column("last_token_s")
    partial = ~np.isnan(table.first_token_s) & ~done
    if not pool.size or partial.any() or (last_token_s[done] < table.finish_s[done]).any():
        return
    gaps_s = pool.mean_s() * pool.size
    between_s = float((table.finish_s[done] - table.first_token_s[done]).sum())
    rounding = TOLERANCE * between_s + np.spacing(record.end_s) * pool.size
    if abs(gaps_s - between_s) > rounding:
        yield f"gaps: they last {gaps_s!r} s, requests {between_s!r} s between first and last tokens"


def _discarded(record: RunRecord, table: RequestTable) -> int:
    """Output tokens that were made and lost; only requests that moved have any."""
    return sum(record.requests[i].discarded_tokens for i in np.flatnonzero(table.moves))


def _generated(record: RunRecord) -> npt.NDArray[np.int64]:
    return np.fromiter((request.generated for request in record.requests), np.int64, len(record.requests))
