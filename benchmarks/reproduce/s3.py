"""S3 (NeurIPS'23): KV reserved by predicted lengths, against the longest sequence that may come."""

from __future__ import annotations

from pathlib import Path
from statistics import fmean
from typing import Any

from reproduce.lengths import ALPACA, SHAPE, pair
from reproduce.page import Reproduction, Row, relative
from reproduce.runs import highest_from, normalised_latencies_s, run

RATIO = 6.49
"""“Up to”, of the offline speed-up and of the sequences online under the target."""
WITHIN = 0.30
MODELS = {
    "gpt-j-6b": "GPT-J 6B",
    "llama-13b": "LLaMA-13B",
    "gpt-neox-20b": "GPT-NeoX-20B",
    "llama-30b": "LLaMA-33B",
}
"""Of 6 to 33 billion parameters: those of one A100-80GB. An assumption."""
LONGEST = 2048
READING_S = 0.1875
"""Seconds per token of a reader of 240 words a minute, at 0.75 words per token. The paper names the speed of an
average reader as its target; how it counts words is an assumption."""
ACCURACY = 0.9861
"""Share of Alpaca's requests whose bucket the classifier finds. Quoted, not read in the paper."""
WORST: dict[str, Any] = {"scheduler": "orca", "kv_cache": "contiguous_max"}


def predicted(order: str = "longest", **predictor: Any) -> dict[str, Any]:
    """Engine options of S3: ten equal buckets up to the longest sequence, or another ``predictor``."""
    kind = predictor or {"kind": "buckets", "num_buckets": 10, "accuracy": ACCURACY}
    return {"scheduler": {"kind": "s3", "order": order}, "predictor": kind}


def scenario(model: str, engine: dict[str, Any], workload: dict[str, Any]) -> dict[str, Any]:
    """``model`` on one A100-80GB, with Alpaca's mean lengths."""
    return {
        "model": model,
        "fleet": {"accelerator": "a100-sxm-80gb"},
        "engine": {
            "name": "fastertransformer",
            "max_model_len": LONGEST,
            "max_num_seqs": 4096,
            "max_num_batched_tokens": 16384,
            **engine,
        },
        "workload": {**workload, **pair(ALPACA, LONGEST)},
    }


def offline(model: str, engine: dict[str, Any], num_requests: int = 4000) -> dict[str, Any]:
    """Summary of a run whose requests are all there at once."""
    arrival = {"kind": "closed", "max_concurrency": num_requests}
    return run(scenario(model, engine, {"arrival": arrival, "num_requests": num_requests})).summary


def speedup(model: str, engine: dict[str, Any], *, used: float = 0.9, num_requests: int = 4000) -> float:
    """Output tokens per second against the worst case's, with a share ``used`` of the device's memory."""
    memory = {"gpu_memory_utilization": used}
    ours, worst = (offline(model, each | memory, num_requests) for each in (engine, WORST))
    return float(ours["output_throughput"] / worst["output_throughput"])


def online(model: str, engine: dict[str, Any], duration_s: float = 600) -> float:
    """Requests per second, as Poisson arrivals, with a mean latency per output token of ``READING_S``."""

    def meets(rate: float) -> bool:
        arrival = {"kind": "poisson", "request_rate": rate}
        result = run(scenario(model, engine, {"arrival": arrival, "duration_s": duration_s}))
        return fmean(normalised_latencies_s(result)) <= READING_S

    return highest_from(meets, 0.1)


def slots(model: str, *, used: float = 0.9) -> int:
    """Sequences of the longest length that fit beside the weights."""
    return int(offline(model, WORST | {"gpu_memory_utilization": used}, 1)["num_kv_blocks"])


def reproduce(data: Path) -> Reproduction:
    """Offline for all models, online for the one that gains most; ``data`` is not needed."""
    gains = {model: speedup(model, predicted()) for model in MODELS}
    most = max(gains, key=lambda model: gains[model])
    slow_ms = offline(most, predicted())["p99_itl_ms"]
    rates = {name: online(most, engine) for name, engine in (("worst", WORST), ("s3", predicted("arrival")))}
    least = min(gains.values())
    return Reproduction(
        "S3: KV reserved by predicted length",
        "Jin et al. 2023, NeurIPS, arXiv 2306.06000, of which the abstract and a summary of its evaluation were read",
        "Models of 6 to 33 billion parameters on one A100-80GB, FasterTransformer's host times, sequences of at most "
        f"{LONGEST} tokens; lengths lognormal with Alpaca's mean tokens {ALPACA[0]} and {ALPACA[1]} and a deviation of "
        f"the logarithm of {SHAPE:g}. Worst case: Orca that reserves {LONGEST} tokens for each. S3: ten equal buckets, "
        f"{ACCURACY:.2%} of them right. Offline all requests are there at once. Online the target is {READING_S} s per "
        "token, an average reader's.",
        [
            relative(
                f"offline, most of all models ({MODELS[most]})", RATIO, gains[most], within=WITHIN, unit="×"
            ),
            Row("offline, least of all models", "above 1×", f"{least:.2f}×", "direction", least > 1),
            Row(
                f"online, {MODELS[most]}, waiting not counted",
                f"{RATIO} ×",
                f"{gains[most]:.2f} ×" if slow_ms <= 1e3 * READING_S else "less",
                f"99% of the gaps are at most {slow_ms:.0f} ms: no batch is too large",
                slow_ms <= 1e3 * READING_S and abs(gains[most] / RATIO - 1) <= WITHIN,
            ),
            relative(
                f"online, {MODELS[most]}, Poisson arrivals, waiting counted",
                RATIO,
                rates["s3"] / rates["worst"],
                within=WITHIN,
                unit="×",
            ),
        ],
        _remarks(gains, most, rates),
    )


def _remarks(gains: dict[str, float], most: str, rates: dict[str, float]) -> list[str]:
    by_model = "; ".join(
        f"{name} {gains[model]:.2f}× ({slots(model)}; {speedup(model, predicted(kind='oracle')):.2f}× if lengths were "
        "known)"
        for model, name in MODELS.items()
    )
    by_memory = "; ".join(
        f"{used:.0%} {speedup(most, predicted(), used=used):.2f}× ({slots(most, used=used)})"
        for used in (0.88, 0.92, 0.95)
    )
    by_accuracy = ", ".join(
        f"{share:.2%} {speedup(most, predicted(kind='buckets', num_buckets=10, accuracy=share)):.2f}×"
        for share in (1.0, 0.7713, 0.656)
    )
    engines = {"worst": WORST, "s3": predicted("arrival")}
    busy = {name: rates[name] / offline(most, each)["request_throughput"] for name, each in engines.items()}
    return [
        "The paper's models and batch sizes were not found as text, so the models are an assumption, and “up to” is "
        f"compared with the most of them. In brackets the worst cases that fit beside the weights: {by_model}.",
        "The gain is memory: the less of it the weights leave, the nearer a worst-case batch is to one sequence, and a "
        f"step to the mere reading of weights. For {MODELS[most]} it hangs on whole slots; with other shares of the "
        f"memory used than 90%: {by_memory}.",
        f"With other shares of buckets found, {MODELS[most]}: {by_accuracy}. Nearly all of Alpaca's answers are in the "
        "first bucket, of 205 tokens.",
        f"With Poisson arrivals, {rates['s3']:.2f} against {rates['worst']:.2f} requests/s, {busy['s3']:.0%} and "
        f"{busy['worst']:.0%} of what they serve offline: where waiting counts, few slots are worse than their "
        "throughput says, as one long answer holds a large part of them. The paper gives one figure for offline and "
        "online, so waiting seems not to count there.",
    ]
