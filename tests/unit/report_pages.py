"""Made-up inputs for the pages about several runs: queues of known shape, with seeded noise."""

from __future__ import annotations

from math import log
from typing import Any

import numpy as np
import report_runs as runs

from llmsim.report.facts import Fact
from llmsim.report.pages import (
    METRICS,
    Candidate,
    ComparedSetting,
    ComparePage,
    Curve,
    CurvePoint,
    CurveSeries,
    Difference,
    Estimate,
    Head,
    Headline,
    PlanPage,
    Pruned,
    Setting,
    SweepAxis,
    SweepPage,
    SweepPoint,
    TradeOff,
)
from llmsim.report.plots import over_time

SLOWNESS = {"vllm": 1.0, "chunked_prefill": 0.8, "orca": 1.6, "static": 3.0}
LEVELS = tuple(np.round(np.concatenate((np.arange(0.01, 0.99, 0.02), [0.99, 0.995, 0.999])), 4).tolist())
ASSUMED = (
    Fact("Model", "llama-3.1-8b, 8.03 billion parameters, bfloat16", "config.json, meta-llama/Llama-3.1-8B"),
    Fact("Accelerator", "h100-sxm: 989 TFLOP/s, 3.35 TB/s, 80 GB", "NVIDIA H100 datasheet, 2024"),
    Fact("Price", "$2.49 an hour", "assumption"),
    Fact("Workload", "Poisson arrivals; 512 tokens in, 128 out", "the scenario"),
)  # fmt: skip


def make_head(**changes: Any) -> Head:
    """A head with a verdict, sources and a note."""
    fields: dict[str, Any] = {
        "title": "chatbot",
        "subtitle": "llama-3.1-8b on 1 × h100-sxm, 5 replications of each setting with the same seeds 0 to 4",
        "headline": Headline(
            "chunked_prefill is faster", "Its TTFT P99 is 20% lower than that of vllm, 95% sure.", "good",
            (Fact("Runner-up", "vllm"), Fact("Sure of", "4 of 6 metrics", "paired by seed")),
        ),
        "assumptions": ASSUMED,
        "notes": ("a mean over seeds of a P99, not the P99 of all requests",),
        "version": "0.1.0", "sha256": "0123456789abcdef" * 4,
    }  # fmt: skip
    return Head(**(fields | changes))


def around(value: float, spread: float = 0.05) -> Estimate:
    """An estimate with an interval."""
    return Estimate(value, value * (1 - spread), value * (1 + spread))


def queue_ms(rate: float, capacity: float, service_ms: float = 80.0) -> float:
    """Mean time in an M/M/1 queue up to 95% of its capacity, then a backlog that grows."""
    share = rate / capacity
    return service_ms / (1 - share) if share <= 0.95 else service_ms * (20 + 400 * (share - 0.95))


def make_curve(key: str, capacities: dict[str, float], limit: float | None = 400.0) -> Curve:
    """Latency against rate, a line each."""
    factor = 2.5 if key.startswith("p99") else 1.0
    factor *= 1.0 if "ttft" in key else 0.1
    series = tuple(
        CurveSeries(
            name,
            tuple(
                CurvePoint(
                    float(rate), around(factor * queue_ms(rate, capacity), 0.03 + 0.01 * rate),
                    "stable" if rate < 0.95 * capacity else "overloaded",
                )
                for rate in range(1, 21)
            ),
        )
        for name, capacity in capacities.items()
    )  # fmt: skip
    return Curve(METRICS[key], "offered rate", "requests/s", series, limit, has_knee=True)


COMPARED = (
    "mean_ttft_ms", "p99_ttft_ms", "mean_tpot_ms", "p99_tpot_ms", "output_throughput", "slo_attainment",
    "usd_per_million_output_tokens",
)  # fmt: skip
BASE = (85.0, 410.0, 12.0, 22.0, 1650.0, 0.912, 0.42)


def make_compared(name: str, slow: float, *, is_baseline: bool) -> ComparedSetting:
    """A setting ``slow`` times as slow as the baseline."""
    estimates, differences = {}, {}
    for key, base in zip(COMPARED, BASE, strict=True):
        better = METRICS[key].better
        value = (
            base * slow if better == "lower" else min(base / slow, 0.999 if key == "slo_attainment" else 1e9)
        )
        estimates[key] = around(value)
        share = value / base - 1
        relative = Estimate(share, share - 0.06, share + 0.05)
        is_sure = relative.low * relative.high > 0
        good = (share < 0) == (better == "lower")
        differences[key] = Difference(
            Estimate(value - base, value - base - 0.06 * base, value - base + 0.05 * base), relative,
            ("better" if good else "worse") if is_sure else "", ("good" if good else "bad") if is_sure else "plain",
        )  # fmt: skip
    quantiles = {
        metric: [slow * scale * (0.3 - log(1 - level)) for level in LEVELS]
        for metric, scale in (("ttft_ms", 85.0), ("tpot_ms", 5.0), ("e2el_ms", 2200.0))
    }
    return ComparedSetting(
        name, estimates, {} if is_baseline else differences, quantiles,
        "overloaded" if slow > 2 else "stable", "3 of 5 runs overloaded" if slow > 2 else "",
        f"name: chatbot\nengine: {{scheduler: {name}}}\n",
    )  # fmt: skip


def make_compare(slowness: dict[str, float] | None = None, **changes: Any) -> ComparePage:
    """Schedulers against the first of them."""
    slowness = slowness or SLOWNESS
    settings = [
        make_compared(name, slow, is_baseline=i == 0) for i, (name, slow) in enumerate(slowness.items())
    ]
    capacities = {name: 18.0 / slow for name, slow in slowness.items()}
    fields: dict[str, Any] = {
        "head": make_head(),
        "metrics": tuple(METRICS[key] for key in COMPARED),
        "settings": tuple(settings),
        "levels": LEVELS,
        "limits_ms": {"ttft_ms": 500.0, "tpot_ms": 25.0},
        "curves": tuple(
            make_curve(key, capacities, limit)
            for key, limit in (("p99_ttft_ms", 500.0), ("p99_tpot_ms", 50.0))
        ),
        "replications": 5,
    }
    return ComparePage(**(fields | changes))


RATE = SweepAxis("workload.arrival.request_rate", tuple(range(1, 21)), unit="requests/s")
BATCH = SweepAxis("engine.max_num_batched_tokens", (512, 1024, 2048, 4096, 8192))
SCHEDULER = SweepAxis("engine.scheduler", tuple(SLOWNESS))
SWEPT = ("p99_ttft_ms", "p99_tpot_ms", "output_throughput", "slo_attainment", "usd_per_million_output_tokens")


def make_point(settings: dict[str, Any], rng: np.random.Generator) -> SweepPoint:
    """A queue whose capacity grows with the batch, and with a better scheduler."""
    rate = float(settings.get(RATE.key, 10))
    batch = float(settings.get(BATCH.key, 2048))
    slow = SLOWNESS.get(settings.get(SCHEDULER.key, "vllm"), 1.0)
    capacity = 18 / slow * (batch / 2048) ** 0.25
    served = min(rate, capacity)
    ttft = 2.5 * queue_ms(rate, capacity) * rng.uniform(0.97, 1.03)
    values = (
        ttft, 15 + batch / 400 + 10 * served / capacity, 128 * served,
        max(0.0, min(1.0, 1.2 - ttft / 2500)), 2.49 / 3600 / (128 * served) * 1e6,
    )  # fmt: skip
    estimates = {key: around(value) for key, value in zip(SWEPT, values, strict=True)}
    return SweepPoint(settings, estimates, 3, "overloaded" if rate > 0.95 * capacity else "stable")


def make_sweep(*axes: SweepAxis, failed: int = 0, **changes: Any) -> SweepPage:
    """The grid over ``axes``; the last ``failed`` points without a result."""
    rng = np.random.default_rng(7)
    grid: list[dict[str, Any]] = [{}]
    for axis in axes:
        grid = [settings | {axis.key: value} for settings in grid for value in axis.values]
    points = [make_point(settings, rng) for settings in grid]
    for i in range(len(points) - failed, len(points)):
        points[i] = SweepPoint(points[i].settings, problem="engine.max_num_seqs: 0 is not positive")
    fields: dict[str, Any] = {
        "head": make_head(
            headline=Headline(f"{len(points)} points", "Up to 16 requests/s the targets hold.")
        ),
        "axes": axes,
        "metrics": tuple(METRICS[key] for key in SWEPT),
        "points": tuple(points),
        "limits": {"p99_ttft_ms": 1000.0, "slo_attainment": 0.9},
        "trade_offs": (TradeOff("usd_per_million_output_tokens", "slo_attainment"),),
        "scenario": "name: chatbot\nmodel: llama-3.1-8b\n",
    }
    return SweepPage(**(fields | changes))


PLANNED = ("usd_per_hour", "slo_attainment", "p99_ttft_ms", "tokens_per_s_per_gpu", "tokens_per_s_per_user")
PRICES = {"h100-sxm": 2.49, "a100-sxm-80gb": 1.79, "l40s": 0.86, "h200-sxm": 3.79, "b200-sxm": 5.98}


def make_candidates() -> list[Candidate]:
    """Accelerators by replicas by TP; cheapest that meets the target first."""
    speed = {"h100-sxm": 1.0, "a100-sxm-80gb": 0.52, "l40s": 0.22, "h200-sxm": 1.35, "b200-sxm": 2.3}
    found = []
    for name, price in PRICES.items():
        for tp in (1, 2, 4):
            for replicas in (1, 2, 3, 4):
                power = speed[name] * tp**0.8 * replicas
                attained = 1 - 1 / (1 + (power / 1.2) ** 4)
                user = 40 * speed[name] * tp**0.7
                each = 1600 * min(1.0, 1.4 / power) * speed[name] / tp**0.2
                values = (price * tp * replicas, attained, 300 / power, each, user)
                estimates = {k: around(v, 0.02) for k, v in zip(PLANNED, values, strict=True)}
                meets = attained > 0.9
                why = f"TTFT P99, {'21% below' if meets else '38% over'} the limit"
                load = "overloaded" if power < 0.4 else "stable"
                found.append(
                    Candidate(
                        f"{replicas} × {name}, TP {tp}", meets, estimates, why, "memory bandwidth", load, 5
                    )
                )
    found.sort(key=lambda one: (not one.meets, one.estimates["usd_per_hour"].value))
    return found


def make_over_time() -> dict[str, Any]:
    """A run of a fleet that lost an instance."""
    record = runs.make_changing(runs.make_requests(500))
    summary = runs.summary_of(record, runs.make_loaded(spot=runs.SPOT))
    return over_time(summary, record, record.table)


def make_plan(**changes: Any) -> PlanPage:
    """A fleet for a chatbot."""
    candidates = make_candidates()
    winner = candidates[0]
    replicas = CurveSeries(
        winner.name, tuple(CurvePoint(float(n), around(1 - 0.5 / n**2, 0.01)) for n in range(1, 7))
    )
    fields: dict[str, Any] = {
        "head": make_head(
            headline=Headline(
                winner.name, "The cheapest fleet that keeps 90% of requests within their targets costs $2.49/h.",
                "good", (Fact("Runner-up", candidates[1].name), Fact("Margin", "TTFT P99 21% below its limit"),
                         Fact("Bottleneck", "memory bandwidth")),
            )
        ),
        "metrics": tuple(METRICS[key] for key in PLANNED),
        "candidates": tuple(candidates),
        "pruned": (
            Pruned("the weights do not fit", 12, ("t4, TP 1: 16.1 of 14.4 GB", "a10, TP 1"), "parameters × bytes"),
            Pruned("too slow for the rate", 40, ("1 × l40s, TP 1: 2.1 of 6 requests/s",), "roofline throughput"),
        ),
        "trade_offs": (
            TradeOff("usd_per_hour", "slo_attainment"),
            TradeOff("tokens_per_s_per_user", "tokens_per_s_per_gpu"),
        ),
        "curves": (
            Curve(METRICS["slo_attainment"], "replicas", "", (replicas,), 0.9),
            make_curve("p99_ttft_ms", {winner.name: 16.0}),
        ),
        "limits": {"slo_attainment": 0.9},
        "over_time": make_over_time(),
        "scenarios": (Setting(winner.name, "name: chatbot\nfleet: [{accelerator: h100-sxm}]\n"),),
    }  # fmt: skip
    return PlanPage(**(fields | changes))
