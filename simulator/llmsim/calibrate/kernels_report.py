"""How well fitted curves meet kernels: those they were fitted to, those held back, and a GPU left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from llmsim.calibrate.kernels_classes import LEFT_OUT, TIMED, curves_of, member, members
from llmsim.calibrate.kernels_fit import Fitted, Member, prefill_of
from llmsim.calibrate.kernels_others import other_residuals
from llmsim.calibrate.kernels_solve import Array
from llmsim.calibrate.kernels_tables import Samples, read_tables


@dataclass(frozen=True)
class KernelRow:
    """Errors of one family of kernels on one accelerator: |fitted / measured − 1|.

    Attributes:
        kind: ``held back``: one shape in four was kept from the fit; ``left out``: the whole
            accelerator was, and others stood for it (``fitted_to``); ``other source``: someone else's
            timings, which no curve was fitted to.
        points: Timings that the error is of.
        fitted_median, fitted_p90: On the timings fitted to; None for an accelerator left out.
        median, p90: On the others.
        bias: Mean of log(fitted / measured) on the others.
    """

    kind: str
    accelerator: str
    family: str
    dtype: str
    fitted_to: str
    points: int
    fitted_median: float | None
    fitted_p90: float | None
    median: float
    p90: float
    bias: float


def _errors(residuals: Array) -> tuple[float, float]:
    relative = np.abs(np.exp(residuals) - 1)
    return float(np.median(relative)), float(np.quantile(relative, 0.9))


def _row(
    kind: str, name: str, key: tuple[str, str], to: str, fitted: Array | None, others: Array
) -> KernelRow:
    fitted_median, fitted_p90 = _errors(fitted) if fitted is not None else (None, None)
    median, p90 = _errors(others)
    return KernelRow(
        kind,
        accelerator=name,
        family=key[0],
        dtype=key[1],
        fitted_to=to,
        points=len(others),
        fitted_median=fitted_median,
        fitted_p90=fitted_p90,
        median=median,
        p90=p90,
        bias=float(np.mean(others)),
    )


@cache
def held_back_rows(folder: Path) -> tuple[KernelRow, ...]:
    """Every timed accelerator and family, fitted without one shape in four. Pure query."""
    tables, rows = read_tables(folder), []
    for timed in TIMED:
        here = [member(timed.gpu, tables)]
        whole = dict(curves_of(folder, (timed.gpu,)).all())
        for key, fit in curves_of(folder, (timed.gpu,), False).all():
            others = _like(here, whole, fit, key)
            others = others.keep(others.held_back())
            if len(others):
                rows.append(
                    _row("held back", timed.name, key, timed.name, fit.residuals(), fit.residuals(others))
                )
    return tuple(rows)


def _like(
    here: Sequence[Member], whole: dict[tuple[str, str], Fitted], fit: Fitted, key: tuple[str, str]
) -> Samples:
    """All timings of a family, in the terms that ``fit`` looks at."""
    samples = whole[key].samples
    if key[0] == "prefill attention":
        memory = float(fit.samples.columns["decode_memory"][0])
        return prefill_of(here, {"memory": memory})
    return samples


@cache
def left_out_rows(folder: Path) -> tuple[KernelRow, ...]:
    """Accelerators left out entirely, predicted by the curves of others. Pure query."""
    tables, rows = read_tables(folder), []
    for gpu, others in LEFT_OUT.items():
        here = [member(gpu, tables)]
        whole = dict(curves_of(folder, (gpu,)).all())
        to = ", ".join(item.device.name for item in members(others, tables))
        for key, fit in curves_of(folder, others).all():
            if key in whole:
                asked = _like(here, whole, fit, key)
                rows.append(_row("left out", here[0].device.name, key, to, None, fit.residuals(asked)))
    return tuple(rows)


def transfer_spread(folder: Path, *, all_reduce: bool) -> float:
    """How far off left-out accelerators' kernels were on average: root mean square over families."""
    rows = [row for row in left_out_rows(folder) if (row.family == "all-reduce") == all_reduce]
    return round(float(np.sqrt(np.mean([row.bias**2 for row in rows]))), 3)


def kernel_report(folder: Path) -> list[KernelRow]:
    """All rows: held-back shapes of every timed accelerator, accelerators left out, other sources. Pure query."""
    others = [
        _row("other source", name, (family, dtype), to, None, residuals)
        for name, family, dtype, to, residuals in other_residuals(folder)
    ]
    return [*held_back_rows(folder), *left_out_rows(folder), *others]
