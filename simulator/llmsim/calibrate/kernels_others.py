"""Timings by other people that no curve was fitted to: other laboratories, other chips, other kernels."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from llmsim.calibrate.kernels_classes import HOPPER, curves_of, member
from llmsim.calibrate.kernels_fit import Fitted
from llmsim.calibrate.kernels_samples import expert_samples
from llmsim.calibrate.kernels_solve import Array
from llmsim.calibrate.kernels_tables import Row, Samples, Tables, column, datasheet, read_tables, timed
from llmsim.files.catalog import accelerator

AMPERE = ("A100-SXM4-80GB",)

PROFILES = (
    ("A100-80GB", "a100-sxm-80gb", AMPERE),
    ("H100-80GB", "h100-sxm", HOPPER[:1]),
    ("A40-48GB", "a40", AMPERE),
)
"""Vidur's products, fp16: name there, accelerator, and whose curves predict it."""

INFERSIM = (("H100", "h100-sxm", HOPPER[:1]), ("H20", "h20", HOPPER), ("H800", "h800-sxm", HOPPER[:1]))
"""InferSim's fp8 products (DeepGEMM on H20 and H800)."""

COARSEST_US = 8.0
"""Vidur's clock ticks in microseconds; below this a tick is too much."""

Other = tuple[str, str, str, str, Array]
"""Accelerator, family, dtype, fitted to, log(fitted / measured)."""


def other_residuals(folder: Path) -> list[Other]:
    """Every such comparison that the folder has tables for. Pure query."""
    tables = read_tables(folder)
    found = [*_profiled(folder, tables), *_infersim(folder, tables), *_per_tensor(folder, tables)]
    return found + ([_chunks(folder, tables)] if "op_attn_vidurstyle" in tables else [])


def _profiled(folder: Path, tables: Tables) -> list[Other]:
    found = []
    for gpu, card, gpus in PROFILES:
        rows = [row for row in tables.get("op_vidur_layers", ()) if row["gpu"] == gpu and row["m"]]
        rows = [row for row in rows if float(row["latency_us"]) >= COARSEST_US]
        if rows:
            fit = curves_of(folder, gpus).products["bf16"]
            residuals = fit.residuals(_products(rows, "op_vidur_layers", card, "fp16", 2.0))
            found.append((card, "GEMM", "fp16 (Vidur)", ", ".join(gpus), residuals))
    return found


def _infersim(folder: Path, tables: Tables) -> list[Other]:
    found = []
    for gpu, card, gpus in INFERSIM:
        rows = [row for row in tables.get("op_infersim", ()) if (row["gpu"], row["op"]) == (gpu, "gemm")]
        rows = [row for row in rows if row["latency_us"]]
        if rows:
            fit = curves_of(folder, gpus).products["fp8"]
            residuals = fit.residuals(_products(rows, "op_infersim", card, "fp8", 1.0))
            found.append((card, "GEMM", "fp8 (InferSim)", ", ".join(gpus), residuals))
    return found


def _products(rows: list[Row], table: str, card: str, dtype: str, weight_bytes: float) -> Samples:
    device = accelerator(card)
    columns = {name: column(rows, name, table) for name in ("m", "n", "k")}
    columns["weight_bytes"] = np.full(len(rows), weight_bytes)
    columns |= datasheet(len(rows), device, device.peak_flops_per_s(dtype) or 1.0)
    return Samples(columns, timed(rows, table), ("",) * len(rows))


def _per_tensor(folder: Path, tables: Tables) -> list[Other]:
    """Per-tensor fp8 experts by FlashInfer, against the curve of the block-quantized ones by Triton."""
    found = []
    for gpu in HOPPER:
        fit: Fitted | None = curves_of(folder, (gpu,)).experts.get("fp8")
        rows = [
            row for row in tables.get("op_moe", ()) if row["dtype"] == "fp8" and "flashinfer" in row["kernel"]
        ]
        one = member(gpu, {"op_moe": rows})
        samples = expert_samples(one.tables, gpu, one.device, "fp8")
        if fit and len(samples):
            found.append(
                (
                    one.device.name,
                    "routed experts",
                    "fp8 per tensor (FlashInfer)",
                    gpu,
                    fit.residuals(samples),
                )
            )
    return found


def _chunks(folder: Path, tables: Tables) -> Other:
    """Prefill chunks after a cached prefix: FlashInfer on A800, which is an A100 in all but its links."""
    table, card = "op_attn_vidurstyle", "a800-sxm-80gb"
    rows = [row for row in tables[table] if row["gpu"] == "A800-80GB" and row["is_prefill"] == "True"]
    count = len(rows)
    fit = curves_of(folder, AMPERE).prefill
    assert fit is not None
    device = accelerator(card)
    numbers = {"batch": 1.0, "n_q_heads": 32.0, "n_kv_heads": 32.0, "head_dim": 128.0, "kv_bytes": 2.0}
    numbers["decode_memory"] = float(fit.samples.columns["decode_memory"][0])
    columns = {name: np.full(count, value) for name, value in numbers.items()}
    columns |= datasheet(count, device, device.peak_flops_per_s("bf16") or 1.0)
    columns |= {"new": column(rows, "prefill_chunk", table), "cached": column(rows, "kv_cache", table)}
    samples = Samples(columns, timed(rows, table, "attn_ms", 1e-3), ("",) * count)
    return (card, "prefill attention", "fp16 chunks (FlashInfer)", ", ".join(AMPERE), fit.residuals(samples))
