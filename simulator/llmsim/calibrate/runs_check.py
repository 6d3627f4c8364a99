"""Values that no run can have: refused, with the row and the reason."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise
from math import isfinite

from llmsim.errors import Problem

TOLERANCE = 0.02
"""Rounding that published figures may carry, relative."""

ORDERED = ("p50", "p90", "p99")

FASTEST_STEP_MS = 0.05
"""No server emits a token per sequence faster: launching a layer's kernels alone takes longer."""
SLOWEST_STEP_MS = 2_000.0
"""Two seconds per token: no one serves so slowly; it is microseconds, or a time per request."""
FACTOR = 30.0
"""How far two figures of one run may disagree before it must be their units (a thousand)."""


def problems_of(
    where: str, name: str, numbers: Mapping[str, float], metrics: Mapping[str, float]
) -> Iterator[Problem]:
    """Everything about one run that cannot be. Pure.

    Args:
        where: File and line.
        name: The run's id.
        numbers: Its settings.
        metrics: What was measured, by metric column.
    """
    signs = list(_signs(numbers, metrics))  # only what has the right sign can be compared
    for text in signs or (*_order(metrics), *_units(numbers, metrics)):
        yield Problem(where, f"{name}: {text}")


def _signs(numbers: Mapping[str, float], metrics: Mapping[str, float]) -> Iterator[str]:
    may_be_zero = ("_std", "cached_input_mean")
    for column, value in numbers.items():
        if not isfinite(value):
            yield f"{column} is {value}"
        elif value < 0:
            yield f"{column} is {value:g}: negative"
        elif value == 0 and not column.endswith(may_be_zero):
            yield f"{column} is 0"
    for column, value in metrics.items():
        if not 0 < value < float("inf"):
            yield f"{column} is {value:g}: should be a positive number"
    for column in ("input_mean", "output_mean"):
        if 0 < numbers.get(column, 1.0) < 1:
            yield f"{column} is {numbers[column]:g}: less than a token"
    cached, prompt = numbers.get("cached_input_mean"), numbers.get("input_mean")
    if cached is not None and prompt is not None and cached > prompt:
        yield f"cached_input_mean {cached:g} is more than input_mean {prompt:g}"


def _order(metrics: Mapping[str, float]) -> Iterator[str]:
    """A percentile is not below a lower one, and a first token not after the last."""
    for metric in ("ttft_ms", "tpot_ms", "itl_ms", "e2e_ms"):
        given = [(s, metrics[f"{metric}_{s}"]) for s in ORDERED if f"{metric}_{s}" in metrics]
        for (low, a), (high, b) in pairwise(given):
            if a > b * (1 + TOLERANCE):
                yield f"{metric}_{low} {a:g} is more than {metric}_{high} {b:g}"
    for statistic in ("mean", *ORDERED):
        ttft, e2e = metrics.get(f"ttft_ms_{statistic}"), metrics.get(f"e2e_ms_{statistic}")
        if ttft is not None and e2e is not None and ttft > e2e * (1 + TOLERANCE):
            yield f"ttft_ms_{statistic} {ttft:g} is more than e2e_ms_{statistic} {e2e:g}"


def _units(numbers: Mapping[str, float], metrics: Mapping[str, float]) -> Iterator[str]:
    """Times a thousand off: seconds or microseconds under a column of milliseconds."""
    for column, value in metrics.items():
        if (column.startswith("tpot_ms") or column == "itl_ms_mean") and value > 0:
            if value < FASTEST_STEP_MS:
                yield f"{column} is {value:g}: seconds? the column is in milliseconds"
            elif value > SLOWEST_STEP_MS:
                yield f"{column} is {value:g}: microseconds? the column is in milliseconds"
    tpot = metrics.get("tpot_ms_mean", metrics.get("tpot_ms_unspecified"))
    e2e, ttft, tokens = metrics.get("e2e_ms_mean"), metrics.get("ttft_ms_mean"), numbers.get("output_mean")
    if e2e is not None and tpot and tokens is not None and tokens > 1:
        whole = (ttft or 0.0) + tpot * (tokens - 1)
        if not whole / FACTOR < e2e < whole * FACTOR:
            yield (
                f"e2e_ms_mean {e2e:g} does not go with {tokens:g} tokens of tpot {tpot:g} ms and ttft "
                f"{ttft or 0:g} ms: a factor of about 1,000 in one of them?"
            )
    if ttft is not None and tpot is not None and ttft < tpot / 100:
        yield f"ttft_ms_mean {ttft:g} is less than a hundredth of a step ({tpot:g} ms): seconds?"
    yield from _rates(numbers, metrics)


def _rates(numbers: Mapping[str, float], metrics: Mapping[str, float]) -> Iterator[str]:
    """Requests and tokens per second agree with each other, and with the tokens of a request."""
    requests, tokens = metrics.get("requests_per_s"), metrics.get("output_tokens_per_s")
    each = numbers.get("output_mean")
    if requests is not None and tokens is not None and each is not None:
        ratio = tokens / (requests * each)
        if not 1 / FACTOR < ratio < FACTOR:
            yield (
                f"output_tokens_per_s {tokens:g} does not go with {requests:g} requests/s of {each:g} tokens: "
                "a factor of about 1,000 in one of them?"
            )
    rate = numbers.get("request_rate")
    if requests is not None and rate is not None and requests > rate * FACTOR:
        yield f"requests_per_s {requests:g} is far more than request_rate {rate:g}: a factor of about 1,000?"
    users, tpot = numbers.get("concurrency"), metrics.get("tpot_ms_mean", metrics.get("tpot_ms_unspecified"))
    if tokens is not None and users is not None and tpot and tokens > FACTOR * users * 1e3 / tpot:
        yield (
            f"output_tokens_per_s {tokens:g} is far more than {users:g} users at {tpot:g} ms a token get: "
            "a factor of about 1,000?"
        )
    total = metrics.get("total_tokens_per_s")
    if total is not None and tokens is not None and tokens > total * (1 + TOLERANCE):
        yield f"output_tokens_per_s {tokens:g} is more than total_tokens_per_s {total:g}"
