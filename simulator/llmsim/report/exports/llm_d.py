"""llm-d's benchmark report, version 0.2.1, as YAML.

Source: the report's published JSON schema (llm-d-benchmark, ``benchmark_report_v0_2_1``).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from math import isinf
from typing import Any, ClassVar

import numpy as np
import yaml

from llmsim.measure.gaps import GapPool
from llmsim.report.exports.base import Export, FinishedRun, Load
from llmsim.report.exports.samples import PERCENTILES, Sample, of_completed
from llmsim.spec.lengths import NormalTokens, Tokens, UniformTokens
from llmsim.spec.serving import Pool

VERSION = "0.2.1"

NAMES = {percentile: f"p{percentile:g}".replace(".", "p") for percentile in (0.1, *PERCENTILES, 99.9)}
"""Percentiles of a report, and their names there: p0p1 to p99p9."""


class LlmD(Export):
    """The stack (a component per pool), the load, and aggregate request performance.

    ``run.uid`` is the scenario's hash, so that the same run has the same report. Times of day, users,
    clusters and pods are left out, as there were none; observability has what the simulator itself holds.
    """

    file_name: ClassVar[str] = "benchmark_report_v0.2.1.yaml"

    def pieces(self, run: FinishedRun) -> Iterator[str]:
        """See :class:`Export`."""
        yield yaml.safe_dump(_report(run), sort_keys=False, allow_unicode=True, width=110)


def _report(run: FinishedRun) -> dict[str, Any]:
    summary, scenario = run.summary, run.loaded.scenario
    performance = {"requests": _requests(run), "latency": _latency(run), "throughput": _throughput(summary)}
    results: dict[str, Any] = {"request_performance": {"aggregate": performance}}
    if len(scenario.fleet) == 1:
        component = {"component_label": scenario.fleet[0].name, "aggregate": _resources(summary)}
        results["observability"] = {"components": [component]}
    return {
        "version": VERSION,
        "run": {
            "uid": summary["scenario_sha256"],
            "time": {"duration": f"PT{summary['duration']}S"},
            "description": f"simulated by llmsim {summary['version']}: {scenario.name}",
            "keywords": ["simulation"],
        },
        "scenario": {"stack": [_component(run, pool) for pool in scenario.fleet], "load": _load(run)},
        "results": results,
    }


def _component(run: FinishedRun, pool: Pool) -> dict[str, Any]:
    """A pool as the report's inference engine; its plan where the run chose one itself."""
    engine = run.loaded.scenario.engine_of(pool).model_dump(mode="json", exclude_none=True)
    config = pool.model_dump(mode="json", exclude_none=True)
    degree = pool.tensor_parallel_size
    mine = [replica for replica in run.record.replicas if replica.pool == pool.name]
    per_replica = mine[0].num_accelerators * pool.data_parallel_size if mine else 1
    experts = pool.enable_expert_parallel and isinstance(degree, int)
    parallelism = {
        **({"tp": degree} if isinstance(degree, int) else {}),
        "dp": pool.data_parallel_size,
        "pp": pool.pipeline_parallel_size,
        **({"ep": int(degree) * pool.data_parallel_size} if experts and isinstance(degree, int) else {}),
    }
    return {
        "metadata": {
            "label": pool.name,
            "cfg_id": _hash({"pool": config, "engine": engine}),
            "description": mine[0].engine or None if mine else None,
        },
        "standardized": {
            "kind": "inference_engine",
            "tool": "llmsim",
            "tool_version": run.summary["version"],
            "role": "replica" if pool.role == "mixed" else pool.role,
            "replicas": pool.replicas,
            "model": {"name": run.loaded.model_of(pool).name},
            "accelerator": {
                "model": pool.accelerator or (mine[0].accelerator if mine else "unknown"),
                "count": pool.replicas * per_replica,
                "parallelism": parallelism,
            },
        },
        "native": {"args": engine, "config": config},
    }


def _load(run: FinishedRun) -> dict[str, Any]:
    """The workload: lengths as they were offered, and how they came."""
    workload, table, load = run.loaded.scenario.workload, run.record.table, Load.of(run)
    config = workload.model_dump(mode="json", exclude_none=True)
    drawn = workload.input_tokens is not None or workload.profile is not None
    standardized: dict[str, Any] = {
        "tool": "llmsim",
        "tool_version": run.summary["version"],
        "source": "random" if drawn else "sampled",
        "input_seq_len": _lengths(workload.prompt_tokens, table.input_tokens),
        "output_seq_len": _lengths(workload.output_tokens, table.output_tokens),
    }
    if not isinf(load.request_rate):
        standardized["rate_qps"] = load.request_rate
    if load.max_concurrency is not None:
        standardized["concurrency"] = load.max_concurrency
    return {
        "metadata": {"cfg_id": _hash(config), "description": run.record.workload},
        "standardized": standardized,
        "native": {"config": config},
    }


def _lengths(tokens: Tokens | None, offered: np.ndarray[Any, Any]) -> dict[str, Any]:
    """How long they were to be; other shapes than the report knows have the mean and limits of what came."""
    match tokens:
        case int():
            return {"distribution": "fixed", "value": tokens}
        case UniformTokens(min=low, max=high):
            return {"distribution": "uniform", "value": (low + high) / 2, "min": low, "max": high}
        case NormalTokens(mean=mean, std=std, min=low, max=high):
            limits = {"min": low} | ({} if high is None else {"max": high})
            return {"distribution": "gaussian", "value": mean, "std_dev": std, **limits}
    seen: dict[str, Any] = {
        "std_dev": float(offered.std()),
        "min": int(offered.min()),
        "max": int(offered.max()),
    }
    return {"distribution": "other", "value": float(offered.mean()), **seen}


def _requests(run: FinishedRun) -> dict[str, Any]:
    summary, table = run.summary, run.record.table
    failures = sum(summary[bucket] for bucket in ("rejected", "dropped", "lost"))
    inputs, outputs = of_completed(table, table.input_tokens), of_completed(table, table.output_tokens)
    return {
        "total": summary["offered"],
        "failures": failures,
        "incomplete": summary["unfinished"],
        "input_length": _statistics("count", Sample.of(inputs, list(NAMES))),
        "output_length": _statistics("count", Sample.of(outputs, list(NAMES))),
    }


def _latency(run: FinishedRun) -> dict[str, Any]:
    table, levels = run.record.table, list(NAMES)
    per_token_ms = table.e2el_ms / np.maximum(table.output_tokens, 1)
    found = {
        "time_to_first_token": ("ms", table.ttft_ms),
        "normalized_time_per_output_token": ("ms/token", per_token_ms),
        "time_per_output_token": ("ms/token", table.tpot_ms),
        "request_latency": ("ms", table.e2el_ms),
    }
    gaps = Sample.of_gaps_ms(GapPool.of(run.record.steps), levels)
    return {
        **{
            name: _statistics(units, Sample.of(of_completed(table, values), levels))
            for name, (units, values) in found.items()
        },
        "inter_token_latency": _statistics("ms/token", gaps),
    }


def _throughput(summary: Mapping[str, Any]) -> dict[str, Any]:
    """Rates over the whole run."""
    duration_s = summary["duration"]
    input_rate = summary["total_input_tokens"] / duration_s if duration_s else None
    rates = {
        "input_token_rate": ("tokens/s", input_rate),
        "output_token_rate": ("tokens/s", summary["output_throughput"]),
        "total_token_rate": ("tokens/s", summary["total_token_throughput"]),
        "request_rate": ("queries/s", summary["request_throughput"]),
    }
    return {
        name: None if rate is None else {"units": units, "mean": rate}
        for name, (units, rate) in rates.items()
    }


def _resources(summary: Mapping[str, Any]) -> dict[str, Any]:
    """Averages over time of the whole fleet, which is one pool."""
    usage = summary["kv_cache_usage"]
    found: dict[str, Any] = {"preemptions": {"units": "count", "mean": summary["preemptions"]}}
    if usage["mean"] is not None:
        percents = {"mean": 100 * usage["mean"], "max": 100 * usage["max"]}
        found["kv_cache_usage"] = {"units": "percent", **percents}
    for name, key in (("running_requests", "mean_running"), ("waiting_requests", "mean_waiting")):
        if summary[key] is not None:
            found[name] = {"units": "count", "mean": summary[key]}
    return found


def _statistics(units: str, sample: Sample | None) -> dict[str, Any] | None:
    if sample is None:
        return None
    points = {NAMES[percentile]: value for percentile, value in sample.percentiles.items()}
    return {
        "units": units, "mean": sample.mean, "stddev": sample.std, "min": sample.least, **points, "max": sample.most,
    }  # fmt: skip


def _hash(config: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()
