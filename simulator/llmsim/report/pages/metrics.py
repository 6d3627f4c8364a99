"""The metrics people ask for, by the summary's own keys."""

from __future__ import annotations

from llmsim.report.pages.parts import Metric

_LATENCIES = {"ttft_ms": "TTFT", "tpot_ms": "TPOT", "itl_ms": "ITL", "e2el_ms": "E2E"}
_STATISTICS = {"mean": "mean", "p50": "P50", "p90": "P90", "p95": "P95", "p99": "P99"}

METRICS: dict[str, Metric] = {
    metric.key: metric
    for metric in (
        *(
            Metric(f"{prefix}_{key}", f"{name} {statistic}", "ms")
            for key, name in _LATENCIES.items()
            for prefix, statistic in _STATISTICS.items()
        ),
        Metric("request_throughput", "Requests served", "requests/s", "higher"),
        Metric("request_goodput", "Goodput", "requests/s", "higher"),
        Metric("output_throughput", "Output tokens", "tokens/s", "higher"),
        Metric("total_token_throughput", "Tokens in and out", "tokens/s", "higher"),
        Metric("slo_attainment", "SLO attainment", "share", "higher"),
        Metric("usd_per_million_output_tokens", "Cost per million output tokens", "$", "lower"),
        Metric("cost_usd", "Cost of the run", "$", "lower"),
        Metric("usd_per_hour", "Cost per hour", "$/h", "lower"),
        Metric("energy_j", "Energy", "J", "lower"),
        Metric("preemptions", "Preemptions", "", "lower"),
        Metric("mean_batch_size", "Batch size", "sequences", None),
        Metric("prefix_cache_hit_rate", "Prefix cache hits", "share", "higher"),
        Metric("tokens_per_s_per_gpu", "Tokens per second and GPU", "tokens/s", "higher"),
        Metric("tokens_per_s_per_user", "Tokens per second and user", "tokens/s", "higher"),
    )
}
"""Key of the summary to metric. The last two are derived from it: output tokens per second by accelerators held, and
1000 by the TPOT in ms."""
