"""The requests of a measured run, as a scenario's workload."""

from __future__ import annotations

from math import sqrt
from typing import Any

from llmsim.calibrate.runs import MeasuredRun

SHAREGPT_CV = {"input": 0.615, "output": 0.151}
"""Standard deviation over mean of prompts and answers, where a row has no ``*_std``.

Source: the 300 ShareGPT requests of casys-kaist/LLMServingSim@5daddb21, answers as Llama-3.1-8B gave them:
857 ± 527 tokens in, 653 ± 98 out. Benchmarks limit answers, so these vary much less than ChatGPT's did.
"""

ROUNDS = 10
"""Requests per user of a closed loop that does not say how many it sent (InferenceMAX's convention)."""
LEAST_REQUESTS = 64
DEFAULT_DURATION_S = 600.0


class NotExpressible(Exception):
    """Why a row cannot be a scenario, in words."""


def workload_of(run: MeasuredRun, assumed: list[str]) -> dict[str, Any]:
    """The ``workload`` section. What is taken from elsewhere is added to ``assumed``.

    Raises:
        NotExpressible: Lengths or arrivals are not given, or only in another file.
    """
    arrival = _arrival(run)
    data = {
        "arrival": arrival,
        "input_tokens": _tokens(run, "input"),
        "output_tokens": _tokens(run, "output"),
        "num_requests": _num_requests(run, assumed),
    }
    cap = run.count("concurrency")
    if cap is not None and arrival["kind"] != "closed":
        data["max_concurrency"] = cap
    cached = run.number("cached_input_mean")
    return data | ({"cached_input_tokens": _cached(run, cached)} if cached else {})


def _arrival(run: MeasuredRun) -> dict[str, Any]:
    kind, rate, users = run.text("arrival"), run.number("request_rate"), run.count("concurrency")
    if kind == "closed":
        if users is None:
            raise NotExpressible("a closed loop without concurrency")
        return {"kind": "closed", "max_concurrency": users}
    if kind == "burst":
        return {"kind": "burst"}
    if kind in ("poisson", "constant", "gamma"):
        if rate is None:
            raise NotExpressible(f"{kind} arrivals without request_rate")
        burstiness = run.number("burstiness")
        if kind == "gamma" or (kind == "poisson" and burstiness not in (None, 1.0)):
            return {"kind": "gamma", "request_rate": rate, "burstiness": burstiness or 1.0}
        return {"kind": kind, "request_rate": rate}
    if kind == "trace":
        raise NotExpressible("arrivals of a trace, whose times the row does not hold")
    known = "closed, burst, poisson, gamma or constant"
    raise NotExpressible(f"arrival '{kind}'; should be {known}" if kind else f"arrival is not given: {known}")


def _tokens(run: MeasuredRun, side: str) -> Any:
    """One length: a number or a distribution."""
    mean, std = run.number(f"{side}_mean"), run.number(f"{side}_std")
    low, high = run.count(f"{side}_min"), run.count(f"{side}_max")
    kind = run.text(f"{side}_dist") or ("fixed" if not std else "lognormal")
    if mean is None and None in (low, high):
        raise NotExpressible(f"{side}_mean is not given")
    middle = mean if mean is not None else ((low or 0) + (high or 0)) / 2
    if kind == "fixed" or (low is not None and low == high):
        return max(1, round(middle))
    if kind in ("uniform", "bimodal"):
        reach = (std or 0.0) * (sqrt(3) if kind == "uniform" else 1.0)
        ends = (
            low if low is not None else round(middle - reach),
            high if high is not None else round(middle + reach),
        )
        if ends[0] >= ends[1]:
            return max(1, round(middle))
        if kind == "bimodal":
            return {"kind": "choice", "tokens": [max(1, end) for end in ends]}
        return {"kind": "uniform", "min": max(1, ends[0]), "max": ends[1]}
    if kind in ("normal", "lognormal", "sharegpt"):
        spread = std if std is not None else SHAREGPT_CV[side] * middle if kind == "sharegpt" else 0.0
        if not spread:
            return max(1, round(middle))
        limits = {key: end for key, end in (("min", low), ("max", high)) if end is not None}
        shape = "normal" if kind == "normal" else "lognormal"
        return {"kind": shape, "mean": middle, "std": spread, **limits}
    raise NotExpressible(
        f"{side} lengths '{kind}'" + (", which the row does not hold" if kind == "trace" else "")
    )


def _num_requests(run: MeasuredRun, assumed: list[str]) -> int:
    given = run.count("num_requests")
    if given is not None:
        return given
    rate, users = run.number("request_rate"), run.count("concurrency")
    if run.text("arrival") == "closed" and users is not None:
        count = max(LEAST_REQUESTS, ROUNDS * users)
    elif rate is not None:
        count = max(1, round(rate * (run.number("duration_s") or DEFAULT_DURATION_S)))
    else:
        raise NotExpressible("num_requests is not given")
    assumed.append(f"num_requests {count:,}: not given")
    return count


def _cached(run: MeasuredRun, cached: float) -> int | float:
    """Cached tokens: a count where prompts are alike, else a share of each prompt."""
    mean = run.number("input_mean") or 0.0
    if run.text("input_dist") in ("", "fixed"):
        return min(round(cached), max(0, round(mean) - 1))
    return min(cached / mean, 0.999) if mean else 0
