"""``timeline.json.gz``: the rules of the trace event format, and what the events say."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from typing import Any

import pytest
import report_runs as runs

from llmsim.measure.records import RunRecord
from llmsim.report import timeline as room
from llmsim.report.timeline import timeline


def trace_of(record: RunRecord) -> dict[str, Any]:
    trace: dict[str, Any] = json.loads("".join(timeline(record)))
    return trace


@pytest.fixture(scope="module")
def record() -> RunRecord:
    requests = runs.make_requests(300)
    runs.refuse(requests[7], "too long")
    return runs.make_record(requests, replicas=2)


def of_phase(trace: dict[str, Any], *phases: str) -> list[dict[str, Any]]:
    return [event for event in trace["traceEvents"] if event["ph"] in phases]


def test_times_never_go_back(record: RunRecord) -> None:
    """Events are in order of time, from 0 on, and slices last."""
    trace = trace_of(record)
    times = [event["ts"] for event in trace["traceEvents"] if event["ph"] != "M"]

    assert sorted(times) == times
    assert 0 <= times[0]
    assert all(event["dur"] >= 0 for event in of_phase(trace, "X"))


def test_a_process_per_replica(record: RunRecord) -> None:
    """Every process that has events has a name, and replicas have one each."""
    trace = trace_of(record)
    named = {event["pid"] for event in of_phase(trace, "M") if event["name"] == "process_name"}

    assert named == {event["pid"] for event in trace["traceEvents"]}
    assert 3 == len(named)  # two replicas, and the request nobody served


def test_slices_on_a_track_do_not_overlap(record: RunRecord) -> None:
    """A replica does one thing at a time on each of its lanes (complete events of one track must nest)."""
    ends: dict[tuple[int, int], float] = defaultdict(float)
    for event in of_phase(trace_of(record), "X"):
        track = (event["pid"], event["tid"])
        assert ends[track] <= event["ts"] + 1e-3  # rounded to the nanosecond
        ends[track] = event["ts"] + event["dur"]


def test_async_slices_nest(record: RunRecord) -> None:
    """Per request, each end closes the innermost open begin, and none stays open."""
    stacks: dict[tuple[str, int], list[str]] = defaultdict(list)
    for event in of_phase(trace_of(record), "b", "e"):
        stack = stacks[event["id"], event["pid"]]
        if event["ph"] == "b":
            stack.append(event["name"])
        else:
            assert event["name"] == stack.pop()
    assert 300 == len(stacks)
    assert not any(stacks.values())


def test_a_request_shows_its_phases() -> None:
    """Queued from arrival, prefill from its schedule, decode from its first token, in microseconds."""
    req = runs.make_request(0, 1.0, wait_s=0.5, prefill_s=0.25, gap_s=0.1, output=11)
    begins = of_phase(trace_of(runs.make_record([req])), "b")

    assert {"request": 1e6, "queued": 1e6, "prefill": 1.5e6, "decode": 1.75e6} == {
        event["name"]: event["ts"] for event in begins
    }


def test_counters_follow_the_rows(record: RunRecord) -> None:
    """The greatest KV counter is the greatest of the rows."""
    values = [e["args"]["value"] for e in of_phase(trace_of(record), "C") if e["name"] == "KV blocks"]

    assert record.steps.column("kv_blocks").max() == max(values)


def test_long_runs_are_cut_and_say_so(record: RunRecord, monkeypatch: pytest.MonkeyPatch) -> None:
    """At most so many steps and requests are shown; the metadata counts what there was."""
    monkeypatch.setattr(room, "MAX_STEPS", 10)
    monkeypatch.setattr(room, "MAX_REQUESTS", 5)
    trace = trace_of(record)
    phases = Counter(event["ph"] for event in trace["traceEvents"])

    assert 10 == phases["X"] == trace["metadata"]["steps_shown"]
    assert 5 == len({event["id"] for event in of_phase(trace, "b")}) == trace["metadata"]["requests_shown"]
    assert (400, 300) == (trace["metadata"]["steps_in_run"], trace["metadata"]["requests_in_run"])


def test_an_empty_run_is_still_a_trace() -> None:
    """Nothing happened: valid JSON with the replica's name."""
    assert ["M"] == [event["ph"] for event in trace_of(runs.make_record([]))["traceEvents"]]
