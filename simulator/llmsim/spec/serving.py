"""What serves the requests: pools of replicas and the engine they run."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from llmsim import plugins
from llmsim.spec.autoscale import Autoscale
from llmsim.spec.base import Place, Strict, raise_problems
from llmsim.spec.failures import Failure
from llmsim.spec.kv_tiers import KVTier, tier_problems
from llmsim.spec.model_ref import AlsoText, ModelRef, model_by_name
from llmsim.spec.policy import Policy, PolicyRef
from llmsim.spec.provisioning import Provisioning
from llmsim.spec.spot import Spot
from llmsim.units import Quantity

__all__ = ["MOST_REPLICAS", "Engine", "Policy", "PolicyRef", "Pool", "PositiveInt"]

PositiveInt = Annotated[int, Field(gt=0)]
Watts = Annotated[float, Quantity("W"), Field(ge=0, le=1e6)]

REMEMBERING = ("radix", "segment")
"""KV caches that keep what requests leave behind, whether or not ``enable_prefix_caching`` is set."""

MOST_REPLICAS = 10_000
"""Each replica is a process of the simulation; no fleet needs more."""


class Engine(Strict):
    """One replica's serving engine, in vLLM's names."""

    name: Literal["vllm", "sglang", "tensorrt-llm", "fastertransformer"] = Field(
        "vllm", description="whose host overheads: time per iteration, and per request before the first one"
    )
    version: str | None = Field(
        None,
        pattern=r"^\d+(\.\d+)*",
        description="of that engine: its generation's host times, front end and way of scheduling; null is the newest",
    )
    scheduler: Annotated[PolicyRef, Policy(plugins.SCHEDULERS)] = Field(
        "chunked_prefill", validate_default=True, description="who runs in each iteration"
    )
    predictor: Annotated[PolicyRef, Policy(plugins.PREDICTORS)] = Field(
        "none", validate_default=True, description="what the scheduler is told of output lengths"
    )
    max_num_seqs: PositiveInt = Field(256, description="most sequences in one iteration")
    max_num_batched_tokens: PositiveInt = Field(
        2048, description="most new tokens in one iteration", json_schema_extra={"unit": "tokens"}
    )
    kv_cache: Annotated[PolicyRef, Policy(plugins.KV_CACHES)] = Field(
        "paged", validate_default=True, description="how KV memory is given out"
    )
    block_size: PositiveInt = Field(
        16, description="tokens in a KV block", json_schema_extra={"unit": "tokens"}
    )
    gpu_memory_utilization: Annotated[float, Quantity("share")] = Field(
        0.90, gt=0, le=1, description="share of device memory the engine may use"
    )
    preemption_mode: Annotated[PolicyRef, Policy(plugins.PREEMPTION_MODES)] = Field(
        "recompute",
        validate_default=True,
        description="what becomes of the KV of a request that loses its place",
    )
    enable_prefix_caching: bool = Field(
        False,
        description="keep the KV of finished requests until its room is needed, for prompts that begin alike; what "
        "they share is known from a trace's `hash_ids`, or from what the workload draws",
    )
    disable_hybrid_kv_cache_manager: bool | None = Field(
        None,
        description="every layer keeps the KV of every token, also where it attends to a window only, and room for "
        "the states of max_num_seqs sequences is set aside; null is what the engine does: vLLM from 0.10 on lets each "
        "layer keep what it needs. With enable_prefix_caching, and for a kv_cache other than paged, every layer keeps "
        "every token",
    )
    kv_tiers: list[KVTier] = Field(
        [], description="memories that keep the prefixes which the KV pool has no room for, the fastest first"
    )
    kv_loading: Literal["blocking", "layerwise"] = Field(
        "blocking",
        description="how KV moves between kv_tiers and the pool. blocking: before an iteration; layerwise: each "
        "layer's while the one before is computed, as LMCache's use_layerwise; not with pipeline stages",
    )
    dtype: Literal["auto", "bfloat16", "float16", "float32"] = Field(
        "auto", description="number format of computation; auto is the checkpoint's"
    )
    kv_cache_dtype: Literal["auto", "bfloat16", "float16", "fp8", "fp8_e4m3", "fp8_e5m2", "int8"] = Field(
        "auto", description="number format of the KV cache; auto is the computation's"
    )
    quantization: Literal["fp8", "int8", "int4", "mxfp4", "nvfp4"] | None = Field(
        None, description="format the weights are quantised to on loading; null keeps the checkpoint's"
    )
    max_model_len: PositiveInt | None = Field(
        None, description="most tokens of prompt and output together; null is the model's limit",
        json_schema_extra={"unit": "tokens"},
    )  # fmt: skip
    num_kv_tokens: PositiveInt | None = Field(
        None, description="size of the KV pool of a replica; null derives it from memory",
        json_schema_extra={"unit": "tokens"},
    )  # fmt: skip
    enforce_eager: bool = Field(False, description="run without CUDA graphs, launching every kernel")

    @model_validator(mode="after")
    def _can_cache_prefixes(self) -> Engine:
        kind, names = self.kv_cache.kind, plugins.PREFIX_CACHES.names()
        if self.enable_prefix_caching and kind not in names:
            message = f"kv_cache '{kind}' has no blocks to share; take {' or '.join(names)}, or write false"
            raise_problems("Engine", [(("enable_prefix_caching",), message)])
        return self

    @model_validator(mode="after")
    def _can_have_tiers(self) -> Engine:
        kind, names = self.kv_cache.kind, plugins.TIERED_CACHES.names()
        problems = list(tier_problems(self.kv_tiers, cached=self.enable_prefix_caching))
        if self.kv_tiers and kind not in names:
            problems.append((("kv_tiers",), f"kv_cache '{kind}' has no tiers; take {' or '.join(names)}"))
        raise_problems("Engine", problems)
        return self

    @model_validator(mode="after")
    def _can_keep_by_layer(self) -> Engine:
        names = plugins.HYBRID_CACHES.names()
        if self.disable_hybrid_kv_cache_manager is False and not self.may_keep_by_layer:
            message = (
                "every layer keeps every token with enable_prefix_caching, a kv_cache other than "
                f"{' or '.join(names)}, or a preemption_mode that takes single blocks; leave those out, or remove this"
            )
            raise_problems("Engine", [(("disable_hybrid_kv_cache_manager",), message)])
        return self

    @property
    def may_keep_by_layer(self) -> bool:
        """Whether groups of layers can take blocks of their own, by the other keys. Pure query."""
        takes_blocks = plugins.PREEMPTION_MODES.get(self.preemption_mode.kind).needs_blocks
        is_paged = self.kv_cache.kind in plugins.HYBRID_CACHES.names()
        return is_paged and not self.enable_prefix_caching and not takes_blocks

    @property
    def caches_prefixes(self) -> bool:
        """Whether the KV of finished requests is kept for prompts that begin alike. Pure query."""
        return self.enable_prefix_caching or self.kv_cache.kind in REMEMBERING

    @property
    def set_aside_tokens(self) -> int:
        """Tokens of the KV pool that no request can have: those of a store of segments. Pure query."""
        options = self.kv_cache.options
        in_pool = self.kv_cache.kind == "segment" and options.get("store", "gpu") == "gpu"
        return int(options.get("store_tokens") or 0) if in_pool else 0

    def longest(self, limit: int | None = None) -> int | None:
        """Most tokens of one request, as far as the keys say: ``limit`` where max_model_len is null. Pure query."""
        block = 1 if self.kv_cache.kind == "token" else self.block_size
        block = int(self.kv_cache.options.get("page_size", block))
        taken = self.set_aside_tokens
        pool = None if self.num_kv_tokens is None else (self.num_kv_tokens - taken) // block * block
        return min(
            (tokens for tokens in (self.max_model_len or limit, pool) if tokens is not None), default=None
        )


Role = Literal["prefill", "decode", "mixed"]


class PoolStage(Strict):
    """A pipeline stage on devices of its own (HexGen, arXiv 2311.11514)."""

    accelerator: str = Field(description="a name of `llmsim list accelerators`")
    node: str | None = Field(None, description="a name of `llmsim list nodes`; null is the usual one")
    tensor_parallel_size: PositiveInt = Field(1, le=1024, description="devices that share each layer")
    layers: PositiveInt = Field(description="layers of the model that it holds")


class Pool(Strict):
    """Identical replicas."""

    name: str = Field("main", min_length=1, description="what the report calls it")
    accelerator: str = Field(
        "",
        description="a name of `llmsim list accelerators`; an `instance` says it too, and `stages` name their own",
    )
    instance: str | None = Field(
        None,
        description="a name of `llmsim list instances`: accelerator and price; whole instances are paid for",
    )
    node: str | None = Field(
        None,
        description="a name of `llmsim list nodes`: how many accelerators one link joins, and the network beyond; "
        "null is the usual one",
    )
    zone: str | None = Field(
        None, min_length=1, description="the zone its replicas are in; null is the topology's first one"
    )
    replicas: PositiveInt = Field(1, le=MOST_REPLICAS, description="how many copies of the model serve")
    tensor_parallel_size: Annotated[int, Field(gt=0, le=1024)] | Literal["auto"] = Field(
        1,
        description="devices that share each layer; auto tries plans that fit memory and takes the one with the "
        "lowest cost per output token",
    )
    pipeline_parallel_size: PositiveInt = Field(1, description="stages the layers are divided into")
    pipeline_layers: list[PositiveInt] | None = Field(
        None, min_length=1, description="layers of each stage; null divides them evenly"
    )
    data_parallel_size: PositiveInt = Field(
        1,
        le=1024,
        description="ranks of a replica that share the experts, each with its own batch and KV; needs "
        "enable_expert_parallel",
    )
    enable_expert_parallel: bool = Field(
        False, description="divide whole experts over the tensor- and data-parallel ranks"
    )
    prefill_context_parallel_size: PositiveInt = Field(
        1, le=1024, description="devices that share each prompt (ring attention) and the KV of each context"
    )
    stages: list[PoolStage] | None = Field(
        None, min_length=1, description="an asymmetric pipeline: accelerator, degree and layers of each stage"
    )
    cost_model: Annotated[PolicyRef, Policy(plugins.COST_MODELS)] = Field(
        PolicyRef("roofline", {}),
        validate_default=True,
        description="what the time of an iteration comes from",
    )
    model: Annotated[ModelRef, AlsoText()] | None = Field(
        None, description="the model it serves, where that is not the scenario's"
    )
    role: Role = Field(
        "mixed", description="prefill: computes prompts; decode: goes on from there; mixed: does both"
    )
    engine: Engine | None = Field(None, description="engine keys that differ from the scenario's own")
    usd_per_hour: Annotated[float, Quantity("$/h"), Field(ge=0, le=1e6)] | None = Field(
        None, description="price of one accelerator; null is the instance's, else the catalogue's"
    )
    idle_power: Watts | None = Field(
        None, description="draw of one accelerator with nothing to do; null is the catalogue's"
    )
    load_power: Watts | None = Field(
        None, description="draw of one accelerator at work; null is its peak power in the catalogue"
    )
    autoscale: Autoscale | None = Field(
        None, description="who changes the number of replicas, which then starts at `replicas`; null keeps it"
    )
    provisioning: Provisioning = Field(
        default_factory=Provisioning, description="how long a new instance takes until it serves"
    )
    spot: Spot | None = Field(
        None, description="interruptible capacity: its availability, notice and price; null is on demand"
    )
    failures: list[Failure] = Field([], description="crashes without notice, at given times")

    @model_validator(mode="after")
    def _has_a_device(self) -> Pool:
        if not self.accelerator and self.instance is None:
            raise_problems("Pool", [(("accelerator",), "required, but missing (or `instance`)")])
        return self

    @model_validator(mode="after")
    def _starts_within_its_limits(self) -> Pool:
        if (scale := self.autoscale) is None:
            return self
        problems: list[tuple[Place, str]] = []
        if scale.max_replicas > MOST_REPLICAS:
            message = f"is more than {MOST_REPLICAS:,}, which no fleet needs"
            problems.append((("autoscale", "max_replicas"), message))
        if not scale.min_replicas <= self.replicas <= scale.max_replicas:
            message = (
                f"the pool starts with {self.replicas}, but autoscale allows {scale.min_replicas} to "
                f"{scale.max_replicas}; write a number between"
            )
            problems.append((("replicas",), message))
        raise_problems("Pool", problems)
        return self

    @property
    def is_fixed(self) -> bool:
        """Whether its replicas stay what they are. Pure query."""
        return self.spot is None and self.autoscale is None and not self.failures

    @field_validator("model", mode="before")
    @classmethod
    def _model_by_name(cls, value: Any) -> Any:
        return value if value is None else model_by_name(value)

    @model_validator(mode="before")
    @classmethod
    def _first_stage_names_the_accelerator(cls, value: Any) -> Any:
        stages = value.get("stages") if isinstance(value, dict) else None
        if isinstance(stages, list) and stages and isinstance(stages[0], dict) and "accelerator" not in value:
            return value | {"accelerator": stages[0].get("accelerator")}
        return value
