"""What serves the requests: pools of replicas and the engine they run."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    ValidationError,
    field_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import PydanticCustomError, core_schema

from llmsim import plugins
from llmsim.errors import CatalogError
from llmsim.registry import Registry
from llmsim.spec.base import Strict
from llmsim.units import Quantity

PositiveInt = Annotated[int, Field(gt=0)]

MOST_REPLICAS = 10_000
"""Each replica is a process of the simulation; no fleet needs more."""


@dataclass(frozen=True)
class PolicyRef:
    """A plug-in chosen by name, and its options, every one of them present.

    Attributes:
        kind: Its name in its registry.
        options: Option to value, checked against the class's ``Options``.
    """

    kind: str
    options: dict[str, Any]


@dataclass(frozen=True)
class Policy:
    """Marks a :class:`PolicyRef` field written as a name or as ``{kind: name, option: value}``."""

    registry: Registry[Any]

    def read(self, value: Any) -> PolicyRef:
        """The reference ``value`` stands for. Raises ValueError when the name or an option is wrong."""
        if isinstance(value, PolicyRef):
            value = self.write(value)
        options = dict(value) if isinstance(value, dict) else {"kind": value}
        kind = options.pop("kind", None)
        if not isinstance(kind, str):
            raise ValueError(
                f"Input should be a {self.registry.kind}'s name, or a mapping with its name as `kind`"
            )
        try:
            model = self.options_of(kind)
        except CatalogError as error:
            raise self._unknown(str(error), isinstance(value, dict)) from None
        return PolicyRef(kind, model.model_validate(options).model_dump(mode="json"))

    @staticmethod
    def _unknown(message: str, in_mapping: bool) -> ValueError:
        """The error about a policy's name; in a mapping it is at ``kind``."""
        if not in_mapping:
            return ValueError(message)
        fault = PydanticCustomError("conflict", "{message}", {"message": message})
        return ValidationError.from_exception_data(
            "Policy", [{"type": fault, "loc": ("kind",), "input": None}]
        )

    def options_of(self, kind: str) -> type[BaseModel]:
        """The model of the options that the policy ``kind`` takes. Raises CatalogError for an unknown one."""
        model: type[BaseModel] = getattr(self.registry.get(kind), "Options", Strict)
        if not (isinstance(model, type) and issubclass(model, BaseModel)):
            raise CatalogError(
                f"{self.registry.kind} '{kind}': its Options should be a class derived from llmsim.spec.base.Strict"
            )
        return model

    @staticmethod
    def write(ref: PolicyRef) -> dict[str, Any]:
        """``ref`` as a file says it in full."""
        return {"kind": ref.kind, **ref.options}

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(
            self.read, serialization=core_schema.plain_serializer_function_ser_schema(self.write)
        )

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        names = self.registry.names()
        mappings = []
        for name in names:
            with suppress(
                CatalogError
            ):  # a plug-in that cannot be loaded is told of when a scenario names it
                mappings.append(self._mapping_schema(name, handler))
        return {"anyOf": [{"type": "string", "enum": names}, *mappings]}

    def _mapping_schema(self, name: str, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """What may be written beside ``kind: name``."""
        options = handler.resolve_ref_schema(handler(self.options_of(name).__pydantic_core_schema__))
        return {
            "type": "object",
            "title": name,
            "description": (self.registry.get(name).__doc__ or "").partition("\n")[0],
            "properties": {"kind": {"const": name, "type": "string"}, **options.get("properties", {})},
            "required": ["kind", *options.get("required", [])],
            "additionalProperties": False,
        }


class Engine(Strict):
    """One replica's serving engine, in vLLM's names."""

    name: Literal["vllm", "sglang", "tensorrt-llm", "fastertransformer"] = Field(
        "vllm", description="whose host overheads: time per iteration, and per request before the first one"
    )
    version: str | None = Field(
        None,
        pattern=r"^\d+(\.\d+)*",
        description="of that engine: its generation's host times, front end and way of scheduling; null takes "
        "the newest one's host times only",
    )
    scheduler: Annotated[PolicyRef, Policy(plugins.SCHEDULERS)] = Field(
        "chunked_prefill", validate_default=True, description="who runs in each iteration"
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
    enable_prefix_caching: bool = Field(
        False, description="reuse the KV of shared prefixes; only false so far"
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

    @field_validator("enable_prefix_caching")
    @classmethod
    def _no_prefix_caching(cls, value: bool) -> bool:
        if value:
            raise ValueError("prefix caching is not in this version; write false")
        return value

    def longest(self, limit: int | None = None) -> int | None:
        """Most tokens of one request, as far as the keys say: ``limit`` where max_model_len is null. Pure query."""
        block = 1 if self.kv_cache.kind == "token" else self.block_size
        pool = None if self.num_kv_tokens is None else self.num_kv_tokens // block * block
        return min(
            (tokens for tokens in (self.max_model_len or limit, pool) if tokens is not None), default=None
        )


class Pool(Strict):
    """Identical replicas."""

    name: str = Field("main", min_length=1, description="what the report calls it")
    accelerator: str = Field(description="a name of `llmsim list accelerators`")
    node: str | None = Field(
        None,
        description="a name of `llmsim list nodes`: the machine its replicas sit in; null is the catalogue's usual "
        "one for the accelerator",
    )
    zone: str | None = Field(
        None, min_length=1, description="the zone its replicas are in; null is the topology's first one"
    )
    replicas: PositiveInt = Field(1, le=MOST_REPLICAS, description="how many copies of the model serve")
    tensor_parallel_size: PositiveInt = Field(1, le=1024, description="devices that share each layer")
    pipeline_parallel_size: PositiveInt = Field(1, description="stages the layers are divided into")
    cost_model: Annotated[PolicyRef, Policy(plugins.COST_MODELS)] = Field(
        PolicyRef("roofline", {}),
        validate_default=True,
        description="what the time of an iteration comes from",
    )
    engine: Engine | None = Field(None, description="engine keys that differ from the scenario's own")
    usd_per_hour: Annotated[float, Quantity("$/h"), Field(ge=0, le=1e6)] | None = Field(
        None, description="price of one accelerator; null is the catalogue's"
    )
