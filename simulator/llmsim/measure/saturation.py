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

NUM_AVERAGES, NUM_STRETCHES = 20, 200
"""Averages over the arrival window: for the trend, and for the worst stretch."""
SURELY, PERHAPS = 3.0, 1.5
"""How many times what chance piles up counts as growth for certain, and as growth that may be chance."""
BURST = 2.0
"""How many times √offered the worst stretch's queue has to be to count as a backlog."""
RISING_R2 = 0.5
MOST_VARIATION = 2.0
"""The largest coefficient of variation that excuses a queue: beyond it, bursts are what there is to report."""
TOO_SHORT = "the run is too short to tell whether the fleet keeps up"
"""What a note begins with where growth may be chance."""
SLOWER = 1.1
"""By how much the later requests stay longer where growth is more than a system filling up."""


@dataclass(frozen=True)
class Backlog:
    """How the number of requests in the system developed while they arrived; rejected ones left out.

    Attributes:
        offered: Requests that were admitted.
        left_behind: Of them, in the system when the last one arrived.
        waiting: Of those, never scheduled by then.
        worst_queue: Greatest of 200 time averages of the number waiting over the arrival window (over the
            whole run when all requests arrive at once).
        arrived_late, gone_late, completed_late: Requests that arrived, left and completed in the second
            half of the arrival window.
        variation: Coefficient of variation of the gaps between arrivals, at least 1 and at most 2.
        rises: The number in the system, or the number waiting, follows a rising straight line (R² of 20
            averages at least 0.5).
        slows: Requests of the last quarter of the window stay longer (by a tenth) than those of the second.
        is_held: The client held requests back; from when they were due they count as arrived, and as waiting.
    """

    offered: int
    left_behind: int
    waiting: int
    worst_queue: float
    arrived_late: int
    gone_late: int
    completed_late: int
    variation: float
    rises: bool
    slows: bool
    is_held: bool = False

    @classmethod
    def of(cls, table: RequestTable) -> Backlog:
        """The backlog of a run with at least one request."""
        admitted = ~table.is_status("rejected")
        if not admitted.any():
            return cls(0, 0, 0, 0.0, 0, 0, 0, 1.0, rises=False, slows=False)
        arrive, leave, start = (times[admitted] for times in (table.issue_s, table.leave_s, table.wait_end_s))
        first, last = float(arrive.min()), float(arrive.max())
        middle = (first + last) / 2
        late = (leave > middle) & (leave <= last)
        end = last if last > first else table.window_s[1]
        return cls(
            offered=len(arrive),
            left_behind=int((leave > last).sum()),
            waiting=int(((start > last) & (arrive < last)).sum()),
            worst_queue=float(_averages(arrive, start, first, end, NUM_STRETCHES).max()),
            arrived_late=int((arrive > middle).sum()),
            gone_late=int(late.sum()),
            completed_late=int((late & table.completed[admitted]).sum()),
            variation=_variation(np.diff(np.sort(arrive))),
            rises=any(
                _rising_r2(_averages(arrive, until, first, last, NUM_AVERAGES)) >= RISING_R2
                for until in (leave, start)
            ),
            slows=_slows(arrive, leave - arrive, first, last),
            is_held=bool(table.held_s.any()),
        )

    @property
    def growth(self) -> int:
        """By how much the number in the system grew over the second half of the arrival window."""
        return self.arrived_late - self.gone_late

    @property
    def is_filling(self) -> bool:
        """Whether most requests were still there at the last arrival: then nothing shows if more would fit."""
        return 2 * self.left_behind > self.offered

    def chance(self, num_requests: int) -> float:
        """The queue that chance piles up over so many arrivals at a load of exactly one.

        A reflected random walk: √arrivals times the coefficient of variation of their gaps.
        """
        return self.variation * float(np.sqrt(num_requests))

    def _outgrows(self, times: float) -> tuple[bool, bool]:
        """Whether the queue, and the number in the system, are beyond ``times`` what chance piles up."""
        return (
            self.waiting > times * self.chance(self.offered)
            and self.growth > times / SURELY * self.chance(self.arrived_late),
            self.growth > times * self.chance(self.arrived_late),
        )

    @property
    def saturation(self) -> Saturation:
        """``overloaded``, ``backlogged`` or ``stable``, by this rule.

        Overloaded: numbers rose through the arrival window, fewer left than arrived over its second half,
        and at its end more than 3 times what chance explains waited; or the growth of the number in the
        system alone was that large while requests took ever longer, as where a large batch takes everybody
        in, unless most requests never had time to leave. Backlogged: either at 1.5 times, which may be chance
        or a system that fills up; or the queue averaged more than 2√offered over some two-hundredth of the
        window, as after a burst or in a closed loop wider than the servers. Stable: neither.
        """
        queue, system = self._outgrows(SURELY)
        if self.rises and (queue or (system and self.slows and not self.is_filling)):
            return "overloaded"
        return "backlogged" if self._may_go_on_growing or self._has_burst else "stable"

    @property
    def _may_go_on_growing(self) -> bool:
        return self.rises and any(self._outgrows(PERHAPS))

    @property
    def _has_burst(self) -> bool:
        return bool(self.worst_queue > BURST * np.sqrt(self.offered))

    def notes(self) -> list[str]:
        """What the reader should know about the backlog; nothing when there is none."""
        share = self.completed_late / max(1, self.arrived_late)
        if self.saturation == "overloaded":
            return [
                f"the fleet keeps up with about {share:.0%} of the arrivals (completed over arrived in their "
                f"second half); {self.left_behind:,} of {self.offered:,} requests were there when the last "
                f"one came, and {'the queue at the client grows' if self.is_held else 'latencies grow'} with the "
                "run's length"
            ]
        notes = []
        if self._has_burst:
            notes.append(
                f"a queue built up: {self.worst_queue:,.0f} requests waited on average in its worst stretch"
            )
        if self._may_go_on_growing:
            notes.append(
                f"{TOO_SHORT}: at the last arrival "
                f"{self.left_behind:,} of {self.offered:,} requests were in the system, {self.growth:,} more "
                "than half-way; offer more requests"
            )
        return notes


def held_note(table: RequestTable) -> str | None:
    """How many requests the client held back, and for how long."""
    held_s = table.held_s[table.held_s > 0]
    if not len(held_s):
        return None
    return (
        f"the client held {len(held_s):,} of {len(table):,} requests back until others were done "
        f"(max_concurrency), for {held_s.mean():.3g} s on average; their latencies start when they were sent"
    )


def _averages(starts: Floats, ends: Floats, first: float, last: float, count: int) -> Floats:
    """``count`` time averages of the number of open intervals; zeros for no time at all."""
    if last <= first:
        return np.zeros(count)
    return interval_averages(starts, ends, np.linspace(first, last, count + 1))


def _variation(gaps: Floats) -> float:
    """Coefficient of variation, between 1 and ``MOST_VARIATION``; 1 without spread to measure."""
    if len(gaps) < 2 or gaps.mean() <= 0:
        return 1.0
    return float(np.clip(gaps.std() / gaps.mean(), 1.0, MOST_VARIATION))


def _rising_r2(values: Floats) -> float:
    """R² of a straight line through equally spaced ``values``; 0 when it does not rise."""
    if np.ptp(values) <= 1e-9 * max(1.0, float(values.max())):
        return 0.0
    r = float(np.corrcoef(np.arange(len(values)), values)[0, 1])
    return r * r if r > 0 else 0.0


def _slows(arrive: Floats, stay: Floats, first: float, last: float) -> bool:
    """Whether arrivals of the window's last quarter stay longer than those of its second quarter."""
    quarter = (arrive - first) * 4 / max(last - first, 1e-300)
    early, late = stay[(quarter >= 1) & (quarter < 2)], stay[quarter >= 3]
    return bool(len(early) and len(late) and late.mean() > SLOWER * early.mean())
