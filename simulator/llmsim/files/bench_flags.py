"""What the workload options of ``vllm bench serve`` change of a scenario.

They mean what they mean there (``vllm/benchmarks/serve.py`` at 009e6d4, ``datasets/random.py`` at 237145e),
with one difference: vLLM stretches a run's gaps so that the last request comes at exactly num_prompts /
request_rate; here the rate is the process's own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import ceil, floor, inf
from typing import Any

from llmsim.errors import Problem
from llmsim.files.changes import Change, apply
from llmsim.files.yaml_text import Document
from llmsim.registry import nearest
from llmsim.spec.base import Place
from llmsim.spec.bench import INPUT_LEN, NUM_PROMPTS, OUTPUT_LEN, BenchFlags

DATASETS = ("random",)

SPACED = ("poisson", "gamma", "constant")
"""Kinds of arrivals with a constant rate."""

LENGTH_FLAGS = (
    "dataset_name",
    "random_input_len",
    "random_output_len",
    "random_range_ratio",
)


def apply_bench_flags(flags: BenchFlags, document: Document) -> None:
    """Make a scenario's workload what ``flags`` say; what contradicts them goes to the document's problems.

    A flag replaces what the file says. The same key from ``--set`` is a contradiction.
    """
    workload = document.value.get("workload")
    if not flags.has() or not isinstance(workload, dict | None):
        return
    problems: list[Problem] = []
    found = list(_changes(flags, workload or {}, problems))
    problems += _said_twice(found, document)
    document.problems += problems
    for change in () if problems else found:
        apply(change, document)


def _said_twice(changes: list[Change], document: Document) -> Iterator[Problem]:
    """Keys that both a flag and ``--set`` set."""
    for change in changes:
        for place, option in document.overrides.items():
            if option.startswith("--set") and place[: len(change.place)] == change.place:
                message = f"{option} says {'.'.join(map(str, place))} too; keep one of the two"
                yield Problem(change.option, message)


def _changes(flags: BenchFlags, workload: Mapping[str, Any], problems: list[Problem]) -> Iterator[Change]:
    arrival = list(_arrival(flags, workload, problems))
    lengths = list(_lengths(flags, workload, problems))
    yield from arrival
    yield from lengths
    yield from _count(flags, workload, replaced=any(change.place == ARRIVAL for change in arrival))
    yield from _unused(workload, [*arrival, *lengths])


ARRIVAL: Place = ("workload", "arrival")


def _kind(workload: Mapping[str, Any]) -> str:
    """The kind of the scenario's own arrivals; a trace or profile brings its own."""
    arrival = workload.get("arrival")
    if isinstance(arrival, Mapping):
        return str(arrival.get("kind", ""))
    return next((source for source in ("trace", "profile") if workload.get(source) is not None), "")


def _arrival(flags: BenchFlags, workload: Mapping[str, Any], problems: list[Problem]) -> Iterator[Change]:
    """When requests come, and how many may be in flight."""
    rate, cap, kind = flags.request_rate, flags.max_concurrency, _kind(workload)
    if rate == inf:
        if flags.burstiness is not None:
            message = (
                "all requests come at once with --request-rate inf: there are no gaps; remove one of the two"
            )
            problems.append(Problem(flags.option("burstiness"), message))
        at_once = {"kind": "burst"} if cap is None else {"kind": "closed", "max_concurrency": cap}
        yield Change(ARRIVAL, at_once, flags.option("request_rate"))
        yield Change(("workload", "max_concurrency"), None, flags.option("request_rate"))
        return
    if rate is not None:
        yield Change(ARRIVAL, _spaced(rate, flags.burstiness), flags.option("request_rate"))
    elif flags.burstiness is not None:
        if kind in SPACED:
            given = workload["arrival"].get("request_rate")
            yield Change(ARRIVAL, _spaced(given, flags.burstiness), flags.option("burstiness"))
        else:
            message = f"shapes the gaps of a constant rate; arrivals here are {kind or 'missing'}: add --request-rate"
            problems.append(Problem(flags.option("burstiness"), message))
    if cap is not None:
        closed = rate is None and kind == "closed"
        place = (*ARRIVAL, "max_concurrency") if closed else ("workload", "max_concurrency")
        yield Change(place, cap, flags.option("max_concurrency"))


def _spaced(rate: Any, burstiness: float | None) -> dict[str, Any]:
    """Gaps ~ Gamma(burstiness): Poisson arrivals at 1, even ones at infinity."""
    if burstiness is None or burstiness == 1:
        return {"kind": "poisson", "request_rate": rate}
    if burstiness == inf:
        return {"kind": "constant", "request_rate": rate}
    return {"kind": "gamma", "request_rate": rate, "burstiness": burstiness}


def _lengths(flags: BenchFlags, workload: Mapping[str, Any], problems: list[Problem]) -> Iterator[Change]:
    """Lengths of prompts and outputs."""
    if flags.dataset_name is not None and flags.dataset_name not in DATASETS:
        message = (
            f"only random is supported ({nearest(flags.dataset_name, DATASETS)}); a file of requests goes under "
            "workload.trace, and `llmsim trace info FILE` shows what is read of it"
        )
        problems.append(Problem(flags.option("dataset_name"), message))
        return
    ratio = flags.random_range_ratio
    if ratio is not None and not 0 <= ratio < 1:
        problems.append(Problem(flags.option("random_range_ratio"), "should be from 0 to below 1"))
        return
    yield from _prefix(flags, problems)
    for key, option, default in (
        ("input_tokens", "random_input_len", INPUT_LEN),
        ("output_tokens", "random_output_len", OUTPUT_LEN),
    ):
        names = [option, "random_range_ratio", "dataset_name"]
        if not flags.has(*LENGTH_FLAGS) or not (flags.has(*names) or workload.get(key) is None):
            continue
        given = getattr(flags, option)
        if given is None:
            given = default if flags.dataset_name is not None else workload.get(key)
        used = flags.first_option(*names) if flags.has(*names) else flags.first_option(*LENGTH_FLAGS)
        if not isinstance(given, int):
            needed = f"--{option.replace('_', '-')}"
            what = "no length of their own" if given is None else "a distribution"
            message = f"the scenario's {key} have {what}; add {needed}, or --dataset-name random for vLLM's {default}"
            problems.append(Problem(used, message))
            continue
        yield from _uniform(key, used, given, ratio or 0.0, problems)


def _prefix(flags: BenchFlags, problems: list[Problem]) -> Iterator[Change]:
    """Tokens that all prompts begin with: vLLM's random dataset draws them once (``RandomDataset.get_prefix``)."""
    names = ("random_prefix_len", "random_input_len", "dataset_name")
    if not flags.has(*names):
        return
    tokens, option = flags.random_prefix_len or 0, flags.first_option(*names)
    if tokens < 0:
        problems.append(Problem(option, "should be 0 or more tokens"))
        return
    yield Change(("workload", "shared_prefix"), {"tokens": tokens} if tokens else None, option)


def _uniform(key: str, option: str, tokens: int, ratio: float, problems: list[Problem]) -> Iterator[Change]:
    """Whole numbers from floor(tokens·(1 − ratio)) to ceil(tokens·(1 + ratio)).

    Source: vLLM, ``RandomDataset.get_sampling_params``: outputs are at least one token, prompts have to be.
    """
    low, high = floor(tokens * (1 - ratio)), ceil(tokens * (1 + ratio))
    if key == "output_tokens":
        low, high = max(low, 1), max(high, 1)
    if tokens < 0 or low < 1:
        problems.append(
            Problem(option, f"{key} would be {low} tokens at least; a prompt has at least one of its own")
        )
        return
    value: Any = low if low == high else {"kind": "uniform", "min": low, "max": high}
    yield Change(("workload", key), value, option)


def _count(flags: BenchFlags, workload: Mapping[str, Any], *, replaced: bool) -> Iterator[Change]:
    """How many requests; vLLM's default where arrivals were replaced that ended by themselves."""
    if flags.num_prompts is not None:
        option = flags.option("num_prompts")
        own_times = not replaced and _kind(workload) == "trace"
        yield Change(("workload", "limit" if own_times else "num_requests"), flags.num_prompts, option)
        yield Change(("workload", "duration_s"), None, option)
    elif replaced and workload.get("num_requests") is None and workload.get("duration_s") is None:
        yield Change(
            ("workload", "num_requests"), NUM_PROMPTS, flags.first_option("request_rate", "burstiness")
        )


def _unused(workload: Mapping[str, Any], changes: list[Change]) -> Iterator[Change]:
    """Keys about a trace or a profile that are of no use any more."""
    places = {change.place: change.option for change in changes}
    own_times, own_lengths = ARRIVAL in places, ("workload", "input_tokens") in places
    kind = _kind(workload)
    if own_lengths:
        yield Change(("workload", "lengths"), None, places["workload", "input_tokens"])
    if own_times and kind in ("trace", "profile"):
        yield Change(("workload", "time_scale"), 1.0, places[ARRIVAL])
    has_times = kind in ("trace", "profile") and not own_times
    has_lengths = workload.get("input_tokens") is None and not own_lengths
    if (own_times or own_lengths) and not has_times and not has_lengths:
        option = next(iter(places.values()))
        for key in ("trace", "profile", "limit", "timestamp_unit"):
            if workload.get(key) is not None:
                yield Change(("workload", key), None, option)
