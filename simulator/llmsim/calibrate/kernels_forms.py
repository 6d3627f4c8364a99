"""The formulas of ``llmsim.cost`` over whole tables at once, each with its parameters and where they may lie.

A test holds each of them to the operators of the cost model, number by number.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from llmsim.calibrate.kernels_solve import Array
from llmsim.cost.attention import CACHED_SHARE, QUERY_TILE_ROWS
from llmsim.cost.efficiency import CUSTOM_BYTES
from llmsim.cost.products import CLOCKS_FALL_S

Columns = Mapping[str, Array]


@dataclass(frozen=True)
class Parameter:
    """One number to fit: where the search starts, and between what it can lie physically."""

    name: str
    start: float
    low: float
    high: float


def _as_they_are(parameters: Mapping[str, float]) -> dict[str, float]:
    return dict(parameters)


@dataclass(frozen=True)
class Form:
    """A formula: its parameters, and seconds of each row.

    Attributes:
        coefficients: What a file holds, from the parameters that were searched for.
    """

    parameters: tuple[Parameter, ...]
    seconds: Callable[[Columns, Mapping[str, float]], Array]
    coefficients: Callable[[Mapping[str, float]], dict[str, float]] = _as_they_are


FLOOR = Parameter("floor_s", 5e-6, 3e-7, 1e-3)
COMPUTE = Parameter("compute", 0.7, 0.02, 1.0)
MEMORY = Parameter("memory", 0.8, 0.02, 1.0)
OVERLAP = Parameter("overlap", 0.2, 1e-3, 1.0)


def _both(compute: Array, memory: Array, overlap: float) -> Array:
    return np.maximum(compute, memory) + overlap * np.minimum(compute, memory)


@dataclass(frozen=True)
class Tiling:
    """How a library cuts a product: the discrete part of a product's curve."""

    tile_rows: tuple[int, int]
    tile_columns: int
    split: int


TILINGS = tuple(
    Tiling((low, high), columns, split)
    for low in (16, 64, 128)
    for high in (64, 128, 256)
    for columns, split in ((64, 1), (64, 2), (64, 4), (64, 8), (128, 1), (256, 1))
    if low <= high
)
"""Twice the columns in twice the parts take the same waves, so only one of such twins is tried."""


def waves(columns: Columns, tiling: Tiling) -> Array:
    """FLOPs per step of the k loop that all multiprocessors spend on each product, idle ones included."""
    low, high = tiling.tile_rows
    tile = np.clip(2.0 ** np.ceil(np.log2(columns["m"])), low, high)
    tiles = np.ceil(columns["m"] / tile) * np.ceil(columns["n"] / tiling.tile_columns)
    rows = tile * np.ceil(tiles * tiling.split / columns["num_sms"]) / tiling.split
    return 2.0 * rows * columns["num_sms"] * tiling.tile_columns


def _gemm(x: Columns, p: Mapping[str, float]) -> Array:
    rate = x["peak"] * p["compute"]
    compute = x["waves"] * (x["k"] + p["fill"]) / rate
    compute /= 1 + p["boost"] / (1 + 2 * x["m"] * x["n"] * x["k"] / rate / CLOCKS_FALL_S)
    stored = x["n"] * x["k"] * x["weight_bytes"]
    memory = (stored + 2 * x["m"] * (x["n"] + x["k"])) / (x["bandwidth"] * p["memory"])
    return p["floor_s"] + _both(compute, memory, p["overlap"])


def _boosted(p: Mapping[str, float]) -> dict[str, float]:
    """Short kernels reach ``burst`` of the peak, at most all of it; long ones ``sustained`` of that."""
    own = {name: p[name] for name in ("memory", "floor_s", "overlap", "fill")}
    return {"compute": p["burst"] * p["sustained"], **own, "boost": 1 / p["sustained"] - 1}


GEMM = Form(
    (
        Parameter("burst", 0.75, 0.02, 1.0),
        Parameter("sustained", 0.9, 0.75, 1.0),
        MEMORY,
        FLOOR,
        OVERLAP,
        Parameter("fill", 100, 1, 2000),
    ),
    _gemm,
    _boosted,
)


def _experts(x: Columns, p: Mapping[str, float]) -> Array:
    tokens, experts, top = x["num_tokens"], x["n_experts"], x["topk"]
    width = x["inter"] / x["moe_tp"]
    distinct = experts * (1 - (1 - top / experts) ** (1 + p["fresh"] * (tokens - 1)))
    numbers = 3 * x["hidden"] * width
    compute = tokens * top * 2 * numbers / (x["peak"] * p["compute"])
    moved = tokens * top * 2 * (3 * x["hidden"] + 6 * width)
    memory = (distinct * numbers * x["weight_bytes"] + moved) / (x["bandwidth"] * p["memory"])
    return p["floor_s"] + _both(compute, memory, p["overlap"])


EXPERTS = Form((COMPUTE, MEMORY, FLOOR, OVERLAP, Parameter("fresh", 0.7, 0.1, 1.0)), _experts)


def _prefill(x: Columns, p: Mapping[str, float]) -> Array:
    new, keys = x["new"], x["new"] + x["cached"]
    pair_s = 4 * x["n_q_heads"] * x["head_dim"] / (x["peak"] * p["compute"])
    pairs = x["batch"] * (new * x["cached"] + new * (new + 1) / 2 + p["half_length"] * new)
    last = p["tail"] * np.minimum(new, QUERY_TILE_ROWS) * keys * x["num_sms"] / x["n_q_heads"]
    heads = 2 * x["head_dim"] * (x["n_kv_heads"] * x["kv_bytes"] * keys + x["n_q_heads"] * 2 * new)
    missed = np.maximum(0, x["batch"] * heads - CACHED_SHARE * x["l2"])
    memory = missed / (x["bandwidth"] * x["decode_memory"])
    return p["floor_s"] + _both((pairs + last) * pair_s, memory, p["overlap"])


PREFILL = Form(
    (COMPUTE, FLOOR, Parameter("half_length", 300, 1, 4000), OVERLAP, Parameter("tail", 0.3, 1e-3, 4)),
    _prefill,
)


def _decode(x: Columns, p: Mapping[str, float]) -> Array:
    heads = 2 * x["head_dim"] * (x["n_kv_heads"] * x["kv_bytes"] * x["kv_len"] + x["n_q_heads"] * 2)
    memory = x["batch"] * heads / (x["bandwidth"] * p["memory"])
    return p["floor_s"] + memory + x["batch"] * x["n_kv_heads"] * p["sequence_s"] / x["num_sms"]


DECODE = Form((MEMORY, FLOOR, Parameter("sequence_s", 1e-6, 1e-9, 5e-5)), _decode)


def _stream(x: Columns, p: Mapping[str, float]) -> Array:
    return p["floor_s"] + x["bytes"] / (x["bandwidth"] * p["memory"])


STREAM = Form((MEMORY, FLOOR), _stream)


def _custom(x: Columns, p: Mapping[str, float]) -> Array:
    one_shot = (x["devices"] - 1) * x["message_bytes"] / (x["link"] * p["bandwidth"])
    two_shot = p["two_shot_s"] + 2 * one_shot / x["devices"]
    return p["latency_s"] + np.where(x["devices"] > 2, np.minimum(one_shot, two_shot), one_shot)


BANDWIDTH = Parameter("bandwidth", 0.6, 1e-3, 1.0)
CUSTOM = Form(
    (BANDWIDTH, Parameter("latency_s", 5e-6, 3e-7, 1e-3), Parameter("two_shot_s", 3e-6, 1e-8, 1e-3)), _custom
)


def _ring(x: Columns, p: Mapping[str, float]) -> Array:
    wire = 2 * (x["devices"] - 1) / x["devices"] * x["message_bytes"]
    start = np.where(x["message_bytes"] >= CUSTOM_BYTES, p["ring_start_s"], p["ring_latency_s"])
    return start + wire / (x["link"] * p["ring_bandwidth"])


RING = Form(
    (
        Parameter("ring_bandwidth", 0.7, 1e-3, 1.0),
        Parameter("ring_latency_s", 1e-5, 1e-6, 1e-3),
        Parameter("ring_start_s", 3e-5, 1e-6, 1e-2),
    ),
    _ring,
)
