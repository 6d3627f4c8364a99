"""Prices that change over time, and what holding something for a while costs."""

from __future__ import annotations

import csv
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import isfinite
from pathlib import Path

from llmsim.errors import Problem, TraceError
from llmsim.files.spot.read import read_text
from llmsim.files.spot.rows import MAX_PROBLEMS

SECONDS_PER_HOUR = 3600.0


@dataclass(frozen=True)
class PriceSeries:
    """A price as a step function of time.

    Attributes:
        times_s: From when on each price holds, rising, in s; the first holds before its time too.
        usd_per_hour: The prices, as many.
    """

    times_s: tuple[float, ...]
    usd_per_hour: tuple[float, ...]

    @classmethod
    def constant(cls, usd_per_hour: float) -> PriceSeries:
        """One price for all time."""
        return cls((0.0,), (usd_per_hour,))

    def at(self, time_s: float) -> float:
        """The price at ``time_s`` in $/h; at a change, the new one. Pure query."""
        return self.usd_per_hour[max(0, bisect_right(self.times_s, time_s) - 1)]

    def integral_usd(self, start_s: float, end_s: float) -> float:
        """∫ price dt from ``start_s`` to ``end_s`` in $: the sum over the steps, no quadrature. Pure query."""
        if end_s <= start_s:
            return 0.0
        if len(self.times_s) == 1:
            return (end_s - start_s) / SECONDS_PER_HOUR * self.usd_per_hour[0]
        first = max(0, bisect_right(self.times_s, start_s) - 1)
        inside = self.times_s[first + 1 : bisect_right(self.times_s, end_s)]
        steps = pairwise([start_s, *inside, end_s])
        prices = self.usd_per_hour[first:]
        return sum(
            (after - before) / SECONDS_PER_HOUR * price
            for (before, after), price in zip(steps, prices, strict=False)
        )

    def mean_usd_per_hour(self, start_s: float, end_s: float) -> float:
        """The average price over a while in $/h; that of the moment when it is none. Pure query."""
        if end_s <= start_s:
            return self.at(start_s)
        return self.integral_usd(start_s, end_s) / (end_s - start_s) * SECONDS_PER_HOUR

    def scaled(self, factor: float) -> PriceSeries:
        """The price of ``factor`` times as much. Pure."""
        return PriceSeries(self.times_s, tuple(price * factor for price in self.usd_per_hour))

    def from_start(self, start_s: float, time_scale: float = 1.0) -> PriceSeries:
        """The series with ``start_s`` as its 0 s and time stretched by ``time_scale``. Pure."""
        first = max(0, bisect_right(self.times_s, start_s) - 1)
        later = [(time - start_s) * time_scale for time in self.times_s[first + 1 :]]
        return PriceSeries((0.0, *later), self.usd_per_hour[first:])


def read_prices(path: Path | str, *, source: str | None = None) -> PriceSeries:
    """The price series in a CSV file with the columns ``t_s`` and ``usd_per_hour``, also ``.gz``.

    Raises:
        TraceError: It cannot be read, is empty, has a price below 0, or times that do not rise; with the lines.
    """
    source = source or str(path)
    lines = [
        (number, [cell.strip() for cell in next(csv.reader([line]))])
        for number, line in enumerate(read_text(path, source).splitlines(), start=1)
        if line.strip() and not line.lstrip().startswith("#")
    ]
    if not lines:
        raise TraceError(Problem(source, "the file is empty"))
    number, header = lines[0]
    if not {"t_s", "usd_per_hour"} <= set(header):
        message = f"a price series has the columns t_s and usd_per_hour; this has {', '.join(header)}"
        raise TraceError(Problem(f"{source}:{number}", message))
    if len(lines) == 1:
        raise TraceError(Problem(source, "has a header but no prices"))
    return _series(lines[1:], header.index("t_s"), header.index("usd_per_hour"), source)


def _series(
    lines: Sequence[tuple[int, Sequence[str]]], time_at: int, price_at: int, source: str
) -> PriceSeries:
    times: list[float] = []
    prices: list[float] = []
    problems = []
    for number, cells in lines:
        where = f"{source}:{number}"
        try:
            time_s, price = float(cells[time_at]), float(cells[price_at])
        except (ValueError, IndexError):
            problems.append(Problem(where, f"{','.join(cells)} is not a time in s and a price in $/h"))
            continue
        if not (isfinite(time_s) and isfinite(price) and price >= 0):
            problems.append(Problem(where, f"{price:g} $/h at {time_s:g} s; a price is 0 or more"))
        elif times and time_s <= times[-1]:
            problems.append(
                Problem(where, f"{time_s:g} s is not after {times[-1]:g} s; sort the rows by time")
            )
        times.append(time_s)
        prices.append(price)
    if problems:
        raise TraceError(problems[:MAX_PROBLEMS])
    return PriceSeries(tuple(times), tuple(prices))
