"""Which rows of which table tell about which kind of kernel, and what is left out because a cache served it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from llmsim.calibrate.kernels_solve import Array
from llmsim.calibrate.kernels_tables import Row, Samples, Tables, column, datasheet, timed
from llmsim.cost.plan import bytes_per_element
from llmsim.spec.hardware import Accelerator

DTYPES = {"bf16": ("bfloat16", "float16"), "fp8": ("fp8",), "fp4": ("nvfp4",)}
"""Our names of formats, and the tables', in the order of choice: cards before Ampere have float16 only."""

WEIGHT_BYTES = {
    "bf16": 2.0,
    "fp8": 1.0,
    "fp4": bytes_per_element("nvfp4"),
    "mxfp4": bytes_per_element("mxfp4"),
}

EXPERT_KERNELS = {
    "bf16": [("bfloat16", "triton_tritonexperts"), ("bfloat16", "")],
    "fp8": [("fp8_block", "triton"), ("fp8", "")],
    "fp4": [("nvfp4", "")],
    "mxfp4": [("w4a16_mxfp4", "")],
}
"""Format to (dtype, part of the kernel's name) in the order of choice: the kernels that checkpoints run
(fp8 ones are quantized by blocks), not the slowest one measured."""

LLAMA_8B_PRODUCTS = {
    "qkv_proj": (6144, 4096),
    "o_proj": (4096, 4096),
    "gate_up_proj": (28672, 4096),
    "down_proj": (4096, 14336),
    "lm_head": (128256, 4096),
}
"""Llama-3.1-8B: layer to output and input width (op_llmservingsim)."""

LEFT_OUT_SHARE, TINY_BYTES, CACHE_FACTOR, MEMORY_BOUND_SHARE = 0.2, 2e6, 1.5, 0.5


def rows_of(tables: Tables, table: str, gpu: str, **wanted: str) -> list[Row]:
    """Rows of one GPU whose columns contain the wanted text; of vLLM's kernels where there are any."""
    rows = [row for row in tables.get(table, ()) if row["gpu"] == gpu]
    rows = [row for row in rows if all(row.get(name, "") == value for name, value in wanted.items())]
    return [row for row in rows if row.get("engine") == "vllm"] or rows


def _in_format(tables: Tables, table: str, gpu: str, name: str, dtype: str) -> list[Row]:
    """Rows of one GPU whose column ``name`` is the first spelling of ``dtype`` that any has."""
    found = (rows_of(tables, table, gpu, **{name: spelling}) for spelling in DTYPES[dtype])
    return next((rows for rows in found if rows), [])


def peak_of(device: Accelerator, dtype: str) -> float | None:
    """The dense peak of a format, FLOP/s; of 16-bit ones, that of bf16 or else of fp16. Pure query."""
    return device.peak_flops_per_s(dtype) or (device.peak_flops_per_s("fp16") if dtype == "bf16" else None)


def gemm_samples(tables: Tables, gpu: str, device: Accelerator, dtype: str) -> Samples:
    """Dense products of a dtype. Weights that stayed in L2 between repetitions are left out.

    A server streams all its layers between two uses of one, so a cache never serves it. Where any
    product reads its weights faster than the memory can, those below a fifth of L2 are left out.
    """
    rows = _in_format(tables, "op_gemm", gpu, "dtype", dtype)
    numbers = {name: column(rows, name, "op_gemm") for name in ("m", "n", "k")}
    seconds = timed(rows, "op_gemm")
    if dtype == "bf16" and not rows:
        numbers, seconds = _layer_products(tables, gpu)
    each = WEIGHT_BYTES[dtype]
    peak = peak_of(device, dtype) or 1.0
    columns = {
        **numbers,
        "weight_bytes": np.full(len(seconds), each),
        **datasheet(len(seconds), device, peak),
    }
    shapes = tuple(f"{n:.0f}x{k:.0f}" for n, k in zip(numbers["n"], numbers["k"], strict=True))
    samples = Samples(columns, seconds, shapes)
    stored = numbers["n"] * numbers["k"] * each
    if len(samples) and np.any(stored / seconds > device.memory_bytes_per_s):
        samples = samples.keep(stored >= LEFT_OUT_SHARE * (device.l2_bytes or 0.0))
    return samples


def _layer_products(tables: Tables, gpu: str) -> tuple[dict[str, Array], Array]:
    """Products of a model's layers, where layers were timed instead."""
    rows = [row for row in layer_rows(tables, gpu) if row["layer"] in LLAMA_8B_PRODUCTS]
    shapes = [LLAMA_8B_PRODUCTS[row["layer"]] for row in rows]
    numbers = {
        "m": column(rows, "size", "op_llmservingsim"),
        "n": np.array([float(n) for n, _ in shapes]),
        "k": np.array([float(k) for _, k in shapes]),
    }
    return numbers, timed(rows, "op_llmservingsim", "time_us")


def layer_rows(tables: Tables, gpu: str, model: str = "Llama-3.1-8B") -> list[Row]:
    """Rows of a model's timed layers on one GPU. Pure query."""
    rows = rows_of(tables, "op_llmservingsim", gpu, tp="1")
    return [row for row in rows if row["model"].endswith(model)]


def prefill_samples(tables: Tables, gpu: str, device: Accelerator) -> Samples:
    """Causal attention of ``batch`` chunks of ``new`` tokens after ``cached`` ones, 16-bit."""
    rows = _in_format(tables, "op_attn_prefill", gpu, "kv_dtype", "bf16")
    table = "op_attn_prefill"
    numbers = {
        "new": column(rows, "seq_len", table),
        "cached": np.zeros(len(rows)),
        **{name: column(rows, name, table) for name in ("batch", "n_q_heads", "n_kv_heads", "head_dim")},
    }
    seconds = timed(rows, table)
    if not rows:
        layers = [
            row
            for row in layer_rows(tables, gpu)
            if row["layer"] == "attention" and float(row["size"]) and not float(row["n_decode"] or 0)
        ]
        numbers = {
            "new": column(layers, "size", "op_llmservingsim"),
            "cached": column(layers, "kv_prefill", "op_llmservingsim"),
            "batch": np.ones(len(layers)),
            **_llama_8b_heads(len(layers)),
        }
        seconds = timed(layers, "op_llmservingsim", "time_us")
    return _attention(numbers, seconds, device, 2.0, ("n_q_heads", "n_kv_heads", "batch"))


def decode_samples(tables: Tables, gpu: str, device: Accelerator, kv_dtype: str = "bf16") -> Samples:
    """One new token for each of ``batch`` sequences after ``kv_len`` cached ones.

    Left out is what L2 held: between 2 MB, where only the kernel's start counts, and 1.5 times L2; and
    groups of so many query heads that their arithmetic takes half as long as the KV (an H20's from 32 on).
    """
    table = "op_attn_decode"
    rows = _in_format(tables, table, gpu, "kv_dtype", kv_dtype)
    names = ("kv_len", "batch", "n_q_heads", "n_kv_heads", "head_dim")
    numbers = {name: column(rows, name, table) for name in names}
    seconds = timed(rows, table)
    if kv_dtype == "bf16" and not rows:
        layers = [
            row
            for row in layer_rows(tables, gpu)
            if row["layer"] == "attention" and not float(row["size"]) and float(row["n_decode"] or 0)
        ]
        numbers = {
            "kv_len": column(layers, "kv_decode", "op_llmservingsim"),
            "batch": column(layers, "n_decode", "op_llmservingsim"),
            **_llama_8b_heads(len(layers)),
        }
        seconds = timed(layers, "op_llmservingsim", "time_us")
    each = 1.0 if kv_dtype == "fp8" else 2.0
    samples = _attention(numbers, seconds, device, each, ("n_q_heads", "n_kv_heads", "batch"))
    read = numbers["kv_len"] * numbers["batch"] * numbers["n_kv_heads"] * numbers["head_dim"] * 2 * each
    streamed = (read < TINY_BYTES) | (read > CACHE_FACTOR * (device.l2_bytes or 0.0))
    ridge = (peak_of(device, "bf16") or np.inf) / device.memory_bytes_per_s
    flops_per_byte = 2 * numbers["n_q_heads"] / (numbers["n_kv_heads"] * each)
    return samples.keep(streamed & (flops_per_byte <= MEMORY_BOUND_SHARE * ridge))


def _llama_8b_heads(rows: int) -> dict[str, Array]:
    numbers = {"n_q_heads": 32.0, "n_kv_heads": 8.0, "head_dim": 128.0}
    return {name: np.full(rows, value) for name, value in numbers.items()}


def _attention(
    numbers: dict[str, Array], seconds: Array, device: Accelerator, kv_bytes: float, by: Sequence[str]
) -> Samples:
    rows = len(seconds)
    peak = peak_of(device, "bf16") or 1.0
    columns = {**numbers, "kv_bytes": np.full(rows, kv_bytes), **datasheet(rows, device, peak)}
    shapes = tuple("/".join(f"{numbers[name][i]:.0f}" for name in by) for i in range(rows))
    return Samples(columns, seconds, shapes)


def expert_samples(tables: Tables, gpu: str, device: Accelerator, dtype: str) -> Samples:
    """Fused routed experts of a layer, without expert parallelism, tokens routed by a power law if measured."""
    table = "op_moe"
    rows = rows_of(tables, table, gpu, moe_ep="1")
    rows = [row for row in rows if row["token_distribution"] != "balanced"] or rows
    for wanted, kernel in EXPERT_KERNELS[dtype]:
        found = [row for row in rows if row["dtype"] == wanted and kernel in row["kernel"]]
        if found:
            break
    names = ("num_tokens", "hidden", "inter", "topk", "n_experts", "moe_tp")
    numbers = {name: column(found, name, table) for name in names}
    count = len(found)
    peak = device.peak_flops_per_s("bf16" if dtype == "mxfp4" else dtype) or 1.0
    columns = {
        **numbers,
        "weight_bytes": np.full(count, WEIGHT_BYTES[dtype]),
        **datasheet(count, device, peak),
    }
    shapes = tuple(f"{row['model_shape']}/{row['moe_tp']}/{row['num_tokens']}" for row in found)
    return Samples(columns, timed(found, table), shapes)


def all_reduce_samples(tables: Tables, gpu: str, device: Accelerator, devices: int, impl: str) -> Samples:
    """All-reduce among ``devices`` by ``impl``: vLLM's own kernel in a graph, or NCCL."""
    rows = rows_of(tables, "op_allreduce", gpu, op="all_reduce", n_gpu=str(devices))
    rows = [row for row in rows if impl in {row["impl"], row["mode"]}]
    size = column(rows, "message_bytes", "op_allreduce")
    columns = {"message_bytes": size, "devices": np.full(len(rows), float(devices))}
    shapes = tuple(f"{devices}/{value:.0f}" for value in size)
    columns |= datasheet(len(rows), device, 1.0)
    return Samples(columns, timed(rows, "op_allreduce"), shapes)
