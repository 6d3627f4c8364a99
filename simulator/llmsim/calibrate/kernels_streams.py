"""Operators that only move bytes: elementwise ones and the sampler, one curve for all accelerators.

Small ones are timed by their start; of large ones only those whose bytes L2 cannot hold tell about
memory. Two tables together: vLLM 0.19 layers on cards with a large L2, and vLLM's activation kernel of
2024 on A100 and H100.
"""

from __future__ import annotations

import numpy as np

from llmsim.calibrate.kernels_fit import Fitted, fit_form
from llmsim.calibrate.kernels_forms import STREAM
from llmsim.calibrate.kernels_samples import CACHE_FACTOR, TINY_BYTES, layer_rows, rows_of
from llmsim.calibrate.kernels_tables import Row, Samples, Tables, column, datasheet, joined, timed
from llmsim.files.catalog import accelerator

LAYER_TABLE, PROFILES = "op_llmservingsim", "op_vidur_layers"

LAYER_CARDS = {"RTX4090": "rtx-4090", "RTX-PRO-6000-Blackwell-Server": "rtx-pro-6000"}

PROFILED = {"A100-80GB": "a100-sxm-80gb", "H100-80GB": "h100-sxm"}

FFN_WIDTHS = {"meta-llama/Llama-2-7b-hf": 11008, "meta-llama/Llama-2-70b-hf": 28672}

NUMBERS = {"layernorm": 4 * 4096, "act_fn": 3 * 14336}
"""Llama-3.1-8B: numbers per token; a norm also reads and writes the residual, an activation halves."""

LOGITS = 128256


def _samples(rows: list[Row], table: str, seconds: str, card: str, moved: list[float]) -> Samples:
    columns = {"bytes": np.array(moved), **datasheet(len(rows), accelerator(card), 1.0)}
    shapes = tuple(f"{card}/{size:.0f}" for size in moved)
    return Samples(columns, timed(rows, table, seconds), shapes)


def fit_elementwise(tables: Tables) -> Fitted:
    """Norms with residual, activations, rotary embedding. Pure query."""
    parts = []
    for gpu, card in LAYER_CARDS.items():
        rows = [row for row in layer_rows(tables, gpu) if row["layer"] in NUMBERS]
        moved = [2.0 * NUMBERS[row["layer"]] * float(row["size"]) for row in rows]
        parts.append(_samples(rows, LAYER_TABLE, "time_us", card, moved))
    for gpu, card in PROFILED.items():
        rows = [row for row in rows_of(tables, PROFILES, gpu, op="mlp_act") if row["model"] in FFN_WIDTHS]
        widths = [FFN_WIDTHS[row["model"]] / int(row["tp"]) for row in rows]
        moved = [6.0 * width * float(row["num_tokens"]) for width, row in zip(widths, rows, strict=True)]
        part = _samples(rows, PROFILES, "latency_us", card, moved)
        parts.append(part.keep(part.columns["bytes"] > TINY_BYTES))
    samples = joined(parts)
    read, held = samples.columns["bytes"], CACHE_FACTOR * samples.columns["l2"]
    return fit_form(STREAM, samples.keep((read < TINY_BYTES) | (read > held)))


def fit_sampler(tables: Tables) -> Fitted:
    """Scaling with softmax, and the draw, per byte of float32 logits. Pure query."""
    parts = []
    for gpu, card in LAYER_CARDS.items():
        rows = [row for row in layer_rows(tables, gpu) if row["layer"] == "sampler"]
        moved = [4.0 * LOGITS * value for value in column(rows, "size", LAYER_TABLE)]
        parts.append(_samples(rows, LAYER_TABLE, "time_us", card, moved))
    return fit_form(STREAM, joined(parts))
