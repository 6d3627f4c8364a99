"""Kernel timings as columns of numbers: read from CSV, checked, and joined with the device's datasheet.

The forms are those of the tables listed in :data:`TABLES`; ``benchmarks/measure_gpu.py`` writes the same.
"""

from __future__ import annotations

import csv
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from llmsim.calibrate.kernels_solve import Array, Mask
from llmsim.cost.collectives import link_bytes_per_s
from llmsim.errors import Problem, UserError
from llmsim.spec.hardware import Accelerator

Row = Mapping[str, str]
Tables = Mapping[str, Sequence[Row]]

TABLES: dict[str, frozenset[str]] = {
    "op_gemm": frozenset({"gpu", "dtype", "m", "n", "k", "latency_us"}),
    "op_attn_prefill": frozenset(
        {"gpu", "kv_dtype", "batch", "seq_len", "n_q_heads", "n_kv_heads", "head_dim", "latency_us"}
    ),
    "op_attn_decode": frozenset(
        {"gpu", "kv_dtype", "batch", "kv_len", "n_q_heads", "n_kv_heads", "head_dim", "latency_us"}
    ),
    "op_allreduce": frozenset({"gpu", "impl", "mode", "op", "n_gpu", "message_bytes", "latency_us"}),
    "op_moe": frozenset({"gpu", "dtype", "kernel", "num_tokens", "hidden", "inter", "topk", "n_experts"}),
    "op_llmservingsim": frozenset({"gpu", "model", "layer", "size", "time_us"}),
    "op_vidur_layers": frozenset({"gpu", "model", "tp", "num_tokens", "op", "m", "n", "k", "latency_us"}),
    "op_attn_vidurstyle": frozenset({"gpu", "n_q_head", "n_kv_head", "prefill_chunk", "kv_cache", "attn_ms"}),
    "op_infersim": frozenset({"gpu", "op", "m", "n", "k", "latency_us"}),
}
"""Tables that fits read, and the columns each must have."""

OTHER_NAMES = {"RTXPRO6000": "RTX-PRO-6000-Blackwell-Server"}
"""A name that one table has for another's GPU."""

HELD_BACK = 4
"""One shape in so many is held back from the fit that a held-out error is reported of."""


@dataclass(frozen=True)
class Samples:
    """Timings of one kind of kernel, perhaps of several devices.

    Attributes:
        columns: What the kernel did, and the datasheet of the device it ran on, row by row.
        seconds: How long it took.
        shapes: The name of each row's shape; rows of one shape are held back together.
    """

    columns: dict[str, Array]
    seconds: Array
    shapes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.seconds)

    def keep(self, where: Mask) -> Samples:
        """The rows where ``where`` is true. Pure query."""
        shapes = tuple(shape for shape, kept in zip(self.shapes, where, strict=True) if kept)
        return Samples(
            {name: values[where] for name, values in self.columns.items()}, self.seconds[where], shapes
        )

    def held_back(self) -> Mask:
        """Which rows belong to held-back shapes: a checksum of the shape's name decides. Pure query."""
        return np.array([zlib.crc32(shape.encode()) % HELD_BACK == 0 for shape in self.shapes], dtype=bool)


def joined(parts: Iterable[Samples]) -> Samples:
    """The rows of several, with the columns all of them have. Pure query."""
    filled = [part for part in parts if len(part)]
    names = set.intersection(*(set(part.columns) for part in filled))
    columns = {name: np.concatenate([part.columns[name] for part in filled]) for name in sorted(names)}
    shapes = tuple(shape for part in filled for shape in part.shapes)
    return Samples(columns, np.concatenate([part.seconds for part in filled]), shapes)


@cache
def read_tables(folder: Path) -> dict[str, list[Row]]:
    """The tables of a folder, those that it has.

    Raises:
        UserError: There is none, or one lacks a column.
    """
    found: dict[str, list[Row]] = {}
    problems = []
    for name, wanted in TABLES.items():
        path = folder / f"{name}.csv"
        if not path.is_file():
            continue
        with path.open(newline="") as file:
            reader = csv.DictReader(line for line in file if not line.startswith("#"))
            if missing := sorted(wanted - set(reader.fieldnames or [])):
                problems.append(Problem(path.name, f"has no column {', '.join(missing)}"))
            found[name] = [row | {"gpu": OTHER_NAMES.get(row["gpu"], row["gpu"])} for row in reader]
    if problems:
        raise UserError(problems)
    if not found:
        raise UserError(f"{folder} holds no kernel table; known are {', '.join(f'{n}.csv' for n in TABLES)}")
    return found


def datasheet(rows: int, device: Accelerator, peak: float) -> dict[str, Array]:
    """The device's numbers as columns. Pure query."""
    numbers = {
        "peak": peak,
        "bandwidth": device.memory_bytes_per_s,
        "num_sms": float(device.num_sms or 108),
        "link": link_bytes_per_s(device),
        "l2": device.l2_bytes or 0.0,
    }
    return {name: np.full(rows, value) for name, value in numbers.items()}


def column(rows: Sequence[Row], name: str, table: str) -> Array:
    """One column as numbers.

    Raises:
        UserError: A cell is not a number, or not positive.
    """
    values = []
    for place, row in enumerate(rows, 1):
        try:
            value = float(row[name] or 0)
        except (KeyError, ValueError):
            value = -1.0
        if not 0 <= value < float("inf"):
            raise UserError(
                Problem(
                    f"{table}, row {place} of {row['gpu']}", f"{name} is '{row.get(name)}', not a number ≥ 0"
                )
            )
        values.append(value)
    return np.array(values)


def timed(rows: Sequence[Row], table: str, name: str = "latency_us", unit_s: float = 1e-6) -> Array:
    """Seconds of each row.

    Raises:
        UserError: A time is not positive, or a thousand times what any kernel takes.
    """
    seconds = column(rows, name, table) * unit_s
    for place, value in enumerate(seconds, 1):
        if not 1e-7 <= value <= 10:
            text = f"{name} {value / unit_s:g} is no time of a kernel; the column counts {unit_s:g} s"
            raise UserError(Problem(f"{table}, row {place}", text))
    return seconds
