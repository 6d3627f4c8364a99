"""What ``op_device.csv`` tells of an accelerator: how fast bytes stream, and what a launch costs the host."""

from __future__ import annotations

from typing import Any

import numpy as np

from llmsim.calibrate.kernels_build import Section, curve_section, errors
from llmsim.calibrate.kernels_fit import FEWEST, Member, fit_form, rounded
from llmsim.calibrate.kernels_forms import STREAM
from llmsim.calibrate.kernels_samples import rows_of
from llmsim.calibrate.kernels_tables import Row, Samples, Tables, column, datasheet
from llmsim.errors import Problem, UserError

TABLE = "op_device"


def device_sections(tables: Tables, member: Member) -> tuple[Section, Section, list[dict[str, Any]]]:
    """Keys of ``launch``, the ``elementwise`` section, and the errors of its fit: those there are timings of.

    Raises:
        UserError: A value is no positive number, or a copy is faster than the memory.
    """
    eager_us = _values(tables, member.gpu, "launch_eager")
    launch = {"eager_s": rounded(eager_us[-1] * 1e-6)} if eager_us else {}
    copies = _copies(tables, member)
    if len(copies) < FEWEST:
        return launch, {}, []
    fit = fit_form(STREAM, copies)
    return launch, {"elementwise": curve_section(fit)}, [errors("copies", fit.residuals())]


def _values(tables: Tables, gpu: str, quantity: str) -> list[float]:
    rows = rows_of(tables, TABLE, gpu, quantity=quantity)
    return [_positive(row, value) for row, value in zip(rows, column(rows, "value", TABLE), strict=True)]


def _positive(row: Row, value: float) -> float:
    if value <= 0:
        raise UserError(Problem(TABLE, f"{row['quantity']} is {row['value']}: should be a positive number"))
    return value


def _copies(tables: Tables, member: Member) -> Samples:
    """Copies, each with the bytes it read and wrote, and a kernel of a graph that moves next to nothing.

    Raises:
        UserError: One is faster than the datasheet's memory.
    """
    rows = rows_of(tables, TABLE, member.gpu, quantity="copy")
    moved = 2 * column(rows, "bytes", TABLE)
    seconds = moved / (1e9 * np.array(_values(tables, member.gpu, "copy")))
    best = float(
        np.max(np.where(moved > 2 * (member.device.l2_bytes or 0.0), moved / seconds, 0.0), initial=0.0)
    )
    if best > member.device.memory_bytes_per_s:
        text = f"a copy moved {best / 1e9:,.0f} GB/s, more than {member.device.name}'s memory can"
        raise UserError(Problem(TABLE, text))
    least_s = [value * 1e-6 for value in _values(tables, member.gpu, "launch_graph")]
    moved, seconds = np.concatenate([moved, np.zeros(len(least_s))]), np.concatenate([seconds, least_s])
    columns = {"bytes": moved, **datasheet(len(moved), member.device, 1.0)}
    return Samples(columns, seconds, tuple(f"{size:.0f}" for size in moved))
