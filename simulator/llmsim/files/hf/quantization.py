"""Number formats of a checkpoint, from ``quantization_config`` or ModelOpt's ``hf_quant_config.json``."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from llmsim.files.hf.fields import Fields
from llmsim.spec.model import Quantization, Role

Scheme = tuple[str, str | None, int | None]
"""(format of weights, format of activations, weights that share a scale)"""

_QUANTIZED: tuple[Role, ...] = ("attention", "ffn", "expert")
"""Roles that a method quantizes unless it says otherwise; routers, embeddings and logits stay as they are."""

_MODULES: dict[Role, str] = {
    "attention": r"self_attn|attn|attention|mixer|linear_attn",
    "expert": r"experts",
    "ffn": r"mlp|feed_forward|shared_expert",
    "lm_head": r"lm_head",
}
_ROUTER = re.compile(r"(\.|^)(gate|router)(\.|$)|router")

_MODELOPT = {
    "FP8": ("fp8", "fp8"),
    "FP8_PB_WO": ("fp8", None),
    "FP8_PER_CHANNEL_PER_TOKEN": ("fp8", "fp8"),
    "NVFP4": ("nvfp4", "nvfp4"),
    "NVFP4_AWQ": ("nvfp4", "nvfp4"),
    "W4A8_AWQ": ("int4", "fp8"),
    "W4A16_AWQ": ("int4", None),
    "W8A8_SQ_PER_CHANNEL": ("int8", "int8"),
    "MXFP8": ("mxfp8", "mxfp8"),
    "MXFP4": ("mxfp4", None),
}
"""``quant_algo`` to (weights, activations)."""


def read_quantization(
    f: Fields, side_file: Mapping[str, Any] | None, layers: int, present: Collection[Role]
) -> Quantization | None:
    """How the weights are stored, of the roles ``present``; None when nothing says they are quantized.

    Precedence: the config's own ``quantization_config`` before the side file beside it.
    """
    config = f.get("quantization_config")
    if config is not None and not isinstance(config, Mapping):
        f.complain("quantization_config", f"should be a mapping, but is {config!r}")
        return None
    if config is None:
        config = side_file and {"quant_method": "modelopt", **side_file.get("quantization", side_file)}
    if not config:
        return None
    method = str(
        config.get("quant_method", "compressed-tensors" if "config_groups" in config else "?")
    ).lower()
    known = _read(method, config)
    bits = config.get("bits", config.get("w_bit", 4))
    if not isinstance(bits, int):
        f.complain("quantization_config", f"has bits that are no whole number: {bits!r}")
    if known is None:
        f.complain("quantization_config", f"has a quant_method that is not known: {method!r}")
        return None
    weights, activations, group_size = known
    roles = [role for role in _roles(method, config, layers) if role in present]
    formats: dict[Role, str] = dict.fromkeys(roles, weights)
    if f.has("expert_dtype"):
        formats["expert"] = {"fp4": "mxfp4"}.get(f.get("expert_dtype"), f.get("expert_dtype"))
    return Quantization(
        method=method,
        formats=formats,
        group_size=group_size,
        activations=activations,
        kv_cache=_kv_cache(config),
    )


def _read(method: str, config: Mapping[str, Any]) -> Scheme | None:
    """The scheme of a method; None when it is not known."""
    bare = method.partition("-")[0].partition("_")[0]
    reader = _READERS.get(bare)
    return reader(config) if reader else None


def _fp8(config: Mapping[str, Any]) -> Scheme:
    block = config.get("weight_block_size")
    return "fp8", "fp8", block[0] if block else None


def _integers(config: Mapping[str, Any]) -> Scheme:
    group = config.get("group_size", config.get("q_group_size"))
    bits = config.get("bits", config.get("w_bit", 4))
    return f"int{bits}", None, group if isinstance(group, int) and group > 0 else None


def _bitsandbytes(config: Mapping[str, Any]) -> Scheme:
    if config.get("load_in_4bit"):
        return str(config.get("bnb_4bit_quant_type", "fp4")), None, 64
    return "int8", "int8", None


def _modelopt(config: Mapping[str, Any]) -> Scheme | None:
    formats = _MODELOPT.get(str(config.get("quant_algo")).upper())
    return formats and (*formats, config.get("group_size"))


def _compressed_tensors(config: Mapping[str, Any]) -> Scheme | None:
    """The first group's scheme; groups beyond it differ in which layers they name, rarely in format."""
    groups: Mapping[str, Any] = config.get("config_groups", {})
    scheme: Mapping[str, Any] = next(iter(groups.values()), {})
    weights, inputs = scheme.get("weights"), scheme.get("input_activations")
    if not weights:
        return None
    return _format(weights), _format(inputs) if inputs else None, weights.get("group_size")


def _format(scheme: Mapping[str, Any]) -> str:
    """``{num_bits: 8, type: float}`` is fp8; 4-bit floats are told apart by how many share a scale."""
    bits = scheme.get("num_bits", 8)
    if scheme.get("type") != "float":
        return f"int{bits}"
    if bits == 8:
        return "fp8"
    return "mxfp4" if scheme.get("group_size") == 32 else "nvfp4"


_READERS: dict[str, Callable[[Mapping[str, Any]], Scheme | None]] = {
    "fp8": _fp8,
    "fbgemm": _fp8,
    "awq": _integers,
    "gptq": _integers,
    "auto": _integers,  # auto-round
    "mxfp4": lambda _: ("mxfp4", None, 32),
    "bitsandbytes": _bitsandbytes,
    "compressed": _compressed_tensors,
    "modelopt": _modelopt,
}
"""First word of ``quant_method`` to what reads its scheme."""


def _roles(method: str, config: Mapping[str, Any], layers: int) -> list[Role]:
    """The roles a method quantizes: all it could, less those its list of exceptions names."""
    if method == "mxfp4":
        return ["expert"]
    skipped = [
        name
        for key in ("modules_to_not_convert", "ignore", "ignored_layers", "exclude_modules")
        for name in config.get(key) or []
    ]
    return [role for role in _QUANTIZED if not _is_skipped(role, skipped, layers)]


def _is_skipped(role: Role, skipped: Iterable[str], layers: int) -> bool:
    """Whether the exceptions name the role's modules, in general or in at least half of the layers."""
    named: set[str] = set()
    for name in skipped:
        text = name.removeprefix("re:")
        if re.search(r"vision|visual|mtp", text) or _ROUTER.search(text) or "norm" in text:
            continue
        if _role(text) == role:
            number = re.search(r"\.(\d+)\.", text)
            named.add(number.group(1) if number else "*")
    return "*" in named or len(named) * 2 >= layers


def _role(module: str) -> Role | None:
    if "shared_expert" in module:
        return "ffn"
    order: tuple[Role, ...] = ("expert", "attention", "ffn", "lm_head")
    return next((role for role in order if re.search(_MODULES[role], module)), None)


def _kv_cache(config: Mapping[str, Any]) -> str | None:
    """Format of the KV cache, where the checkpoint brings scales for one."""
    algorithm = config.get("kv_cache_quant_algo")
    if algorithm:
        return str(algorithm).lower()
    scheme = config.get("kv_cache_scheme")
    return _format(scheme) if scheme else None
