"""The requests: when they arrive and how long they are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from llmsim.spec.arrivals import (
    LEAST_SCALE,
    MOST_SCALE,
    Arrival,
    BurstArrivals,
    ConstantArrivals,
    DiurnalArrivals,
    GammaArrivals,
    MmppArrivals,
    ModulatedGammaArrivals,
    PoissonArrivals,
    PositiveInt,
    Seconds,
)
from llmsim.spec.base import Strict, raise_problems
from llmsim.spec.lengths import Tokens
from llmsim.spec.prefixes import SharedPrefix

RATED = PoissonArrivals | GammaArrivals | ConstantArrivals | DiurnalArrivals | ModulatedGammaArrivals
"""Arrivals that say their mean rate."""

MAX_REQUESTS = 10**8
"""More than that takes hours and more memory than a machine has: a slip of the pen, not a workload."""


class RowLengths(Strict):
    """Prompt and output lengths taken together from rows of the ``trace``."""

    kind: Literal["trace", "samples"] = Field(
        description="trace: row after row, from the start again after the last; samples: rows drawn at random"
    )


class Workload(Strict):
    """The requests offered to the fleet."""

    arrival: Arrival = Field(
        description="when requests arrive; with a trace or a profile, its own times by default"
    )
    input_tokens: Tokens | None = Field(None, description="prompt length: a number or a distribution")
    output_tokens: Tokens | None = Field(None, description="tokens generated: a number or a distribution")
    cached_input_tokens: int | float = Field(
        0, ge=0, description="tokens at the start of every prompt that a prefix cache holds already: "
        "a count, or a share below 1; the last token of a prompt is always computed",
        json_schema_extra={"unit": "tokens or share"},
    )  # fmt: skip
    max_tokens: PositiveInt | None = Field(
        None,
        description="limit that users set on their outputs (OpenAI's `max_tokens`): longer ones are cut, and engines "
        "that reserve KV for the longest output reserve this; null is what max_model_len leaves",
        json_schema_extra={"unit": "tokens"},
    )
    shared_prefix: SharedPrefix | None = Field(
        None, description="tokens at the start of prompts that others begin with too; null is none"
    )
    lengths: RowLengths | None = Field(
        None, description="how lengths are taken from the trace; in its order by default"
    )
    num_requests: PositiveInt | None = Field(None, le=MAX_REQUESTS, description="requests offered in all")
    num_sessions: PositiveInt | None = Field(
        None,
        le=MAX_REQUESTS,
        description="sessions that the requests belong to, each to any of them; null is none but a trace's own",
    )
    models: dict[str, Annotated[float, Field(gt=0)]] | None = Field(
        None,
        min_length=1,
        description="share of the requests that ask for each model, by a name that pools serve; null asks for the "
        "scenario's, or what a trace's column `model` says",
    )
    duration_s: Seconds | None = Field(None, description="requests arrive before this time")
    max_concurrency: PositiveInt | None = Field(
        None,
        le=10**6,
        description="most requests in flight: the client holds others back, and their latency starts when they are "
        "sent (`vllm bench serve --max-concurrency` with a rate); null is no limit",
    )
    trace: str | None = Field(
        None,
        min_length=1,
        description="a file of requests (CSV or JSONL, also .gz); its format is recognised",
    )
    profile: str | None = Field(
        None, min_length=1, description="a name of `llmsim list workloads`, or a .yaml file"
    )
    time_scale: float = Field(
        1.0,
        ge=LEAST_SCALE,
        le=MOST_SCALE,
        description="stretches the trace's or profile's time: 2 halves its rate",
    )
    limit: PositiveInt | None = Field(
        None, description="use only this many rows of the trace, from its start"
    )
    timestamp_unit: Literal["s", "ms"] | None = Field(
        None, description="unit of `timestamp` in a JSONL trace; null is ms, or s with Bailian's `chat_id`"
    )

    @model_validator(mode="before")
    @classmethod
    def _own_times_by_default(cls, value: Any) -> Any:
        if isinstance(value, dict) and value.get("arrival") is None:
            for source in ("trace", "profile"):
                if value.get(source) is not None:
                    return {**value, "arrival": {"kind": source}}
        return value

    @model_validator(mode="after")
    def _fits_together(self) -> Workload:
        problems = [*_source_conflicts(self), *_length_conflicts(self), *_extent_conflicts(self)]
        raise_problems("Workload", (((key,), message) for key, message in problems))
        return self

    @property
    def labels(self) -> frozenset[str]:
        """Attributes that the requests have by the workload's own keys, a trace's left out."""
        drawn = {"session_id": self.num_sessions, "model": self.models, "hash_ids": self.shared_prefix}
        return frozenset(name for name, value in drawn.items() if value is not None)

    @property
    def prefix_tokens(self) -> int:
        """Tokens that every prompt has before its ``input_tokens``. Pure query."""
        return self.shared_prefix.tokens if self.shared_prefix else 0

    @property
    def prompt_tokens(self) -> Tokens | None:
        """The whole prompt's length, where one number or distribution says it. Pure query."""
        return None if self.shared_prefix else self.input_tokens

    @property
    def has_row_lengths(self) -> bool:
        """Whether lengths come from rows of the trace."""
        return self.trace is not None and self.input_tokens is None


def _source_conflicts(workload: Workload) -> Iterator[tuple[str, str]]:
    """(key, message) of each mistake about traces and profiles."""
    kind = workload.arrival.kind
    given = {"trace": workload.trace, "profile": workload.profile}
    if all(given.values()):
        yield "profile", "there is a trace already; keep one of the two"
    if kind in given and given[kind] is None:
        yield "arrival", f"kind {kind} needs `{kind}:` beside `arrival:`"
    for source, value in given.items():
        if value and kind != source and workload.input_tokens is not None:
            yield (
                source,
                "not used: times come from `arrival`, lengths from `input_tokens`; remove it or one of them",
            )
    if workload.time_scale != 1 and kind not in given:
        yield "time_scale", f"stretches a trace or a profile; with {kind} arrivals change their rate"
    for key in ("limit", "timestamp_unit"):
        if getattr(workload, key) is not None and workload.trace is None:
            yield key, "is about a trace, and there is none"


def _length_conflicts(workload: Workload) -> Iterator[tuple[str, str]]:
    """(key, message) of each mistake about where lengths come from."""
    own = {key: getattr(workload, key) for key in ("input_tokens", "output_tokens")}
    missing = [key for key, value in own.items() if value is None]
    if len(missing) == 1 or (missing and workload.trace is None and workload.profile is None):
        for key in missing:
            yield (
                key,
                "missing: lengths come from input_tokens and output_tokens, a trace or a profile",
            )
    if workload.lengths is not None and not workload.has_row_lengths:
        yield "lengths", "takes lengths from a trace; it needs `trace:`, and no input_tokens or output_tokens"


def _requests_per_s(arrival: Arrival) -> float:
    """The mean rate that ``arrival`` itself says; 0 where something else decides it. Pure query."""
    if isinstance(arrival, RATED):
        return arrival.request_rate
    if isinstance(arrival, MmppArrivals):
        return arrival.request_rate or arrival.own_rate
    if isinstance(arrival, BurstArrivals) and arrival.size and arrival.every_s:
        return arrival.size / arrival.every_s
    return 0.0


def _extent_conflicts(workload: Workload) -> Iterator[tuple[str, str]]:
    """(key, message) of each mistake about how many requests there are."""
    arrival, count, duration_s = workload.arrival, workload.num_requests, workload.duration_s
    if count is not None and duration_s is not None:
        yield "duration_s", "num_requests and duration_s both end the workload; keep one"
    if arrival.kind == "closed" and workload.max_concurrency is not None:
        yield "max_concurrency", "a closed loop has its own, `arrival.max_concurrency`; remove this one"
    if arrival.kind == "trace" and count is not None:
        yield "num_requests", "a trace ends with its rows; write `limit` to use fewer"
    if isinstance(arrival, BurstArrivals) and arrival.every_s is None and duration_s is not None:
        yield "duration_s", "one burst takes no time; write `num_requests`"
    if duration_s is not None and (expected := _requests_per_s(arrival) * duration_s) > MAX_REQUESTS:
        yield "duration_s", f"about {expected:.3g} requests; at most {MAX_REQUESTS:,} can be simulated"
    has_end = arrival.kind in ("trace", "profile") or workload.has_row_lengths
    if count is None and duration_s is None and not has_end:
        yield "num_requests", "required, but missing (or `duration_s`): how many requests there are"
