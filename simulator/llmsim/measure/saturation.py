"""Whether the fleet kept up with the arrivals: ``stable``, ``backlogged`` or ``overloaded``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from llmsim.measure.requests import RequestTable
from llmsim.measure.stepwise import interval_averages

Floats = npt.NDArray[np.float64]
Saturation = Literal["stable", "backlogged", "overloaded"]

NUM_AVERAGES = 20
CHANCE_OVERLOADED, CHANCE_BACKLOGGED = 3.0, 2.0
"""How many times the queue that chance alone piles up counts as overload, and as a backlog."""
STEADY_GROWTH_R2 = 0.5


@dataclass(frozen=True)
class Backlog:
    """How the queue of requests never yet scheduled developed while requests arrived.

    Attributes:
        offered: Requests offered.
        waiting_at_last_arrival: Of them, waiting when the last one arrived (itself left out).
        peak: Greatest of 20 time averages of the number waiting over the arrival window (over the whole
            run when all requests arrive at once).
        chance: √offered times the coefficient of variation of the gaps between arrivals (1 at least):
            the queue that chance piles up at a load of exactly one, a reflected random walk.
        growth_r2: R² of a rising straight line through the 20 averages; 0 when the line falls.
    """

    offered: int
    waiting_at_last_arrival: int
    peak: float
    chance: float
    growth_r2: float

    @classmethod
    def of(cls, table: RequestTable) -> Backlog:
        """The backlog of a run with at least one request."""
        arrivals = table.arrival_s
        first, last_arrival = float(arrivals.min()), float(arrivals.max())
        waiting = int(((table.wait_end_s > last_arrival) & (arrivals < last_arrival)).sum())
        end = last_arrival if last_arrival > first else table.window_s[1]
        averages = np.zeros(NUM_AVERAGES)
        if end > first:
            averages = interval_averages(
                arrivals, table.wait_end_s, np.linspace(first, end, NUM_AVERAGES + 1)
            )
        return cls(
            offered=len(table),
            waiting_at_last_arrival=waiting,
            peak=float(averages.max()),
            chance=float(np.sqrt(len(table))) * max(1.0, _variation(np.diff(np.sort(arrivals)))),
            growth_r2=_rising_r2(averages),
        )

    @property
    def saturation(self) -> Saturation:
        """``overloaded``, ``backlogged`` or ``stable``, by this rule.

        Overloaded: the queue grew through the arrival window (R² of a rising line at least 0.5) and at the
        last arrival stood at more than 3 times what chance piles up at a load of one. So arrivals outran
        completions by more than chance explains, and P99 measures the run's length. Backlogged: the queue
        averaged more than 2 times chance over some twentieth of the window, but drained or stopped
        growing, as after a burst or in a closed loop wider than the servers. Stable: neither.
        """
        if (
            self.growth_r2 >= STEADY_GROWTH_R2
            and self.waiting_at_last_arrival > CHANCE_OVERLOADED * self.chance
        ):
            return "overloaded"
        return "backlogged" if self.peak > CHANCE_BACKLOGGED * self.chance else "stable"

    def note(self) -> str | None:
        """What the reader should know about the queue, or None when the run is stable."""
        if self.saturation == "stable":
            return None
        if self.saturation == "backlogged":
            return f"a queue built up: {self.peak:.0f} requests waited on average in its worst stretch"
        kept_up = 1 - self.waiting_at_last_arrival / self.offered
        return (
            f"at the last arrival {self.waiting_at_last_arrival} of {self.offered} requests had not been "
            f"started: the fleet keeps up with about {kept_up:.0%} of the arrivals, and latencies grow with "
            "the run's length"
        )


def _variation(gaps: Floats) -> float:
    """Coefficient of variation; 1 without spread to measure."""
    if len(gaps) < 2 or gaps.mean() <= 0:
        return 1.0
    return float(gaps.std() / gaps.mean())


def _rising_r2(values: Floats) -> float:
    """R² of a straight line through equally spaced ``values``; 0 when it does not rise."""
    if not values.std():
        return 0.0
    r = float(np.corrcoef(np.arange(len(values)), values)[0, 1])
    return r * r if r > 0 else 0.0
