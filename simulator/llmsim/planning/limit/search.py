"""Which of many loads in a row is the highest that passes together with all below it, from few looks.

Whether a load passes need not fall with it: a batch that fills faster, a router with affinity or a fleet that grows
may fail at one load and pass at the next. Bisection alone would then find any of several ends. Here a scan over all
loads comes first, then the gap before the first failure is closed, and then every gap below is looked into that may
hide a failure: where its ends are nearer to their targets than the strain was seen to wander over such a distance.
Strain is taken to wander like a Brownian path, by the square root of the distance.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import ceil, log, sqrt

SCAN = 8
"""Loads, evenly spread, looked at before anything else."""
AT_A_TIME = 2
"""Loads asked for together to close one gap: fixed, so that the answer does not depend on the number of workers."""
BEFORE = 2
"""Loads right below the limit that are looked at in any case."""
LEAST_BUMP = log(1.25)
"""Strain may rise by a quarter between two looks of the scan, even where nothing like it has been seen."""
SAFETY = 2.0
"""How many times the largest wandering seen may hide in a gap. Between two points at a distance g a Brownian path
rises by x above both with a chance of at most exp(−2x²/(σ²g)); the largest of some bumps seen half-way is about
σ√g, twice that is passed once in 3,000 gaps."""
LEAST_STRAIN = 1e-3


@dataclass(frozen=True)
class Look:
    """What one load was like.

    Attributes:
        passes: Whether it meets the targets.
        strain: How near it came to failing: 1 where the targets are just met, 0.5 at half of them.
    """

    passes: bool
    strain: float


Ask = Callable[[Sequence[int]], Mapping[int, Look]]
"""``ask(indices)``: a look at each of these loads."""


def first_failure(count: int, ask: Ask, known: Mapping[int, Look]) -> int:
    """The first of ``count`` loads that fails, by its index; ``count`` where none does.

    Loads between those looked at are taken to pass where no bump of the size seen would make them fail.

    Args:
        count: Loads in the row, lowest first.
        ask: Called with loads not looked at yet.
        known: Looks taken already, by index.
    """
    looks = dict(known)
    upto = min(_failing(looks), default=count - 1)
    wanted = {round(step * upto / (SCAN - 1)) for step in range(SCAN)}
    while wanted:
        looks |= ask(sorted(wanted - looks.keys()))
        wanted = set(_doubtful(looks, count)) - looks.keys()
    return min(_failing(looks), default=count)


def _failing(looks: Mapping[int, Look]) -> list[int]:
    return [index for index, look in looks.items() if not look.passes]


def _doubtful(looks: Mapping[int, Look], count: int) -> list[int]:
    """What to look at next; nothing once the answer is certain enough."""
    end = min(_failing(looks), default=count)
    passing = sorted(index for index in looks if index < end)
    last = passing[-1] if passing else -1
    least = LEAST_BUMP / sqrt(max(1.0, last / (SCAN - 1)))
    bump = max(least, SAFETY * _largest_bump([(index, looks[index].strain) for index in passing]))
    gaps = [
        (_log(max(looks[low].strain, looks[high].strain)) + bump * sqrt(high - low), low, high)
        for low, high in pairwise(passing)
        if high - low > 1
    ]
    risky = sorted((gap for gap in gaps if gap[0] > 0), reverse=True)
    nearest = range(max(0, last - BEFORE), last)
    return [
        *_within(last, end),
        *(index for _, low, high in risky[:AT_A_TIME] for index in _within(low, high, 1)),
        *(index for index in nearest if last + 1 == end and index not in looks),
    ]


def _within(low: int, high: int, most: int = AT_A_TIME) -> list[int]:
    """Up to ``most`` indices that divide the open gap evenly; all of a small one."""
    inside = high - low - 1
    if inside <= most:
        return list(range(low + 1, high))
    return sorted({low + ceil((high - low) * step / (most + 1)) for step in range(1, most + 1)})


def _largest_bump(points: Sequence[tuple[int, float]]) -> float:
    """By how much a strain stands out over the straight line between its neighbours', over √distance.

    In logarithms. A queue's latency bends the other way as load rises: that is no bump.
    """
    bumps = [0.0]
    for (left, a), (middle, b), (right, c) in zip(points, points[1:], points[2:], strict=False):
        share = (middle - left) / (right - left)
        height = _log(b) - (1 - share) * _log(a) - share * _log(c)
        bumps.append(height / sqrt(right - left))
    return max(bumps)


def _log(strain: float) -> float:
    return log(max(strain, LEAST_STRAIN))
