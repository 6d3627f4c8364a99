"""The run as a trace that https://ui.perfetto.dev opens: replicas, iterations, counters, requests, fleet.

Source of the format: "Trace Event Format" (Chromium project), JSON object form. Times are in
microseconds, as it demands.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import islice
from math import isfinite
from typing import Any

from llmsim.engine.request import Request
from llmsim.measure.records import STEP_COLUMNS, RunRecord

MAX_STEPS = 50_000
MAX_REQUESTS = 2_000
MAX_CHANGES = 10_000
"""What a timeline holds at most, so that the file stays below about 5 MB and opens at once."""

LIFE = 0
"""Track of a replica's or pool's own life; lanes come after it."""

COUNTERS = {"running": "sequences", "waiting": "waiting", "KV blocks": "kv_blocks"}
"""Counter of a replica to the column it shows."""

CHANGED = ("instance", "requests", "lost_tokens", "moved_tokens", "moved_bytes")
"""What a change of the fleet says beside its kind and pool."""

Event = dict[str, Any]


def timeline(record: RunRecord) -> Iterator[str]:
    """The trace as JSON text, piece by piece: the first steps and requests, in order of time. Pure query."""
    described = {
        "time_unit": "simulated time",
        "steps_shown": min(len(record.steps), MAX_STEPS),
        "steps_in_run": len(record.steps),
        "requests_shown": min(len(record.requests), MAX_REQUESTS),
        "requests_in_run": len(record.requests),
    }
    timed = [*_steps(record), *_requests(record), *_lives(record), *_fleet(record)]
    timed.sort(key=lambda event: event["ts"])  # stable: begin and end of one request keep their order
    yield f'{{"displayTimeUnit":"ms","metadata":{json.dumps(described)},"traceEvents":[\n'
    events = [*_names(record), *_pool_names(record), *timed]
    for position, event in enumerate(events):
        comma = "," if position < len(events) - 1 else ""
        yield json.dumps(event, separators=(",", ":"), allow_nan=False) + comma + "\n"
    yield "]}\n"


def _microseconds(time_s: float) -> float:
    return round(time_s * 1e6, 3)


def _pid(replica: int) -> int:
    """Process of a replica; 1 holds requests nobody served (0 is Perfetto's idle process)."""
    return replica + 2


def _names(record: RunRecord) -> Iterator[Event]:
    """Metadata: what each process and track is called."""
    lanes = {(int(step["replica"]), int(step["lane"])) for step in _rows(record)}
    for replica in record.replicas:
        name = f"replica {replica.index} ({replica.pool}: {replica.num_accelerators} × {replica.accelerator})"
        yield {"ph": "M", "pid": _pid(replica.index), "name": "process_name", "args": {"name": name}}
    if any(request.replica < 0 for request in islice(record.requests, MAX_REQUESTS)):
        yield {"ph": "M", "pid": _pid(-1), "name": "process_name", "args": {"name": "not served"}}
    for replica_index, lane in sorted(lanes):
        name = "iterations" if (replica_index, 1) not in lanes else f"iterations, micro-batch {lane}"
        track = {"ph": "M", "pid": _pid(replica_index), "tid": lane + 1, "name": "thread_name"}
        yield {**track, "args": {"name": name}}


def _rows(record: RunRecord) -> Iterator[dict[str, float]]:
    for row in record.steps.table[:MAX_STEPS]:
        yield dict(zip(STEP_COLUMNS, row.tolist(), strict=True))


def _steps(record: RunRecord) -> Iterator[Event]:
    """A slice per run of identical iterations, and counters wherever they change."""
    shown: dict[tuple[int, str], int] = {}
    for row in _rows(record):
        pid, start = _pid(int(row["replica"])), _microseconds(row["start_s"])
        end = _microseconds(row["start_s"] + row["duration_s"])
        yield {
            "ph": "X",
            "pid": pid,
            "tid": int(row["lane"]) + 1,
            "ts": start,
            "dur": round(end - start, 3),
            "name": _kind(row),
            "args": {
                key: int(row[key])
                for key in (
                    "iterations",
                    "sequences",
                    "prefill_tokens",
                    "decode_tokens",
                    "kv_blocks",
                    "waiting",
                )
            },
        }
        for name, key in COUNTERS.items():
            value, at = int(row[key]), end if key == "kv_blocks" else start
            if shown.get((pid, name)) != value:
                shown[pid, name] = value
                yield {"ph": "C", "pid": pid, "ts": at, "name": name, "args": {"value": value}}


def _lives(record: RunRecord) -> Iterator[Event]:
    """Of a fleet that changes: how long each replica was there, and its counters back at 0 when it went."""
    if record.fleet is None:
        return
    for replica in record.replicas:
        pid, end_s = _pid(replica.index), min(replica.end_s, record.end_s)
        start, end = _microseconds(replica.start_s), _microseconds(end_s)
        life = {"ph": "X", "pid": pid, "tid": LIFE, "ts": start, "dur": round(end - start, 3)}
        yield {
            **life,
            "name": "serves",
            "args": {"pool": replica.pool, "gone": replica.end_s <= record.end_s},
        }
        if replica.end_s <= record.end_s:
            for name in COUNTERS:
                yield {"ph": "C", "pid": pid, "ts": end, "name": name, "args": {"value": 0}}


def _pools(record: RunRecord) -> dict[str, int]:
    """Process of each pool that can change, after those of the replicas."""
    names = () if record.fleet is None else record.fleet.pools
    return {name: _pid(len(record.replicas)) + position for position, name in enumerate(names)}


def _pool_names(record: RunRecord) -> Iterator[Event]:
    for name, pid in _pools(record).items():
        yield {"ph": "M", "pid": pid, "name": "process_name", "args": {"name": f"pool {name}"}}


def _fleet(record: RunRecord) -> Iterator[Event]:
    """An instant for each change of a pool, and its replicas that serve as a counter."""
    pools, serving = _pools(record), dict[str, int]()
    for event in islice(() if record.fleet is None else record.fleet.events, MAX_CHANGES):
        at = {"pid": pools[event.pool], "ts": _microseconds(event.time_s)}
        counts = {name: value for name, value in event._asdict().items() if name in CHANGED and value}
        yield {"ph": "i", "s": "p", "tid": LIFE, **at, "name": event.kind, "args": counts}
        if serving.get(event.pool) != event.serving:
            serving[event.pool] = event.serving
            yield {"ph": "C", **at, "name": "replicas serving", "args": {"value": event.serving}}


def _kind(row: dict[str, float]) -> str:
    if not row["prefill_tokens"]:
        return "decode"
    return "mixed" if row["decode_tokens"] else "prefill"


def _requests(record: RunRecord) -> Iterator[Event]:
    """Each request as nested slices: the whole stay, and within it queued, prefill and decode."""
    for request in islice(record.requests, MAX_REQUESTS):
        end_s = request.finish_s if isfinite(request.finish_s) else max(record.end_s, request.arrival_s)
        if request.status == "rejected":
            end_s = request.arrival_s
        times = [request.arrival_s, request.scheduled_s, request.first_token_s]
        yield from _slice(request, "request", request.arrival_s, end_s, inner=_phases(request, times, end_s))


def _phases(request: Request, times: list[float], end_s: float) -> list[Event]:
    """One slice per phase that was entered, up to where the next one starts."""
    begun = [
        (name, time)
        for name, time in zip(("queued", "prefill", "decode"), times, strict=True)
        if isfinite(time)
    ]
    ends = [time for _, time in begun[1:]] + [end_s]
    return [
        event
        for (name, start_s), stop_s in zip(begun, ends, strict=True)
        for event in _slice(request, name, start_s, stop_s)
    ]


def _slice(
    request: Request, name: str, start_s: float, end_s: float, inner: list[Event] | None = None
) -> Iterator[Event]:
    common: Event = {"cat": "request", "id": str(request.id), "pid": _pid(request.replica), "name": name}
    begin: Event = {**common, "ph": "b", "ts": _microseconds(start_s)}
    if inner is not None:
        begin["args"] = {
            "id": request.id,
            "class": request.class_name,
            "input_tokens": request.input_tokens,
            "output_tokens": request.generated,
            "preemptions": request.preemptions,
            "status": request.status,
            "reason": request.reason,
        }
    yield begin
    yield from inner or ()
    yield {**common, "ph": "e", "ts": _microseconds(end_s)}
