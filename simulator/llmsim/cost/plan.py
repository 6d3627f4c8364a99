"""In which number formats a model is kept and computed; and, from ``cost.parallel``, how it is cut over devices."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from llmsim.cost.parallel import ParallelPlan, split_layers, stage_layer_counts
from llmsim.errors import CatalogError, Problem
from llmsim.spec.hardware import Accelerator
from llmsim.spec.model import ModelShape, Role

__all__ = [
    "Formats",
    "ParallelPlan",
    "bytes_per_element",
    "compute_dtype",
    "short_dtype",
    "split_layers",
    "stage_layer_counts",
]


_BITS = {
    "fp32": 32, "tf32": 32, "fp16": 16, "bf16": 16, "fp8": 8, "int8": 8, "int4": 4, "fp4": 4,
    "mxfp8": 8.25, "mxfp6": 6.25, "mxfp4": 4.25, "nvfp4": 4.5,
}  # fmt: skip
"""Bits per element. OCP MX formats hold a scale byte per 32 elements, NVFP4 one per 16."""

_LONG_NAMES = {"float32": "fp32", "float16": "fp16", "half": "fp16", "bfloat16": "bf16", "float": "fp32"}

_GROUP_SCALE_BITS = 16 + 4
"""A 16-bit scale and a 4-bit zero point per group of integer weights (GPTQ, AWQ)."""


def short_dtype(name: str) -> str:
    """``bfloat16`` or ``torch.bfloat16`` as ``bf16``, ``fp8_e4m3`` as ``fp8``. Pure query."""
    name = name.removeprefix("torch.").lower()
    if name.startswith(("fp8", "float8")):
        return "fp8"
    return _LONG_NAMES.get(name, name)


def bytes_per_element(format_name: str, group_size: int | None = None) -> float:
    """Bytes one number takes in a format, its share of the scales included. Pure query."""
    bits = _BITS.get(format_name)
    if bits is None:
        digits = re.search(r"(\d+)$", format_name)
        bits = int(digits.group(1)) if digits else 16
    if format_name.startswith("int") and bits < 8:
        bits += _GROUP_SCALE_BITS / (group_size or 128)
    return bits / 8


@dataclass(frozen=True)
class Formats:
    """Number formats of an engine's tensors.

    Attributes:
        compute: Activations, and weights that no quantization names: ``bf16``, ``fp16``, ``fp32``.
        kv: Elements of the KV cache.
        weights: Format by role, for the quantized roles only.
        activations: Format that inputs of quantized products are rounded to; None: weight-only.
        group_size: Weights that share a scale, where the format has groups.
    """

    compute: str = "bf16"
    kv: str = "bf16"
    weights: Mapping[Role, str] = field(default_factory=dict)
    activations: str | None = None
    group_size: int | None = None

    def weight_format(self, role: Role) -> str:
        """The format a role's weights are stored in. Pure query."""
        return self.weights.get(role, self.compute)

    def weight_bytes(self, role: Role) -> float:
        """Bytes per weight of a role. Pure query."""
        return bytes_per_element(self.weight_format(role), self.group_size)

    @property
    def activation_bytes(self) -> float:
        """Bytes per activation. Pure query."""
        return bytes_per_element(self.compute)

    @property
    def kv_bytes(self) -> float:
        """Bytes per element of the KV cache. Pure query."""
        return bytes_per_element(self.kv)

    @classmethod
    def resolve(
        cls,
        model: ModelShape,
        *,
        dtype: str = "auto",
        kv_cache_dtype: str = "auto",
        quantization: str | None = None,
    ) -> Formats:
        """The formats vLLM would choose: ``auto`` means the checkpoint's own. Pure query.

        Args:
            model: Its dtype and quantization are the checkpoint's.
            dtype: vLLM's ``--dtype``; a float32 checkpoint becomes float16, as vLLM does.
            kv_cache_dtype: vLLM's ``--kv-cache-dtype``.
            quantization: A format for all linear layers, applied when the model is loaded.
        """
        compute = short_dtype(model.dtype if dtype == "auto" else dtype)
        if dtype == "auto" and compute == "fp32":
            compute = "fp16"
        kv = short_dtype(kv_cache_dtype)
        stored = model.quantization
        if kv == "auto":
            kv = short_dtype(stored.kv_cache) if stored and stored.kv_cache else compute
        if quantization:
            given = short_dtype(quantization)
            roles: tuple[Role, ...] = ("attention", "ffn", "expert")
            return cls(compute, kv, dict.fromkeys(roles, given), given if given in _NATIVE else None)
        if stored is None:
            return cls(compute, kv)
        return cls(compute, kv, stored.formats, stored.activations, stored.group_size)


_NATIVE = {"fp8": "fp8", "mxfp8": "fp8", "int8": "int8", "nvfp4": "fp4", "fp4": "fp4"}
"""Activation formats that matrix units multiply as they are, and the peak that then counts."""

_FALLBACKS = {
    "bf16": ("bf16", "fp16", "tf32", "fp32"),
    "fp16": ("fp16", "bf16", "tf32", "fp32"),
    "fp32": ("tf32", "fp32"),
}


def compute_dtype(formats: Formats, role: Role, accelerator: Accelerator) -> tuple[str, float]:
    """The dtype whose peak bounds a role's products, and that peak in FLOP/s. Pure query.

    Products with quantized inputs run at the inputs' peak where the accelerator has one; otherwise,
    and for weight-only formats, weights are widened on the fly to the compute dtype.
    """
    wanted = _FALLBACKS.get(formats.compute, (formats.compute, "fp32"))
    if role in formats.weights and formats.activations in _NATIVE:
        wanted = (_NATIVE[formats.activations], *wanted)
    for name in wanted:
        peak = accelerator.peak_flops_per_s(name)
        if peak:
            return name, peak
    where = f"accelerator {accelerator.name}"
    raise CatalogError(Problem(where, f"has no peak for {' or '.join(wanted)}; choose another dtype"))
