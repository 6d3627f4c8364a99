"""``profile_export_aiperf.json`` of NVIDIA's AIPerf, schema 1.4.

Source: a file of AIPerf 0.13, whose metrics these are by name, unit and formula.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import isinf
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from llmsim.measure.gaps import GapPool
from llmsim.measure.requests import RequestTable
from llmsim.measure.token_times import TokenTimes
from llmsim.report.exports.base import Export, FinishedRun, Load
from llmsim.report.exports.samples import Sample, of_completed
from llmsim.report.whole_files import as_json

Floats = npt.NDArray[np.float64]

SCHEMA_VERSION = "1.4"


class Aiperf(Export):
    """One JSON object: a metric by name, each with its unit and its average, most with a distribution.

    AIPerf's inter-token latency is a request's mean gap (vLLM's TPOT); its inter-chunk latency pools every
    gap (vLLM's ITL). Left out is what only a client and a server have: HTTP phases, telemetry, times of
    day, tokens as a server counts them, and how closely prompts met the length asked for.
    """

    file_name: ClassVar[str] = "profile_export_aiperf.json"

    def pieces(self, run: FinishedRun) -> Iterator[str]:
        """See :class:`Export`."""
        yield as_json(
            {
                "schema_version": SCHEMA_VERSION,
                "benchmark_id": run.summary["scenario_sha256"][:12],
                **{name: metric for name, metric in _metrics(run) if metric is not None},
                "input_config": _input_config(run),
                "was_cancelled": run.record.interrupted,
                "is_complete": not run.record.interrupted,
                "error_summary": list(_errors(run)),
                "llmsim_version": run.summary["version"],
            }
        )


Metric = dict[str, Any] | None


def _metrics(run: FinishedRun) -> Iterator[tuple[str, Metric]]:
    yield from _totals(run.summary)
    yield from _latencies(run)
    yield from _per_user(run.record.table)


def _totals(summary: Mapping[str, Any]) -> Iterator[tuple[str, Metric]]:
    """Counts and rates of the whole run."""
    good = None
    if summary["slo_attainment"] is not None:
        good = round(summary["slo_attainment"] * summary["offered"])
    done, duration_s = summary["completed"], summary["duration"]
    failed = summary["offered"] - done
    yield "request_throughput", _value("requests/sec", summary["request_throughput"])
    yield "request_count", _value("requests", done)
    yield "completed_request_count", _value("requests", done)
    yield "request_error_rate", _value("%", 100 * failed / max(1, summary["offered"]))
    yield "goodput", _value("requests/sec", summary["request_goodput"])
    yield "good_request_count", _value("requests", good)
    yield "good_request_fraction", _value("ratio", None if good is None or not done else good / done)
    yield "benchmark_duration", _value("sec", duration_s)
    yield "total_isl", _value("tokens", summary["total_input_tokens"])
    yield "total_osl", _value("tokens", summary["total_output_tokens"])
    yield "total_output_tokens", _value("tokens", summary["total_output_tokens"])
    input_rate = summary["total_input_tokens"] / duration_s if duration_s else None
    yield "input_token_throughput", _value("tokens/sec", input_rate)
    yield "output_token_throughput", _value("tokens/sec", summary["output_throughput"])
    yield "total_token_throughput", _value("tokens/sec", summary["total_token_throughput"])


def _latencies(run: FinishedRun) -> Iterator[tuple[str, Metric]]:
    """Milliseconds of completed requests."""
    record, table = run.record, run.record.table
    times = TokenTimes(record)
    second_ms = [
        1e3 * float(times.gaps(req)[0])
        for req in record.requests
        if req.status == "completed" and req.output_tokens > 1
    ]
    ttft_ms = of_completed(table, table.ttft_ms)
    yield "request_latency", _distribution("ms", of_completed(table, table.e2el_ms))
    yield "time_to_first_token", _distribution("ms", ttft_ms)
    yield "time_to_first_output_token", _distribution("ms", ttft_ms)
    yield "time_to_second_token", _distribution("ms", np.array(second_ms, dtype=np.float64))
    yield "inter_token_latency", _distribution("ms", of_completed(table, table.tpot_ms))
    yield "inter_chunk_latency", _of_sample("ms", Sample.of_gaps_ms(GapPool.of(record.steps)))
    yield "decode_duration", _distribution("ms", of_completed(table, table.e2el_ms - table.ttft_ms))


def _per_user(table: RequestTable) -> Iterator[tuple[str, Metric]]:
    """Lengths of completed requests, and the tokens a second that each of them saw."""
    inputs, outputs = of_completed(table, table.input_tokens), of_completed(table, table.output_tokens)
    per_user = "tokens/sec/user"
    yield "input_sequence_length", _distribution("tokens", inputs)
    yield "output_sequence_length", _distribution("tokens", outputs)
    yield "output_token_count", _distribution("tokens", outputs)
    yield (
        "output_token_throughput_per_user",
        _distribution(per_user, 1e3 / of_completed(table, table.tpot_ms)),
    )
    yield (
        "e2e_output_token_throughput",
        _distribution(per_user, 1e3 * outputs / of_completed(table, table.e2el_ms)),
    )
    yield (
        "prefill_throughput_per_user",
        _distribution(per_user, 1e3 * inputs / of_completed(table, table.ttft_ms)),
    )


def _value(unit: str, value: float | None) -> Metric:
    return None if value is None else {"unit": unit, "avg": float(value)}


def _distribution(unit: str, values: Floats) -> Metric:
    return _of_sample(unit, Sample.of(values))


def _of_sample(unit: str, sample: Sample | None) -> Metric:
    """A metric's keys in AIPerf's order; None without a value."""
    if sample is None:
        return None
    return {
        "unit": unit,
        "avg": sample.mean,
        **{f"p{percentile:g}": value for percentile, value in sample.percentiles.items()},
        "min": sample.least,
        "max": sample.most,
        "std": sample.std,
        "count": sample.count,
        "sum": sample.mean * sample.count,
    }


SLO_NAMES = {
    "ttft_ms": "time_to_first_token",
    "tpot_ms": "inter_token_latency",
    "e2el_ms": "request_latency",
}


def _input_config(run: FinishedRun) -> dict[str, Any]:
    """What was asked for, in the keys that AIPerf has for it."""
    scenario, load = run.loaded.scenario, Load.of(run)
    phase: dict[str, Any] = {"name": "profiling", "kind": "profiling", "requests": run.summary["offered"]}
    if not isinf(load.request_rate):
        kind = {1.0: "poisson", float("inf"): "constant"}.get(load.burstiness or 0.0, "gamma")
        phase |= {"rate": load.request_rate} | ({} if load.burstiness is None else {"type": kind})
        if kind == "gamma" and load.burstiness is not None:
            phase["smoothness"] = load.burstiness
    elif load.max_concurrency is not None:
        phase["type"] = "concurrency"
    if load.max_concurrency is not None:
        phase["concurrency"] = load.max_concurrency
    limits = {name: getattr(scenario.slo, key) for key, name in SLO_NAMES.items()}
    return {
        "models": {"items": [{"name": scenario.model.ref}]},
        "endpoint": {"streaming": True},
        "phases": [phase],
        "slos": {name: limit for name, limit in limits.items() if limit is not None},
    }


def _errors(run: FinishedRun) -> Iterator[dict[str, Any]]:
    """How many requests did not complete, by reason."""
    counts: dict[tuple[str, str], int] = {}
    for req in run.record.requests:
        if req.status != "completed":
            counts[req.status, req.reason] = counts.get((req.status, req.reason), 0) + 1
    for (status, reason), count in counts.items():
        yield {"error_details": {"type": status, "message": reason or status}, "count": count}
