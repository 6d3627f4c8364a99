"""The whole scenario: one question, with everything its answer depends on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Annotated, Any

from pydantic import (
    Field,
    GetJsonSchemaHandler,
    field_serializer,
    field_validator,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import core_schema

from llmsim import plugins
from llmsim.spec.admission import Admission
from llmsim.spec.base import NAME, Place, Strict, raise_problems
from llmsim.spec.disaggregation import Disaggregation
from llmsim.spec.energy import Energy
from llmsim.spec.model_ref import AlsoText, ModelRef, model_by_name
from llmsim.spec.plan import Plan
from llmsim.spec.serving import REMEMBERING, Engine, Policy, PolicyRef, Pool
from llmsim.spec.sweep import Sweep
from llmsim.spec.targets import Slo
from llmsim.spec.topology import Topology, topology_conflicts
from llmsim.spec.workload import Workload
from llmsim.units import Quantity


class Simulation(Strict):
    """How the simulation is carried out; only ``seed`` and ``max_duration_s`` change its result."""

    seed: int = Field(0, ge=0, description="seed of every random stream")
    fast_forward: bool = Field(
        True, description="one event per run of identical iterations; false steps each one"
    )
    max_duration_s: Annotated[float, Quantity("s"), Field(gt=0)] | None = Field(
        None,
        description="simulated time after which what is left is `unfinished`; null waits for every request",
    )


class _AlsoOneItem:
    """Tells editors that a list of one may be written as its item."""

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        items = handler(schema)
        return {"anyOf": [items, items["items"]]}


class Scenario(Strict):
    """A model on a fleet under a workload, judged by targets."""

    name: str = Field("scenario", pattern=NAME, max_length=80, description="names the results directory")
    model: Annotated[ModelRef, AlsoText()] = Field(description="a name, a path, or {name or path, assume}")
    fleet: Annotated[list[Pool], _AlsoOneItem()] = Field(
        min_length=1, description="pools of identical replicas; a mapping is one pool"
    )
    engine: Engine = Field(default_factory=Engine, description="the engine of every replica")
    topology: Topology = Field(
        default_factory=Topology, description="zones, links, storage and machines; the catalogue's by default"
    )
    workload: Workload = Field(description="the requests")
    router: Annotated[PolicyRef, Policy(plugins.ROUTERS)] = Field(
        "round_robin", validate_default=True, description="which replica a request goes to"
    )
    admission: Admission = Field(
        default_factory=Admission, description="limits at the front door, and retries"
    )
    disaggregation: Disaggregation = Field(
        default_factory=Disaggregation,
        description="from prefill to decode replicas, where pools have these roles",
    )
    slo: Slo = Field(default_factory=Slo, description="latency targets")
    energy: Energy = Field(default_factory=Energy, description="what the site adds: PUE and carbon intensity")
    simulation: Simulation = Field(default_factory=Simulation, description="seed and limits of the run")

    plan: Plan | None = Field(
        None, exclude=True, description="what `llmsim plan` may choose from; a single run leaves it aside"
    )
    sweep: Sweep | None = Field(
        None, exclude=True, description="what `llmsim sweep` varies; a single run leaves it aside"
    )

    _model_by_name = field_validator("model", mode="before")(model_by_name)

    @field_validator("fleet", mode="before")
    @classmethod
    def _mapping_is_one_pool(cls, value: Any) -> Any:
        return [value] if isinstance(value, dict) else value

    @model_validator(mode="after")
    def _fits_together(self) -> Scenario:
        raise_problems("Scenario", _conflicts(self))
        return self

    @property
    def is_disaggregated(self) -> bool:
        """Whether some pool computes prompts for another. Pure query."""
        return any(pool.role != "mixed" for pool in self.fleet)

    def engine_of(self, pool: Pool) -> Engine:
        """The scenario's engine with the keys that ``pool`` sets itself. Pure query."""
        if pool.engine is None:
            return self.engine
        return self.engine.model_copy(
            update={key: getattr(pool.engine, key) for key in pool.engine.model_fields_set}
        )

    def model_of(self, pool: Pool) -> ModelRef:
        """The model that ``pool`` serves. Pure query."""
        return pool.model or self.model

    @field_serializer("fleet")
    def _resolved_fleet(self, fleet: list[Pool]) -> list[dict[str, Any]]:
        """Pools with their whole engine, so that reading it back means the same."""
        return [
            pool.model_dump() | {"engine": pool.engine and self.engine_of(pool).model_dump()}
            for pool in fleet
        ]


def _conflicts(scenario: Scenario) -> Iterator[tuple[Place, str]]:
    """What each key allows and two together do not."""
    counts = Counter(pool.name for pool in scenario.fleet)
    for index, pool in enumerate(scenario.fleet):
        if counts[pool.name] > 1:
            yield (
                ("fleet", index, "name"),
                f"{counts[pool.name]} pools are called '{pool.name}'; give each its own name",
            )
        if pool.engine is not None:
            yield from _engine_conflicts(scenario.engine_of(pool), ("fleet", index, "engine"))
        if pool.autoscale is not None:
            policy = pool.autoscale.policy
            yield from plugins.AUTOSCALERS.get(policy.kind).conflicts(policy.options, scenario, index)
    yield from _role_conflicts(scenario)
    yield from topology_conflicts(scenario.topology, [pool.zone for pool in scenario.fleet])
    yield from _engine_conflicts(scenario.engine, ("engine",))
    yield from _scheduler_conflicts(scenario)
    yield from plugins.ROUTERS.get(scenario.router.kind).conflicts(scenario.router.options, scenario)
    engines = [scenario.engine_of(pool) for pool in scenario.fleet]
    beams, seats = scenario.workload.beam_width, min(engine.max_num_seqs for engine in engines)
    if beams > seats:
        yield (
            ("workload", "beam_width"),
            f"{beams} beams never have a seat each: max_num_seqs is {seats}; raise it or search with fewer",
        )
    name = "num_kv_tokens" if any(engine.num_kv_tokens for engine in engines) else "max_model_len"
    yield from length_conflicts(scenario.workload, [engine.longest() for engine in engines], name)


def _scheduler_conflicts(scenario: Scenario) -> Iterator[tuple[Place, str]]:
    """What the schedulers that serve cannot work with, each once."""
    places: dict[Place, PolicyRef] = {}
    for index, pool in enumerate(scenario.fleet):
        own = pool.engine is not None and "scheduler" in pool.engine.model_fields_set
        at: Place = ("fleet", index, "engine", "scheduler") if own else ("engine", "scheduler")
        places[at] = scenario.engine_of(pool).scheduler
    for at, ref in places.items():
        conflicts = getattr(plugins.SCHEDULERS.get(ref.kind), "conflicts", None)
        if conflicts:
            yield from conflicts(ref.options, scenario, at)


def _role_conflicts(scenario: Scenario) -> Iterator[tuple[Place, str]]:
    """Roles that lack their counterpart, per model."""
    roles: dict[str, set[str]] = {}
    for pool in scenario.fleet:
        roles.setdefault(scenario.model_of(pool).ref, set()).add(pool.role)
    for index, pool in enumerate(scenario.fleet):
        there = roles[scenario.model_of(pool).ref]
        if pool.role == "prefill" and "decode" not in there:
            message = (
                "pool '{}' computes prompts, and no pool of its model decodes; add one with role: decode"
            )
            yield ("fleet", index, "role"), message.format(pool.name)
        if pool.role == "decode" and "prefill" not in there:
            message = "pool '{}' only decodes, and no pool of its model has role: prefill; add one"
            yield ("fleet", index, "role"), message.format(pool.name)
    handover = scenario.disaggregation
    if scenario.is_disaggregated:
        decode_router = plugins.ROUTERS.get(handover.router.kind)
        if decode_router.needs:
            asked = scenario.model_copy(update={"router": handover.router})
            for _, message in decode_router.conflicts(handover.router.options, asked):
                yield ("disaggregation", "router"), message
        for place, ref in (
            (("router",), scenario.router),
            (("disaggregation", "router"), scenario.disaggregation.router),
        ):
            if ref.kind == "central_queue":
                yield (
                    place,
                    "central_queue cannot hand requests over from prefill to decode; choose another router",
                )


def _engine_conflicts(engine: Engine, place: Place) -> Iterator[tuple[Place, str]]:
    if engine.num_kv_tokens and (engine.max_model_len or 0) > engine.num_kv_tokens:
        yield (
            (*place, "max_model_len"),
            f"{engine.max_model_len} tokens are more than the KV pool holds (num_kv_tokens is "
            f"{engine.num_kv_tokens}); lower it or enlarge the pool",
        )
    if engine.num_kv_tokens and engine.set_aside_tokens >= engine.num_kv_tokens:
        yield (
            (*place, "kv_cache"),
            f"store_tokens {engine.set_aside_tokens} leave nothing of the KV pool (num_kv_tokens is "
            f"{engine.num_kv_tokens}); lower them or enlarge the pool",
        )
    tokens, sequences = engine.max_num_batched_tokens, engine.max_num_seqs
    if engine.scheduler.kind == "chunked_prefill" and tokens < sequences:
        yield (
            (*place, "max_num_batched_tokens"),
            f"{tokens} is less than max_num_seqs ({sequences}), and each decoding sequence takes one token "
            f"of the budget; raise it to at least {sequences} or lower max_num_seqs",
        )
    mode = engine.preemption_mode.kind
    kinds = [name for name in plugins.PREFIX_CACHES.names() if name not in REMEMBERING]
    if not plugins.PREEMPTION_MODES.get(mode).needs_blocks:
        return
    if engine.kv_cache.kind not in plugins.PREFIX_CACHES.names():
        yield (
            (*place, "preemption_mode"),
            f"{mode} takes single blocks, and kv_cache '{engine.kv_cache.kind}' has none; take {' or '.join(kinds)}",
        )
    elif engine.caches_prefixes:
        yield (
            (*place, "preemption_mode"),
            f"{mode} is what a prefix cache does anyway, by rules of its own; remove this, or "
            + (
                "enable_prefix_caching"
                if engine.enable_prefix_caching
                else f"kv_cache '{engine.kv_cache.kind}'"
            ),
        )


def length_conflicts(
    workload: Workload, limits: Sequence[int | None], name: str
) -> Iterator[tuple[Place, str]]:
    """What makes every request of ``workload`` too long for every pool.

    Args:
        workload: Its fixed lengths are looked at, and what all prompts share; draws and traces may fit.
        limits: Most tokens of prompt and output in each pool; None where that is not known.
        name: What sets the limits.
    """
    prompt, output, shared = workload.input_tokens, workload.output_tokens, workload.prefix_tokens
    known = [limit for limit in limits if limit is not None]
    if len(known) < len(limits):
        return
    limit = max(known)
    if shared >= limit:
        key = "segments" if workload.segments else "shared_prefix"
        yield ("workload", key), f"{shared} tokens leave no room for a prompt within {name} ({limit} tokens)"
        return
    if not isinstance(prompt, int):
        return
    prompt += shared
    if prompt >= limit:
        yield (
            ("workload", "input_tokens"),
            f"{prompt} leaves no room for output within {name} ({limit} tokens)",
        )
    elif isinstance(output, int) and prompt + output > limit:
        message = f"{prompt} of prompt and {output} of output exceed {name} ({limit} tokens)"
        yield ("workload", "output_tokens"), message
