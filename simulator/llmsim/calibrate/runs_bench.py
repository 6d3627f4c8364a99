"""Results of ``vllm bench serve --save-result`` as the cells of a runs file."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from math import isfinite, sqrt
from pathlib import Path
from typing import Any

from llmsim.errors import Problem

BENCH_METRICS = {
    **{
        f"{column}_ms_{statistic}": f"{prefix}_{name}_ms"
        for column, name in (("ttft", "ttft"), ("tpot", "tpot"), ("itl", "itl"), ("e2e", "e2el"))
        for statistic, prefix in (("mean", "mean"), ("p50", "median"), ("p90", "p90"), ("p99", "p99"))
    },
    "output_tokens_per_s": "output_throughput",
    "total_tokens_per_s": "total_token_throughput",
    "requests_per_s": "request_throughput",
}
"""Metric columns, and the key of a result that holds each."""

NEEDED = ("completed", "total_input_tokens", "total_output_tokens", "duration")


def results_in(path: Path, text: str, problems: list[Problem]) -> list[Any]:
    """The objects of a file: one, a list of them, or several one after another (``--append-result``)."""
    items: list[Any] = []
    decoder, at = json.JSONDecoder(), len(text) - len(text.lstrip())
    try:
        while at < len(text) or not items:
            item, end = decoder.raw_decode(text, at)
            items += item if isinstance(item, list) else [item]
            at = end + len(text[end:]) - len(text[end:].lstrip())
            if not items:
                break
    except json.JSONDecodeError as error:
        problems.append(Problem(f"{path}:{error.lineno}", f"is not JSON: {error.msg}"))
        return []
    if not items:
        problems.append(Problem(str(path), "is an empty list"))
    return items


def bench_cells(item: Any) -> tuple[dict[str, str], list[str]]:
    """The cells of one result, and what is wrong with it in words. Pure."""
    if not isinstance(item, dict) or any(key not in item for key in ("model_id", *NEEDED)):
        absent = [key for key in ("model_id", *NEEDED) if not isinstance(item, dict) or key not in item]
        return {}, [f"is no result of `vllm bench serve`: it lacks {', '.join(absent)}"]
    if item["completed"] == 0:
        return {}, ["no request completed"]
    rate = _rate(item.get("request_rate"))
    burstiness = _rate(item.get("burstiness", 1.0))
    wrong = [
        f"{key} is {item[key]!r}, not a positive number" for key in NEEDED if not _is_positive(item[key])
    ]
    wrong += [
        f"{key} is {item[key]!r}, not a number"
        for key in ("num_prompts", "max_concurrency", *BENCH_METRICS.values())
        if item.get(key) is not None and not _is_number(item[key])
    ]
    if rate is None:
        wrong.append(f"request_rate is {item['request_rate']!r}, not a number or 'inf'")
    if burstiness is None:
        wrong.append(f"burstiness is {item['burstiness']!r}, not a number or 'inf'")
    if wrong:
        return {}, wrong
    cells = {"model": str(item["model_id"]), "engine": "vllm"}
    cells |= {
        name: repr(float(item[key])) for name, key in BENCH_METRICS.items() if item.get(key) is not None
    }
    cells |= {name: repr(value) for name, value in _numbers(item)}
    return cells | _arrival(item, rate or 0.0), []


def _arrival(item: Mapping[str, Any], rate: float) -> dict[str, str]:
    """How requests came: by a rate, with a limit on those in flight if there was one; or users in a closed loop."""
    users = item.get("max_concurrency")
    cap = {"concurrency": repr(float(users))} if users else {}
    if not isfinite(rate):
        return {"arrival": "closed" if users else "burst", **cap}
    even = item.get("burstiness") is not None and not isfinite(float(item["burstiness"]))
    return {"arrival": "constant" if even else "poisson", "request_rate": repr(rate), **cap}


def _numbers(item: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    done = item["completed"]
    yield "num_requests", float(item.get("num_prompts") or done)
    yield "input_mean", item["total_input_tokens"] / done
    yield "output_mean", item["total_output_tokens"] / done
    if item.get("burstiness") is not None and isfinite(float(item["burstiness"])):
        yield "burstiness", float(item["burstiness"])
    for name, key in (("input", "input_lens"), ("output", "output_lens")):
        lengths = [length for length in item.get(key) or () if _is_positive(length)]
        if lengths:
            mean = sum(lengths) / len(lengths)
            yield f"{name}_std", sqrt(sum((n - mean) ** 2 for n in lengths) / len(lengths))


def _rate(given: Any) -> float | None:
    """The offered rate, infinite when all came at once; None when it is no such thing."""
    if given is None or given == "inf":
        return float("inf")
    return float(given) if _is_positive(given, finite=False) else None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_positive(value: Any, *, finite: bool = True) -> bool:
    return _is_number(value) and value > 0 and (isfinite(value) or not finite)
