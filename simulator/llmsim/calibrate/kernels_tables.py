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
    "op_device": frozenset({"gpu", "quantity", "bytes", "value"}),
    "op_infersim": frozenset({"gpu", "op", "m", "n", "k", "latency_us"}),
}
"""Tables that fits read, and the columns each must have."""

OTHER_NAMES = {"RTXPRO6000": "RTX-PRO-6000-Blackwell-Server"}
"""A name that one table has for another's GPU."""

LINE = "line of the file"
"""The key of a row that says where it stands."""

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
        rows, wrong = _rows(path, wanted)
        problems += [Problem(path.name, text) for text in wrong]
        found[name] = rows
    if problems:
        raise UserError(problems)
    if not found:
        raise UserError(f"{folder} holds no kernel table; known are {', '.join(f'{n}.csv' for n in TABLES)}")
    return found


def _rows(path: Path, wanted: frozenset[str]) -> tuple[list[Row], list[str]]:
    """The rows of a table, and what is wrong with it in words."""
    try:
        text = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        return [], [f"cannot be read as UTF-8 text: {' '.join(str(error).split())}"]
    lines = [(i, line) for i, line in enumerate(text.splitlines(), 1) if line.strip() and line[0] != "#"]
    reader = csv.DictReader(line for _, line in lines)
    header = reader.fieldnames or []
    if missing := sorted(wanted - set(header)):
        other = next((c for c in ";\t" if c in "".join(header)), None)
        hint = f"; its cells are separated by {other!r}, should be by commas" if other else ""
        return [], [f"has no column {', '.join(missing)}{hint}"]
    rows = [row | {LINE: str(lines[reader.line_num - 1][0])} for row in reader]
    if not rows:
        return [], ["has no row"]
    short = [row[LINE] for row in rows if None in row or None in row.values()]
    if short:
        return [], [f"line {short[0]} has not as many cells as there are columns"]
    return [row | {"gpu": OTHER_NAMES.get(row["gpu"], row["gpu"])} for row in rows], []


def place_of(table: str, row: Row) -> str:
    """A row's file and line, for messages. Pure query."""
    return f"{table}.csv:{row.get(LINE, '?')}"


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
    for row in rows:
        try:
            value = float(row[name] or 0)
        except (KeyError, ValueError):
            value = -1.0
        if not 0 <= value < float("inf"):
            text = f"{name} is '{row.get(name)}', not a number ≥ 0"
            raise UserError(Problem(place_of(table, row), text))
        values.append(value)
    return np.array(values)


def timed(rows: Sequence[Row], table: str, name: str = "latency_us", unit_s: float = 1e-6) -> Array:
    """Seconds of each row.

    Raises:
        UserError: A time is not positive, or a thousand times what any kernel takes.
    """
    seconds = column(rows, name, table) * unit_s
    for row, value in zip(rows, seconds, strict=True):
        if not 1e-7 <= value <= 10:
            text = f"{name} {value / unit_s:g} is no time of a kernel; the column counts {unit_s:g} s"
            raise UserError(Problem(place_of(table, row), text))
    return seconds
