"""Efficiency files: the same text for the same coefficients, on every machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

HEAD = (
    "# Shares of the datasheet that kernels reach. Peaks, bandwidths and links are those of the accelerator file.\n"
    "# Made from kernel timings by llmsim.calibrate.kernels.fit_all; not written by hand.\n"
)

ORDER = (
    "name", "date", "accelerators", "default_for", "gemm", "experts", "prefill", "decode", "decode_fp8",
    "elementwise", "sampler", "all_reduce", "all_reduce_pcie", "launch", "sources", "fits",
)  # fmt: skip


def efficiency_text(document: Mapping[str, Any]) -> str:
    """The YAML file of an efficiency. Pure query."""
    return HEAD + "".join(_entry(key, document[key]) for key in ORDER if document.get(key) is not None)


def _entry(key: str, value: Any) -> str:
    if isinstance(value, Mapping) and any(isinstance(item, Mapping) for item in value.values()):
        return f"{key}:\n" + "".join(f"  {_scalar(name)}: {_flow(item)}\n" for name, item in value.items())
    if key in {"sources", "fits"}:
        return f"{key}:\n" + "".join(f"  - {_flow(item)}\n" for item in value) if value else f"{key}: []\n"
    return f"{key}: {_flow(value)}\n"


def _flow(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "[" + ", ".join(_flow(item) for item in value) + "]"
    return _scalar(value)


def _scalar(value: Any) -> str:
    if isinstance(value, float):
        text = repr(value)
        return text if "e" not in text or "." in text else text.replace("e", ".0e")
    if isinstance(value, str) and (
        not value.replace("-", "").replace(" ", "").isalnum() or value[0].isdigit()
    ):
        return "'" + value.replace("'", "''") + "'"
    return str(value)
