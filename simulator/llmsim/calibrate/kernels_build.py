"""An :class:`Efficiency` put together from fitted curves, and the errors that go into its file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from llmsim.calibrate.kernels_fit import Curves, Fitted, Member, eager_all_reduce_s, rounded
from llmsim.calibrate.kernels_solve import Array

Section = dict[str, Any]

EAGER_S = 5e-6
"""A kernel's launch from PyTorch, seconds."""

EAGER_ALL_REDUCE_S = 2.1e-5
"""The same for an all-reduce, where it was not timed (H100)."""

GRAPH_TOKENS = 512
"""Largest batch that vLLM captures graphs for."""


def errors(what: str, residuals: Array) -> dict[str, Any]:
    """A line of a file's ``fits``. Pure query."""
    relative = np.abs(np.exp(residuals) - 1)
    return {
        "what": what,
        "points": len(residuals),
        "median_error": round(float(np.median(relative)), 3),
        "p90_error": round(float(np.quantile(relative, 0.9)), 3),
        "log_std": spread_of(residuals),
    }


def spread_of(residuals: Array) -> float:
    """Standard deviation of log(measured / fitted), from the middle 80% (a few bad tiles do not count)."""
    low, high = np.quantile(residuals, [0.1, 0.9])
    return round(float(high - low) / 2.563, 3)


def product_section(fit: Fitted) -> Section:
    """A matrix product's coefficients. Pure query."""
    assert fit.tiling is not None
    return {
        **fit.values,
        "split": fit.tiling.split,
        "tile_rows": list(fit.tiling.tile_rows),
        "tile_columns": fit.tiling.tile_columns,
        "spread": spread_of(fit.residuals()),
    }


def curve_section(fit: Fitted) -> Section:
    """Any other curve's coefficients. Pure query."""
    return {**fit.values, "spread": spread_of(fit.residuals())}


def all_reduce_section(members: Sequence[Member], fits: Mapping[str, tuple[Fitted, Fitted]]) -> Section:
    """The curves by group size. Pure query."""
    section: Section = {}
    for devices, (custom, ring) in fits.items():
        values = custom.values | ({"two_shot_s": 0.0} if devices == "2" else {})
        eager = eager_all_reduce_s(members, int(devices))
        both = np.concatenate([custom.residuals(), ring.residuals()])
        section[devices] = {
            **values, **ring.values, "eager_s": eager or EAGER_ALL_REDUCE_S, "spread": spread_of(both),
        }  # fmt: skip
    return section


def build(members: Sequence[Member], curves: Curves) -> tuple[Section, list[dict[str, Any]]]:
    """The sections that the members' timings tell about, and the errors of the fits. Pure query."""
    lines = [errors(f"GEMM {dtype}", fit.residuals()) for dtype, fit in curves.products.items()]
    lines += [errors(f"routed experts {dtype}", fit.residuals()) for dtype, fit in curves.experts.items()]
    sections: Section = {
        "gemm": {dtype: product_section(fit) for dtype, fit in curves.products.items()},
        "experts": {dtype: curve_section(fit) for dtype, fit in curves.experts.items()},
    }
    for name in ("prefill", "decode", "decode_fp8"):
        fit = getattr(curves, name)
        if fit:
            sections[name] = curve_section(fit)
            lines.append(errors(name.replace("_", " ") + " attention", fit.residuals()))
    if curves.reduces:
        sections["all_reduce"] = all_reduce_section(members, curves.reduces)
    for devices, (custom, ring) in curves.reduces.items():
        residuals = np.concatenate([custom.residuals(), ring.residuals()])
        lines.append(errors(f"all-reduce of {devices}", residuals))
    return {key: value for key, value in sections.items() if value}, lines


def widened(section: Section, transfer: float) -> Section:
    """The same coefficients with the spread that carrying them to another device adds. Pure query."""
    if "spread" in section:
        return section | {"spread": round(float(np.hypot(section["spread"], transfer)), 3)}
    return {
        key: widened(value, transfer) if isinstance(value, dict) else value for key, value in section.items()
    }


def scaled(section: Section, key: str, factor: float) -> Section:
    """Every coefficient called ``key`` times ``factor``. Pure query."""
    return {
        name: scaled(value, key, factor)
        if isinstance(value, dict)
        else rounded(value * factor)
        if name == key
        else value
        for name, value in section.items()
    }


def unthrottled(product: Section) -> Section:
    """A product's coefficients where clocks never fall: it keeps up what short kernels reach. Pure query."""
    return product | {"compute": rounded(product["compute"] * (1 + product["boost"])), "boost": 0.0}
