"""Values that no run can have: refused, with the row and the reason."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise
from math import isfinite

from llmsim.errors import Problem

TOLERANCE = 0.02
"""Rounding that published figures may carry, relative."""

ORDERED = {"p50": 0.5, "p90": 0.9, "p99": 0.99}
"""Percentiles, and the share of values that each is not below."""

CENTRAL = ("mean", "unspecified", "p50")

WHOLE = (
    "num_gpus", "tensor_parallel", "pipeline_parallel", "expert_parallel", "data_parallel",
    "max_num_batched_tokens", "max_num_seqs", "num_kv_blocks", "block_size", "max_model_len", "num_requests",
)  # fmt: skip
"""Columns that count something."""

FASTEST_STEP_MS = 0.2
"""No server emits a token per sequence faster: launching the kernels of a model's layers alone takes longer."""
SLOWEST_STEP_MS = 2_000.0
"""Two seconds per token: no one serves so slowly; it is microseconds, or a time per request."""
FASTEST_TTFT_MS = 1.0
"""No server answers a request faster: reading it, tokenising it and one iteration take longer."""
FACTOR = 30.0
"""How far two figures of one run may disagree before it must be their units (a thousand)."""
THOUSAND = "a factor of about 1,000 in one of them?"

Metrics = Mapping[str, float]


def problems_of(where: str, name: str, numbers: Metrics, metrics: Metrics) -> Iterator[Problem]:
    """Everything about one run that cannot be. Pure.

    Args:
        where: File and line.
        name: The run's id.
        numbers: Its settings.
        metrics: What was measured, by metric column.
    """
    signs = list(_signs(numbers, metrics))  # only what has the right sign can be compared
    for text in signs or (*_order(metrics), *_units(numbers, metrics), *_rates(numbers, metrics)):
        yield Problem(where, f"{name}: {text}")


def _signs(numbers: Metrics, metrics: Metrics) -> Iterator[str]:
    may_be_zero = ("_std", "cached_input_mean")
    for column, value in numbers.items():
        if not isfinite(value):
            yield f"{column} is {value}"
        elif value < 0:
            yield f"{column} is {value:g}: negative"
        elif value == 0 and not column.endswith(may_be_zero):
            yield f"{column} is 0"
        elif column in WHOLE and value != round(value):
            yield f"{column} is {value:g}: should be a whole number"
    for column, value in metrics.items():
        if not 0 < value < float("inf"):
            yield f"{column} is {value:g}: should be a positive number"
    for column in ("input_mean", "output_mean"):
        if 0 < numbers.get(column, 1.0) < 1:
            yield f"{column} is {numbers[column]:g}: less than a token"
    cached, prompt = numbers.get("cached_input_mean"), numbers.get("input_mean")
    if cached is not None and prompt is not None and cached > prompt:
        yield f"cached_input_mean {cached:g} is more than input_mean {prompt:g}"
    for side in ("input", "output"):
        low, high = numbers.get(f"{side}_min"), numbers.get(f"{side}_max")
        if low is not None and high is not None and low > high:
            yield f"{side}_min {low:g} is more than {side}_max {high:g}"


def _order(metrics: Metrics) -> Iterator[str]:
    """A percentile is not below a lower one, no mean far below one, and a first token not after the last."""
    for metric in ("ttft_ms", "tpot_ms", "itl_ms", "e2e_ms"):
        given = [(s, metrics[f"{metric}_{s}"]) for s in ORDERED if f"{metric}_{s}" in metrics]
        for (low, a), (high, b) in pairwise(given):
            if a > b * (1 + TOLERANCE):
                yield f"{metric}_{low} {a:g} is more than {metric}_{high} {b:g}"
        mean = metrics.get(f"{metric}_mean", float("inf"))
        for (
            statistic,
            value,
        ) in given:  # Markov: the mean is at least a share's worth of what the share exceeds
            if value * (1 - ORDERED[statistic]) > mean * (1 + TOLERANCE):
                yield f"{metric}_{statistic} {value:g} cannot be with {metric}_mean {mean:g}: {THOUSAND}"
        if given and mean < float("inf") and mean > FACTOR * given[-1][1]:
            yield f"{metric}_mean {mean:g} is far more than {metric}_{given[-1][0]} {given[-1][1]:g}: {THOUSAND}"
    for statistic in ("mean", "unspecified", *ORDERED):
        ttft, e2e = metrics.get(f"ttft_ms_{statistic}"), metrics.get(f"e2e_ms_{statistic}")
        if ttft is not None and e2e is not None and ttft > e2e * (1 + TOLERANCE):
            yield f"ttft_ms_{statistic} {ttft:g} is more than e2e_ms_{statistic} {e2e:g}"


def _units(numbers: Metrics, metrics: Metrics) -> Iterator[str]:
    """Times a thousand off: seconds or microseconds under a column of milliseconds."""
    tokens = numbers.get("output_mean", 0.0)
    for column, value in metrics.items():
        if column.startswith("tpot_ms") or column == "itl_ms_mean":
            if value < FASTEST_STEP_MS:
                yield f"{column} is {value:g}: seconds? the column is in milliseconds"
            elif value > SLOWEST_STEP_MS:
                yield f"{column} is {value:g}: microseconds? the column is in milliseconds"
        elif column.startswith("ttft_ms") and value < FASTEST_TTFT_MS:
            yield f"{column} is {value:g}: seconds? the column is in milliseconds"
        elif column.startswith("e2e_ms") and value < FASTEST_STEP_MS * tokens:
            yield f"{column} is {value:g} for {tokens:g} tokens: seconds? the column is in milliseconds"
    step = _central("tpot", metrics) or _central("itl", metrics)
    ttft, e2e = _central("ttft", metrics), _central("e2e", metrics)
    if e2e and step and tokens > 1:
        whole = (ttft[1] if ttft else 0.0) + step[1] * (tokens - 1)
        if not whole / FACTOR < e2e[1] < whole * FACTOR:
            yield (
                f"{e2e[0]} {e2e[1]:g} does not go with {tokens:g} tokens at {step[0]} {step[1]:g}"
                + (f" and {ttft[0]} {ttft[1]:g}" if ttft else "")
                + f": {THOUSAND}"
            )
    if ttft and step and ttft[1] < step[1] / FACTOR:
        yield f"{ttft[0]} {ttft[1]:g} is less than a thirtieth of a step ({step[0]} {step[1]:g}): seconds?"


def _central(metric: str, metrics: Metrics) -> tuple[str, float] | None:
    """Column and value of the mean of a metric, or what comes nearest."""
    columns = (f"{metric}_ms_{statistic}" for statistic in CENTRAL)
    return next(((column, metrics[column]) for column in columns if column in metrics), None)


def _rates(numbers: Metrics, metrics: Metrics) -> Iterator[str]:
    """Requests and tokens per second agree with each other, with the load, and with the times."""
    found = {name: metrics[name] for name in ("requests_per_s", "output_tokens_per_s") if name in metrics}
    total, each, prompt = (
        metrics.get("total_tokens_per_s"), numbers.get("output_mean"), numbers.get("input_mean"),
    )  # fmt: skip
    if total is not None and found.get("output_tokens_per_s", 0.0) > total * (1 + TOLERANCE):
        yield (
            f"output_tokens_per_s {found['output_tokens_per_s']:g} is more than total_tokens_per_s {total:g}"
        )
    if each is None:
        return
    if total is not None and prompt is not None:
        found["total_tokens_per_s"] = total
    tokens = {"output_tokens_per_s": each, "total_tokens_per_s": each + (prompt or 0.0)}
    requests = [(name, value, value / tokens.get(name, 1.0)) for name, value in found.items()]
    for (one, a, first), (other, b, second) in pairwise(requests):
        if not 1 / FACTOR < first / second < FACTOR:
            yield f"{one} {a:g} does not go with {other} {b:g} of {each:g} output tokens a request: {THOUSAND}"
    for name, value, per_s in requests[:1]:
        yield from _load(name, value, per_s, numbers, metrics)


def _load(name: str, value: float, per_s: float, numbers: Metrics, metrics: Metrics) -> Iterator[str]:
    """``per_s`` requests a second against the rate offered, and against the users there were (Little's law)."""
    rate, users = numbers.get("request_rate"), numbers.get("concurrency")
    if rate is not None and per_s > rate * FACTOR:
        yield f"{name} {value:g} is far more than request_rate {rate:g} brings: {THOUSAND}"
    if rate is not None and per_s * FACTOR**2 / 3 < rate:  # an overloaded server still serves what it can
        yield f"{name} {value:g} is far less than request_rate {rate:g} brings: {THOUSAND}"
    if users is None:
        return
    each, e2e = numbers["output_mean"], _central("e2e", metrics)
    step = _central("tpot", metrics) or _central("itl", metrics)
    if per_s * each * FASTEST_STEP_MS > 1e3 * users:
        yield f"{name} {value:g} is more than {users:g} users can be served: a factor of about 1,000?"
    elif per_s * each * SLOWEST_STEP_MS < 1e3 * users and rate is None:
        yield f"{name} {value:g} leaves each of {users:g} users {1e3 * users / per_s / each:g} ms a token: {THOUSAND}"
    elif step and per_s * each * step[1] > FACTOR * 1e3 * users:
        yield f"{name} {value:g} is far more than {users:g} users at {step[0]} {step[1]:g} get: {THOUSAND}"
    elif e2e and per_s * e2e[1] > FACTOR * 1e3 * users:
        yield f"{name} {value:g} is far more than {users:g} users at {e2e[0]} {e2e[1]:g} get: {THOUSAND}"
