"""Loads in round numbers: a series that about doubles, and steps between two of it."""

from __future__ import annotations

from math import floor, log10

MANTISSAS = (1, 2, 5)


def series(index: int) -> float:
    """…, 0.5, 1, 2, 5, 10, …: 1 at index 0. Pure."""
    decade, place = divmod(index, len(MANTISSAS))
    return rounded(MANTISSAS[place] * 10.0**decade)


def index_below(load: float) -> int:
    """The index of the last of the series that is at most ``load``, above 0. Pure."""
    index = len(MANTISSAS) * floor(log10(load))
    while series(index + 1) <= load * (1 + 1e-9):
        index += 1
    return index


def steps_upto(high: float, step: float) -> list[float]:
    """``step``, 2·step, … up to the first at or beyond ``high``. Pure."""
    count = round(high / step)
    count += rounded(count * step) < high * (1 - 1e-9)
    return [rounded(index * step) for index in range(1, count + 1)]


def rounded(load: float) -> float:
    """Without the last digits that decimal steps leave in binary. Pure."""
    return float(f"{load:.10g}")
