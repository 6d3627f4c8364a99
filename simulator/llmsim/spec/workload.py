"""The requests: when they arrive and how long they are."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from llmsim.spec.arrivals import (
    CHANGING,
    LEAST_SCALE,
    MAX_REQUESTS,
    MOST_SCALE,
    Arrival,
    ClientsArrivals,
    PositiveInt,
    Seconds,
)
from llmsim.spec.base import Place, Strict, raise_problems
from llmsim.spec.clients import Client, ClientArrival, ClientFile
from llmsim.spec.lengths import Tokens
from llmsim.spec.prefixes import SharedPrefix
from llmsim.spec.segments import SharedSegments
from llmsim.spec.sessions import Sessions
from llmsim.spec.workload_conflicts import SOURCES, workload_conflicts


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
    segments: SharedSegments | None = Field(
        None, description="parts of prompts that others have as well, anywhere in them; null is none"
    )
    lengths: RowLengths | None = Field(
        None, description="how lengths are taken from the trace; in its order by default"
    )
    sessions: Sessions | None = Field(
        None, description="requests that follow one another; `arrival` then says when sessions begin"
    )
    num_requests: PositiveInt | None = Field(None, le=MAX_REQUESTS, description="requests offered in all")
    n: PositiveInt = Field(
        1,
        le=1024,
        description="completions asked for of every prompt, equally long: sequences of their own, as in vLLM V1, which "
        "share a replica, and the prompt's blocks with enable_prefix_caching; routers and results count each of them",
    )
    beam_width: PositiveInt = Field(
        1,
        le=1024,
        description="beams of a beam search (vLLM's BeamSearchParams.beam_width): a request runs as so many sequences, "
        "which take seats, are computed and share KV blocks by copy on write; one of them is the answer, and only its "
        "tokens are output",
    )
    num_sessions: PositiveInt | None = Field(
        None,
        le=MAX_REQUESTS,
        description="sessions that the requests belong to, each to any of them; null is none but a trace's own. With "
        "`sessions`, how many begin in all",
    )
    models: dict[str, Annotated[float, Field(gt=0)]] | None = Field(
        None,
        min_length=1,
        description="share of the requests that ask for each model, by a name that pools serve; null asks for the "
        "scenario's, or what a trace's column `model` says",
    )
    clients: list[Client] | ClientFile | None = Field(
        None,
        description="groups of users with requests of their own: a list, or {file: FILE} in ServeGen's form; null is "
        "one group, described by the other keys",
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
    def _file_is_clients(cls, value: Any) -> Any:
        if isinstance(value, dict) and isinstance(value.get("clients"), str):
            return {**value, "clients": {"file": value["clients"]}}
        return value

    @model_validator(mode="before")
    @classmethod
    def _own_times_by_default(cls, value: Any) -> Any:
        if isinstance(value, dict) and value.get("arrival") is None:
            for source in SOURCES:
                if value.get(source) is not None:
                    return {**value, "arrival": {"kind": source}}
        return value

    @model_validator(mode="after")
    def _fits_together(self) -> Workload:
        raise_problems("Workload", workload_conflicts(self))
        return self

    @property
    def labels(self) -> frozenset[str]:
        """Attributes that the requests have by the workload's own keys, a trace's left out."""
        drawn = {
            "session_id": self.num_sessions or self.sessions,
            "model": self.models,
            "hash_ids": self.shared_prefix or self.sessions,
            "segments": self.segments,
        }
        own = {name for name, value in drawn.items() if value is not None}
        if self.clients is not None:
            own.add("tenant")
        for client in self.listed_clients:
            own |= {"session_id", "hash_ids"} if client.sessions else set()
            own |= {"hash_ids"} if client.shared_prefix else set()
        return frozenset(own)

    @property
    def listed_clients(self) -> list[Client]:
        """The clients that the scenario itself describes. Pure query."""
        return self.clients if isinstance(self.clients, list) else []

    @property
    def models_asked(self) -> list[tuple[Place, str]]:
        """Where a model is named, and its name. Pure query."""
        own: list[tuple[Place, str]] = [(("models", name), name) for name in self.models or ()]
        clients = enumerate(self.listed_clients)
        return own + [(("clients", i, "model"), client.model) for i, client in clients if client.model]

    @property
    def pace(self) -> Arrival | ClientArrival | None:
        """The arrivals whose rate decides whether there is a steady state; None where it is constant. Pure query."""
        changing = [client.arrival for client in self.listed_clients if isinstance(client.arrival, CHANGING)]
        if isinstance(self.arrival, ClientsArrivals) and self.listed_clients:
            return changing[0] if changing else None
        return self.arrival

    @property
    def prefix_tokens(self) -> int:
        """Tokens that every prompt has before its ``input_tokens``. Pure query."""
        segments = self.segments.tokens * self.segments.per_prompt if self.segments else 0
        return segments + (self.shared_prefix.tokens if self.shared_prefix else 0)

    @property
    def prompt_tokens(self) -> Tokens | None:
        """The whole prompt's length, where one number or distribution says it. Pure query."""
        return None if self.shared_prefix or self.sessions or self.clients else self.input_tokens

    @property
    def has_sessions(self) -> bool:
        """Whether some requests come when others have ended. Pure query."""
        return bool(self.all_sessions)

    @property
    def all_sessions(self) -> list[Sessions]:
        """The kinds of sessions there are. Pure query."""
        kinds = [self.sessions, *(client.sessions for client in self.listed_clients)]
        return [kind for kind in kinds if kind is not None]

    @property
    def counts_sessions(self) -> bool:
        """Whether a number of sessions ends the workload. Pure query."""
        return self.sessions is not None and self.num_sessions is not None

    @property
    def has_row_lengths(self) -> bool:
        """Whether lengths come from rows of the trace."""
        return self.trace is not None and self.input_tokens is None
