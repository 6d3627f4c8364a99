"""The result file of ``vllm bench serve --save-result --save-detailed``.

Source: ``vllm/benchmarks/serve.py`` of vLLM at 009e6d4 (2026), whose file has the keys of 0.33's.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from math import isinf
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from llmsim.engine.request import Request
from llmsim.measure.describe import PERCENTILES
from llmsim.measure.token_times import TokenTimes
from llmsim.report.exports.base import NANOSECONDS, Export, FinishedRun, Load

Floats = npt.NDArray[np.float64]

METRICS = ("ttft", "tpot", "itl", "e2el")


class VllmBench(Export):
    """One JSON object: settings, totals, a list per request attribute, statistics in milliseconds.

    Times are seconds of simulated time. As in vLLM, a request that failed has zeros and no gaps, its
    ``errors`` entry says why, and totals leave it out. ``date``, ``label`` and ``tokenizer_id`` are null:
    there was no such thing; ``generated_texts`` is left out, as no text was generated.
    """

    file_name: ClassVar[str] = "vllm-bench.json"

    def pieces(self, run: FinishedRun) -> Iterator[str]:
        """See :class:`Export`. Lists of gaps are written request by request: there is one gap per token."""
        yield "{"
        for index, (key, value) in enumerate(_fields(run).items()):
            yield f"{',' if index else ''}\n{json.dumps(key)}: "
            if isinstance(value, Iterator):
                yield from _listed(value)
            else:
                yield json.dumps(value, ensure_ascii=False, allow_nan=False)
        yield "\n}\n"


def _listed(rows: Iterator[Any]) -> Iterator[str]:
    for index, row in enumerate(rows):
        yield f"{',' if index else '['}{json.dumps(row, allow_nan=False)}"
    yield "]"


def _fields(run: FinishedRun) -> dict[str, Any]:
    """Every key in vLLM's order."""
    summary, times = run.summary, TokenTimes(run.record)
    totals = (
        "request_throughput",
        "request_goodput",
        "output_throughput",
        "total_token_throughput",
    )
    fields = {
        **_settings(run),
        "duration": summary["duration"],
        "completed": summary["completed"],
        "failed": summary["offered"] - summary["completed"],
        "total_input_tokens": summary["total_input_tokens"],
        "total_output_tokens": summary["total_output_tokens"],
        **{name: summary[name] for name in totals},
        **_by_request(run, times),
        **_peaks(run, times),
        "rtfx": 0.0,
    }
    for metric in METRICS:
        names = ("mean", "median", "std", *(f"p{percentile}" for percentile in PERCENTILES))
        fields |= {f"{name}_{metric}_ms": summary[f"{name}_{metric}_ms"] for name in names}
    return fields


def _settings(run: FinishedRun) -> dict[str, Any]:
    """What was asked for, and as metadata (``--metadata``) what it was asked of."""
    load, scenario = Load.of(run), run.loaded.scenario
    burstiness = load.burstiness
    return {
        "date": None,
        "endpoint_type": "llmsim",
        "backend": "llmsim",
        "label": None,
        "model_id": scenario.model.ref,
        "tokenizer_id": None,
        "num_prompts": run.summary["offered"],
        "llmsim_version": run.summary["version"],
        "scenario": scenario.name,
        "scenario_sha256": run.summary["scenario_sha256"],
        "workload": run.record.workload,
        "request_rate": "inf" if isinf(load.request_rate) else load.request_rate,
        "burstiness": "inf" if burstiness is not None and isinf(burstiness) else burstiness,
        "max_concurrency": load.max_concurrency,
    }


def _by_request(run: FinishedRun, times: TokenTimes) -> dict[str, Any]:
    """A list for each attribute, of every request in order of arrival."""
    table, requests = run.record.table, run.record.requests
    done = table.completed
    latencies, ttfts = ((np.where(done, values, 0.0) / 1e3) for values in (table.e2el_ms, table.ttft_ms))
    return {
        "input_lens": table.input_tokens.tolist(),
        "output_lens": np.where(done, table.output_tokens, 0).tolist(),
        "ttfts": _rounded(ttfts),
        "itls": (_rounded(times.gaps(req)) if req.status == "completed" else [] for req in requests),
        "latencies": _rounded(latencies),
        "start_times": _rounded(table.arrival_s),
        "queue_times": [round(req.held_s, NANOSECONDS) for req in requests],
        "errors": [_error(req) for req in requests],
    }


def _rounded(seconds: Floats) -> list[float]:
    rounded: list[float] = np.round(seconds, NANOSECONDS).tolist()
    return rounded


def _error(req: Request) -> str:
    if req.status == "completed":
        return ""
    return f"{req.status}: {req.reason}" if req.reason else str(req.status)


def _peaks(run: FinishedRun, times: TokenTimes) -> dict[str, Any]:
    """The fullest second's tokens, counted from the first arrival on, and most requests in flight at once."""
    table = run.record.table
    done = table.completed
    if not done.any():
        return {"max_output_tokens_per_s": 0.0, "max_concurrent_requests": 0}
    start_s, end_s = table.arrival_s[done], table.finish_s[done]
    first_s = start_s.min()
    counts = np.zeros(int(np.ceil(end_s.max() - first_s)) + 1, dtype=np.int64)
    for req in run.record.requests:
        if req.status == "completed":
            np.add.at(counts, (times.of(req) - first_s).astype(np.int64), 1)
    moments = np.concatenate((end_s, start_s))  # at equal times those who leave go first
    changes = np.repeat([-1, 1], len(start_s))
    in_flight = np.cumsum(changes[np.argsort(moments, kind="stable")])
    return {
        "max_output_tokens_per_s": float(counts.max()),
        "max_concurrent_requests": int(in_flight.max()),
    }
