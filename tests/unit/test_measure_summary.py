"""The summary: every field, its formula, and nothing that JSON cannot say."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
from measure_runs import (
    BLOCKS,
    complete,
    make_record,
    make_request,
    one_at_a_time,
    poisson,
    scenario_like,
)

from llmsim.engine.request import Request
from llmsim.engine.schedulers.chunked_prefill import ChunkedPrefill
from llmsim.measure import money
from llmsim.measure.records import StepLog
from llmsim.measure.summary import summarise
from llmsim.sim.play import make_engine, play
from llmsim.spec.targets import Slo

NAMED = [
    "completed", "total_input_tokens", "total_output_tokens", "duration", "request_throughput",
    "request_goodput", "output_throughput", "total_token_throughput", "offered", "rejected", "dropped",
    "lost", "unfinished", "slo_attainment", "slo_attainment_by_metric", "preemptions", "iterations",
    "mean_batch_size", "mean_running", "mean_waiting", "kv_cache_usage", "num_kv_blocks", "saturation",
    "bottleneck", "accelerator_seconds", "cost_usd", "usd_per_million_output_tokens", "energy_j",
    "prefix_cache_hit_rate", "scenario_sha256", "version", "steady_state",
]  # fmt: skip
STATISTICS = ["mean", "median", "std", "p50", "p90", "p95", "p99"]
LATENCIES = ["ttft_ms", "tpot_ms", "itl_ms", "e2el_ms"]


@pytest.fixture(autouse=True)
def accelerators(monkeypatch):
    """Devices with known powers, so that no test depends on the catalogue's numbers."""
    monkeypatch.setattr(money.catalog, "accelerator", lambda name: SimpleNamespace(tdp_w=700.0, idle_w=100.0))


def summary_of(record, slo=None, **engine):
    return summarise(record, scenario_like(slo, **engine), sha256="0" * 64, version="0")


def test_every_field_of_the_interface_is_there():
    """The interface's names, all of them."""
    wanted = {*NAMED, *(f"{statistic}_{metric}" for statistic in STATISTICS for metric in LATENCIES)}

    assert set() == wanted - summary_of(one_at_a_time([0.0, 1.0], 0.5)).keys()


@pytest.mark.parametrize(
    "record",
    [
        make_record([]),
        make_record([make_request(0, 1.0, status="rejected")]),
        make_record([make_request(0, 1.0, status="unfinished")], end_s=5.0, interrupted=True),
        make_record([complete(make_request(0, 0.0, output_tokens=1), 0.0, 0.0, 0.0)]),
        one_at_a_time([0.0], 1.0),
        one_at_a_time([0.0] * 200, 1.0),
        one_at_a_time(poisson(1.5, 300, 0), 1.0),
    ],
    ids=["nothing", "all rejected", "all unfinished", "no time", "one", "burst", "overload"],
)
def test_any_summary_is_json_without_nan(record):
    """What does not exist is null."""
    json.dumps(summary_of(record, Slo(ttft_ms=100.0, itl_ms=10.0)), allow_nan=False)


def test_buckets_add_up_to_what_was_offered():
    """Design rule 7."""
    kinds = ["rejected", "dropped", "lost", "unfinished"]
    requests = [make_request(i, 0.0, status=kind) for i, kind in enumerate(kinds)]
    requests.append(complete(make_request(4, 0.0), 0.0, 0.5, 1.0))
    found = summary_of(make_record(requests))

    assert found["offered"] == 5 == sum(found[kind] for kind in [*kinds, "completed"])


def test_throughputs_divide_by_first_arrival_to_last_completion():
    """Arrivals at 5 s and 6 s, one second each: 2 requests, 6 tokens out and 20 in over 2 s."""
    found = summary_of(one_at_a_time([5.0, 6.0], 1.0))

    assert (2.0, 1.0, 3.0, 13.0) == tuple(
        found[name]
        for name in ("duration", "request_throughput", "output_throughput", "total_token_throughput")
    )


def test_tokens_of_what_did_not_complete_do_not_count():
    """As in vLLM: totals and throughputs are those of completed requests."""
    requests = [complete(make_request(0, 0.0), 0.0, 0.5, 1.0), make_request(1, 0.0, status="unfinished")]
    found = summary_of(make_record(requests))

    assert (10, 3) == (found["total_input_tokens"], found["total_output_tokens"])


def test_goodput_counts_only_requests_within_their_limits():
    """Back to back services of 1 s: the second request's first token comes after 1.5 s."""
    found = summary_of(one_at_a_time([0.0, 0.0], 1.0), Slo(ttft_ms=600.0))

    assert (0.5, 0.5) == (found["request_goodput"], found["slo_attainment"])


def test_goodput_needs_targets():
    """Without targets goodput and attainment are null, as in vLLM."""
    found = summary_of(one_at_a_time([0.0], 1.0))

    assert (None, None, {}) == (
        found["request_goodput"],
        found["slo_attainment"],
        found["slo_attainment_by_metric"],
    )


def test_occupancy_obeys_littles_law():
    """L8: the numbers waiting and running are the rate times the times."""
    found = summary_of(one_at_a_time(poisson(0.8, 500, 1), 1.0))

    assert found["request_throughput"] * found["mean_e2el_ms"] / 1e3 == pytest.approx(
        found["mean_running"] + found["mean_waiting"]
    )


def test_occupancy_agrees_with_the_rows_through_preemptions():
    """Under a pool too small, those in the batch are the ones running: within 5%, as rows see boundaries only."""
    log = StepLog()
    engine = make_engine(0, log, ChunkedPrefill, num_kv_tokens=160, block_size=4)
    record = play([Request(i, 0.02 * i, 20, 40) for i in range(30)], [engine], log)
    found, seconds = summary_of(record), log.column("duration_s")

    assert found["preemptions"] > 0
    assert log.column("sequences") @ seconds / found["duration"] == pytest.approx(
        found["mean_running"], rel=0.05
    )
    assert log.column("waiting") @ seconds / found["duration"] == pytest.approx(
        found["mean_waiting"], rel=0.05
    )


def test_batch_size_averages_over_iterations_and_kv_over_time():
    """One sequence in each of three iterations, one block held for 1 s of 2 s."""
    record = one_at_a_time([0.0], 1.0)
    record.requests.append(complete(make_request(1, 0.0), 0.0, 1.0, 2.0))
    found = summary_of(record)

    assert (3, 1.0) == (found["iterations"], found["mean_batch_size"])
    assert {"mean": 0.5 / BLOCKS, "max": 1 / BLOCKS} == pytest.approx(found["kv_cache_usage"])


def test_classes_are_reported_apart():
    """Each class has its own latencies and attainment; one class alone has no such table."""
    requests = [
        complete(make_request(0, 0.0, class_name="chat"), 0.0, 0.1, 1.0),
        complete(make_request(1, 0.0, class_name="batch"), 0.0, 0.9, 1.0),
    ]
    classes = summary_of(make_record(requests), Slo(ttft_ms=500.0))["classes"]

    assert {"batch": 0.0, "chat": 1.0} == {name: found["slo_attainment"] for name, found in classes.items()}
    assert {} == summary_of(one_at_a_time([0.0], 1.0))["classes"]


def test_an_overloaded_run_has_no_steady_state_and_says_so():
    """A saturated P99 measures only the run's length: the note has the numbers."""
    found = summary_of(one_at_a_time(poisson(1.5, 1000, 0), 1.0))

    assert ("overloaded", None) == (found["saturation"], found["steady_state"])
    assert any("keeps up with" in note for note in found["notes"])


def test_a_small_sample_is_noted():
    """Fewer than a thousand requests: P99 rests on a handful."""
    assert any("p99" in note for note in summary_of(one_at_a_time(poisson(0.5, 200, 0), 1.0))["notes"])


def test_a_higher_slo_percentile_needs_a_larger_sample():
    """2,000 requests carry a p99, not the p99.9 that the targets ask for."""
    record = one_at_a_time(poisson(0.5, 2000, 0), 1.0)

    assert [] == summary_of(record, Slo(ttft_ms=1e6))["notes"]
    assert "p99.9" in summary_of(record, Slo(ttft_ms=1e6, percentile=0.999))["notes"][0]


def test_a_stopped_run_says_so():
    """An interrupted run's numbers are partial."""
    record = one_at_a_time([0.0], 1.0)
    record.interrupted = True

    assert summary_of(record)["notes"][0].startswith("partial")


@pytest.mark.parametrize(
    ("interrupted", "end_s", "why"),
    [(False, 1.0, "time limit"), (True, 1.0, "Ctrl-C"), (False, 0.9, "the scheduler left them waiting")],
)
def test_unfinished_requests_are_noted(interrupted, end_s, why):
    """How many were cut off, and by what: their latencies are in no statistic."""
    requests = [complete(make_request(0, 0.0), 0.0, 0.5, 0.9), make_request(1, 0.5, status="unfinished")]
    notes = summary_of(make_record(requests, end_s=end_s, interrupted=interrupted))["notes"]

    assert any("1 of 2 requests are unfinished" in note and why in note for note in notes)


def test_prefix_hits_are_null_while_caching_is_off():
    """Off: nothing to report. On: cached prompt tokens over prompt tokens."""
    record = one_at_a_time([0.0], 1.0)
    record.requests[0].cached_tokens = 4

    assert summary_of(record)["prefix_cache_hit_rate"] is None
    assert 0.4 == summary_of(record, enable_prefix_caching=True)["prefix_cache_hit_rate"]
