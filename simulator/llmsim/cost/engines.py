"""Serving engines by generation: what the host costs, and the limits a server starts with (F7).

Each file of ``hardware/engines/`` is one generation of one engine, with a source, a kind (fitted to
server runs, or a prior) and a relative spread for every number. A scenario's ``engine.name`` and
``engine.version`` choose one.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Annotated, Any, Literal

from pydantic import Field

from llmsim.errors import CatalogError, Problem
from llmsim.files.catalog import read, root
from llmsim.registry import nearest
from llmsim.spec.base import Strict
from llmsim.spec.hardware import Accelerator, Bytes, Sourced

Version = tuple[int, ...]

ALIASES = {
    "trtllm": "tensorrt-llm",
    "trt-llm": "tensorrt-llm",
    "tensorrtllm": "tensorrt-llm",
    "ft": "fastertransformer",
}
"""Other spellings of engines' names."""


class Coefficient(Strict):
    """A number of seconds, and how sure it is."""

    value: Annotated[float, Field(ge=0)]
    kind: Literal["measured", "prior"]
    """Fitted to server runs, or taken from elsewhere."""
    source: str
    spread: Annotated[float, Field(ge=0)]
    """One standard deviation of its logarithm."""


class HostTime(Strict):
    """Host work per iteration.

    What the device waits for, and, of an asynchronous engine, what hides behind the device's work as
    long as that takes longer: ``iteration = max(device + waited for, hidden)``.
    """

    iteration_s: Coefficient
    sequence_s: Coefficient
    hidden_iteration_s: Coefficient | None = None
    hidden_sequence_s: Coefficient | None = None


class FrontEndTime(Strict):
    """From a request's arrival until the scheduler sees it: HTTP, tokenisation, the way to the engine."""

    request_s: Coefficient
    prompt_token_s: Coefficient


class DefaultLimits(Strict):
    """Limits of a server that was not told any, on the accelerators they hold for."""

    max_num_seqs: Annotated[int, Field(gt=0)]
    max_num_batched_tokens: Annotated[int, Field(gt=0)]
    at_least_bytes: Bytes | None = None
    except_for: list[str] = Field(default_factory=list)

    def holds_for(self, accelerator: Accelerator) -> bool:
        """Whether ``accelerator`` has the memory, and is none of the exceptions. Pure query."""
        if any(accelerator.name.startswith(name) for name in self.except_for):
            return False
        return self.at_least_bytes is None or accelerator.memory_bytes >= self.at_least_bytes


class BenchmarkServer(Strict):
    """How servers of published closed-loop runs are set up when a run does not say: for its load."""

    seats_less: Annotated[int, Field(ge=0)]
    """``max_num_seqs`` is the number of users less this."""
    tokens_more: Annotated[int, Field(ge=0)]
    """``max_num_batched_tokens`` is users and prompt together, and this."""
    source: str


class EngineProfile(Strict):
    """One generation of a serving engine."""

    name: str
    engine: str
    from_: str | None = Field(None, alias="from")
    before: str | None = None
    asynchronous: bool
    """Schedules the next iteration while the device runs this one: host work hides, and a request
    that arrives meanwhile starts one iteration later."""
    scheduler: str
    whole_prompts: bool = False
    """Without chunked context: a prompt is computed in one iteration."""
    host: HostTime
    kernel_floor: Coefficient
    """Share of what a kernel by itself takes to start and drain that is left when a CUDA graph replays it
    right behind another: timings of single kernels hold the whole of it."""
    front_end: FrontEndTime
    limits: list[DefaultLimits] = Field(min_length=1)
    benchmark_server: BenchmarkServer | None = None
    points: int = 0
    """Server runs that the measured numbers were fitted to."""
    fit: dict[str, float] = Field(default_factory=dict)
    """Median absolute error on those runs, per metric, and with a run's whole source left out."""
    sources: dict[str, Sourced]

    def covers(self, version: Version) -> bool:
        """Whether ``version`` belongs to this generation. Pure query."""
        after = self.from_ is None or version >= version_of(self.from_)
        return after and (self.before is None or version < version_of(self.before))

    def limits_on(self, accelerator: Accelerator) -> DefaultLimits:
        """The limits a server on ``accelerator`` starts with. Pure query."""
        return next((item for item in self.limits if item.holds_for(accelerator)), self.limits[-1])

    def hidden_host_s(self) -> tuple[float, float] | None:
        """Host seconds per iteration and per sequence that hide behind the device's. Pure query."""
        host = self.host
        if host.hidden_iteration_s is None and host.hidden_sequence_s is None:
            return None
        values = [item.value if item else 0.0 for item in (host.hidden_iteration_s, host.hidden_sequence_s)]
        return values[0], values[1]

    def default_scheduler(self) -> str | dict[str, Any]:
        """The scheduler a server of this generation runs, as a scenario says it. Pure query."""
        return {"kind": self.scheduler, "whole_prompts": True} if self.whole_prompts else self.scheduler

    @property
    def kind(self) -> Literal["measured", "prior"]:
        """Whether its host time was fitted to runs of this generation. Pure query."""
        return self.host.iteration_s.kind

    def in_words(self) -> str:
        """Its overheads and where they come from. Pure query."""
        host, front = self.host, self.front_end
        overlap = "scheduled ahead" if self.asynchronous else "not overlapped"
        return (
            f"{self.name}, {overlap}: {host.iteration_s.value * 1e3:.2g} ms an iteration and "
            f"{host.sequence_s.value * 1e6:.2g} µs a sequence on the host, {front.request_s.value * 1e3:.2g} ms "
            f"before a request is scheduled ({self.kind})"
        )


def version_of(text: str) -> Version:
    """``0.15.1`` as (0, 15, 1); what follows the numbers (``rc3``, ``.post1``) is left out. Pure query."""
    found = re.match(r"v?(\d+(?:\.\d+)*)", text.strip())
    if not found:
        raise CatalogError(Problem("engine version", f"'{text}' does not begin with a number such as 0.15.1"))
    return tuple(int(part) for part in found.group(1).split("."))


def engine_name(name: str) -> str:
    """The catalogue's name of an engine: ``TensorRT-LLM (Triton backend)`` is ``tensorrt-llm``. Pure query."""
    plain = re.sub(r"\s*\(.*\)$", "", name.strip().lower()).replace("_", "-").replace(" ", "-")
    return ALIASES.get(plain, plain)


@cache
def known_engines() -> tuple[EngineProfile, ...]:
    """Every engine file of the catalogue, by file name. Pure query."""
    paths = sorted((root() / "hardware" / "engines").glob("*.yaml"))
    return tuple(EngineProfile.model_validate(read(path)) for path in paths)


def engine_names() -> list[str]:
    """The engines there are profiles of, sorted. Pure query."""
    return sorted({profile.engine for profile in known_engines()})


@cache
def engine_profile(name: str, version: str | None = None) -> EngineProfile:
    """The generation of the engine ``name`` that ``version`` belongs to; without one, the newest.

    Raises:
        CatalogError: No such engine, or no generation for that version.
    """
    wanted = engine_name(name)
    found = [profile for profile in known_engines() if profile.engine == wanted]
    if not found:
        raise CatalogError(f"no profile of the engine '{name}'; {nearest(wanted, engine_names())}")
    if version is None:
        return max(found, key=lambda profile: version_of(profile.from_ or "0"))
    match = [profile for profile in found if profile.covers(version_of(version))]
    if not match:
        raise CatalogError(f"no profile of {wanted} {version}; there is {', '.join(p.name for p in found)}")
    return match[0]
