"""A measured run as a scenario: the server as its row describes it, the rest as that engine's version starts."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from llmsim.calibrate.runs import MeasuredRun
from llmsim.calibrate.runs_fleet import fleet_of, router_of
from llmsim.calibrate.runs_workload import NotExpressible, workload_of
from llmsim.cost.engines import DefaultLimits, EngineProfile, engine_name, engine_profile
from llmsim.errors import CatalogError
from llmsim.files import catalog
from llmsim.files.scenario_file import LoadedScenario, model_conflicts
from llmsim.registry import nearest
from llmsim.spec.hardware import Accelerator
from llmsim.spec.model import ModelShape
from llmsim.spec.scenario import Scenario

DTYPES = {"fp16": "float16", "float16": "float16", "bf16": "bfloat16", "bfloat16": "bfloat16"}
QUANTIZED = {
    "fp8": "fp8", "w8a8": "int8", "int8": "int8", "int4": "int4", "awq": "int4", "gptq": "int4", "w4a16": "int4",
    "4bit": "int4", "fp4": "nvfp4", "nvfp4": "nvfp4", "mxfp4": "mxfp4",
}  # fmt: skip
"""Spellings of number formats in runs files and names of checkpoints, and the engine's key for them."""

_FORMAT = re.compile(rf"(?<=[-_.])({'|'.join(QUANTIZED)})(?=[-_]|$)", re.IGNORECASE)

_SUFFIX = re.compile(
    rf"[-_]({'|'.join(QUANTIZED)}|bnb|dynamic|kv|block|thinking|quantized[^/]*|2[45]\d\d)$", re.IGNORECASE
)
"""What a checkpoint's name may end with and still have its base model's shape: a format, a month of release."""


_DECORATION = re.compile(
    r"nvidia|amd|intel|instinct|tesla|geforce|hbm\d\w?|oam|tensor|core|gpu|blackwell|server|workstation|edition"
    r"|generation|nvl72|\d+x",
    re.IGNORECASE,
)
"""Words of an accelerator's name that do not tell it from others."""


@dataclass(frozen=True)
class Expressed:
    """A run's scenario.

    Attributes:
        loaded: What to simulate.
        profile: The engine's generation.
        assumed: What the row does not say and was taken from elsewhere, in words.
    """

    loaded: LoadedScenario
    profile: EngineProfile
    assumed: list[str] = field(default_factory=list)


def express(run: MeasuredRun) -> Expressed:
    """``run`` as a scenario.

    Raises:
        NotExpressible: The row lacks something, or describes what this version cannot simulate.
    """
    assumed: list[str] = []
    accelerator = _known(lambda: accelerator_of(run.text("gpu")))
    model = _known(lambda: model_of(run.text("model")), hint="--set model=NAME, or the path of a config.json")
    version = run.text("engine_version") or None
    profile = _known(lambda: engine_profile(run.text("engine"), version))
    fleet = fleet_of(run, accelerator, model, assumed)
    data = {
        "name": re.sub(r"[^\w.+-]+", "-", run.id)[:80] or "run",
        "model": model.name,
        "fleet": fleet,
        "engine": _engine(run, accelerator, model, profile, assumed),
        "workload": workload_of(run, assumed),
        "router": router_of(fleet, profile.engine),
    }
    try:
        scenario = Scenario.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        raise NotExpressible(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    loaded = LoadedScenario(scenario, Path(run.where), Path(), model)
    for place, text in model_conflicts(loaded):
        raise NotExpressible(f"{place[-1]}: {text}")
    return Expressed(loaded, profile, assumed)


def _known(look_up: Callable[[], Any], hint: str = "") -> Any:
    try:
        return look_up()
    except CatalogError as error:
        raise NotExpressible(f"{error} ({hint})" if hint else str(error)) from None


def accelerator_of(name: str) -> Accelerator:
    """The accelerator a runs file means: ``A100-80GB-SXM`` and ``NVIDIA H100 80GB HBM3`` too.

    Raises:
        CatalogError: There is none of that name.
    """
    if not name:
        raise CatalogError("the row names no gpu; give it with --set gpu=NAME")
    words = [
        word for word in re.split(r"[-_\s()]+", name.strip()) if word and not _DECORATION.fullmatch(word)
    ]
    words = [re.sub(r"(?i)^sxm\d$", "SXM", word) for word in words]
    plain = "-".join(words)
    memory = re.search(r"(?i)-\d+-?gb", plain)
    without = plain.replace(memory.group(), "") if memory else plain
    moved = without + memory.group() if memory else plain
    for spelling in (name, plain, moved, without, re.sub("(?i)-pcie$", "", without)):
        try:
            return catalog.accelerator(spelling)
        except CatalogError:
            continue
    return catalog.accelerator(name)  # fails with the name as it was given


def model_of(name: str) -> ModelShape:
    """The model a runs file means; a quantised checkpoint is its base model, the format is the row's.

    Raises:
        CatalogError: There is none of that name.
    """
    if not name:
        raise CatalogError("the row names no model")
    base = name
    while True:
        try:
            return catalog.model(base)
        except CatalogError:
            shorter = _SUFFIX.sub("", base)
            if shorter == base:
                break
            base = shorter
    return catalog.model(name)  # fails with the name as it was given


def _engine(
    run: MeasuredRun, accelerator: Accelerator, model: ModelShape, profile: EngineProfile, assumed: list[str]
) -> dict[str, Any]:
    defaults, origin = _default_limits(run, accelerator, profile)
    tokens = run.count("max_num_batched_tokens") or defaults.max_num_batched_tokens
    seqs = min(run.count("max_num_seqs") or defaults.max_num_seqs, tokens)
    for column, value in (("max_num_seqs", seqs), ("max_num_batched_tokens", tokens)):
        if run.count(column) is None:
            assumed.append(f"{column} {value:,}: {origin}")
    engine: dict[str, Any] = {
        "name": engine_name(run.text("engine")),
        "scheduler": _scheduler(run.text("chunked_prefill").lower(), profile),
        "max_num_seqs": seqs,
        "max_num_batched_tokens": tokens,
        "block_size": run.count("block_size") or 16,
        "gpu_memory_utilization": run.number("gpu_memory_utilization") or 0.9,
        **_formats(run, model, assumed),
    }
    engine["version"] = run.text("engine_version").removeprefix("v") or profile.from_ or "0"
    if not run.text("engine_version"):
        assumed.append(f"engine_version: not given; the newest generation, {profile.name}")
    longest = run.count("max_model_len")
    if longest is not None:
        engine["max_model_len"] = min(longest, model.max_position_embeddings)
    blocks = run.count("num_kv_blocks")
    if blocks is not None:
        engine["num_kv_tokens"] = blocks * engine["block_size"]
    return engine


def _scheduler(chunked: str, profile: EngineProfile) -> str | dict[str, Any]:
    """The generation's scheduler, with chunked prefill as the row says: "on…", "off…" or nothing.

    Off, prompts go whole: before decodes in vLLM V0, beside them in later engines. SGLang's chunks never
    join decodes unless told to, so there it changes nothing.
    """
    if profile.engine == "sglang" or not chunked.startswith(("on", "off")):
        return profile.default_scheduler()
    if chunked.startswith("on"):
        return "chunked_prefill"
    return "vllm" if profile.scheduler == "vllm" else {"kind": "chunked_prefill", "whole_prompts": True}


def _default_limits(
    run: MeasuredRun, accelerator: Accelerator, profile: EngineProfile
) -> tuple[DefaultLimits, str]:
    """The limits of a server that its row does not describe, and where they come from."""
    usual, users = profile.benchmark_server, run.count("concurrency")
    if usual is None or users is None or run.text("arrival") != "closed":
        return profile.limits_on(accelerator), f"default of {profile.name}"
    prompt = round(run.number("input_mean") or 0)
    limits = DefaultLimits(
        max_num_seqs=max(1, users - usual.seats_less),
        max_num_batched_tokens=prompt + users + usual.tokens_more,
    )
    return limits, "as published benchmarks size such a server"


def _formats(run: MeasuredRun, model: ModelShape, assumed: list[str]) -> dict[str, Any]:
    dtype, kv = run.text("dtype").lower(), run.text("kv_dtype").lower()
    keys: dict[str, Any] = {}
    if dtype in DTYPES:
        keys["dtype"] = DTYPES[dtype]
    elif dtype not in ("", "auto", *QUANTIZED):
        raise NotExpressible(f"number format '{dtype}'; {nearest(dtype, (*DTYPES, *QUANTIZED))}")
    named = _FORMAT.search(run.text("model"))
    weights = QUANTIZED.get(dtype) or (QUANTIZED[named.group().lower()] if named else None)
    stored = model.quantization.formats.values() if model.quantization else ()
    if weights and weights not in stored:
        keys["quantization"] = weights
        if dtype not in QUANTIZED:
            assumed.append(f"weights in {weights}: as the model's name says")
    if kv.startswith(("fp8", "int8")):
        keys["kv_cache_dtype"] = "fp8" if kv.startswith("fp8") else "int8"
    elif kv in DTYPES:
        keys["kv_cache_dtype"] = DTYPES[kv]
    elif kv not in ("", "auto"):
        raise NotExpressible(f"KV cache format '{kv}'")
    return keys
