"""Every gap between a request's tokens, pooled over the run, without an entry per token.

Sequences that decode together share their gaps, so a run of n iterations holds n values with a weight
each: an arithmetic progression. Moments come in closed form; order statistics from a selection that
narrows the progressions to a bracket around the wanted rank, then lists what little is left.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from llmsim.measure.describe import PERCENTILES, named, nothing
from llmsim.measure.records import StepLog

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

LISTED_AT_MOST = 4_000_000
"""Values listed and sorted at once: about 130 MB of working memory."""
SAMPLE = 10_000
BRACKET = 0.02
"""Half-width, in rank, of the bracket a sample of ``SAMPLE`` progressions gives: four standard errors
and more (√(q(1−q)/SAMPLE) ≤ 0.005). A wanted rank outside costs a pass, not a wrong answer."""


@dataclass(frozen=True)
class GapPool:
    """A multiset of gaps in seconds: ``weight`` times each of ``start + i·step``, 0 ≤ i < ``count``.

    Arrays of shape (num_progressions,); ``step`` ≥ 0, ``count`` ≥ 1 and ``weight`` ≥ 1.
    """

    start: Floats
    step: Floats
    count: Ints
    weight: Ints

    @classmethod
    def of(cls, log: StepLog) -> GapPool:
        """All gaps of ``log``: first ones of the aligned sequences and of the others, then the rows' own.

        A prefill that ends emits a request's first token, which closes no gap.
        """
        first_s, growth_s = log.column("first_s"), log.column("growth_s")
        aligned = log.column("aligned")
        iterations = log.column("iterations")
        decoding = log.column("decode_tokens") / np.maximum(iterations, 1.0)
        at_first = aligned > 0
        later = (iterations > 1) & (decoding > 0)
        extra = np.array(log.extra_gaps, dtype=np.float64).reshape(-1, 2)
        extra = extra[extra[:, 1] > 0]
        single = np.zeros(int(at_first.sum()) + len(extra))
        growth_s = growth_s[later]
        weight = np.concatenate((aligned[at_first], extra[:, 1], decoding[later]))
        return cls._rising(
            start=np.concatenate(
                (log.column("lag_s")[at_first] + first_s[at_first], extra[:, 0], first_s[later] + growth_s)
            ),
            step=np.concatenate((single, growth_s)),
            count=np.concatenate((single + 1, iterations[later] - 1)).astype(np.int64),
            weight=np.rint(weight).astype(np.int64),
        )

    @classmethod
    def _rising(cls, start: Floats, step: Floats, count: Ints, weight: Ints) -> GapPool:
        """The pool with falling progressions turned round and constant ones made a single heavy value."""
        constant = step == 0
        weight = np.where(constant, weight * count, weight)
        count = np.where(constant, 1, count)
        start = np.where(step < 0, start + (count - 1) * step, start)
        return cls(start, np.abs(step), count, weight)

    @cached_property
    def size(self) -> int:
        """Gaps in the pool."""
        return int((self.count * self.weight).sum())

    def mean_s(self) -> float:
        """Their mean, in closed form."""
        means = self.start + self.step * (self.count - 1) / 2
        return float((self.count * self.weight * means).sum() / self.size)

    def std_s(self) -> float:
        """Their population standard deviation, in closed form around the mean.

        Source: Σ(a + i·d)² = n·a² + a·d·n(n−1) + d²·(n−1)n(2n−1)/6 for i from 0 to n − 1.
        """
        a, d, n = self.start - self.mean_s(), self.step, self.count.astype(np.float64)
        squares = n * a * a + a * d * n * (n - 1) + d * d * (n - 1) * n * (2 * n - 1) / 6
        return float(np.sqrt(max(0.0, (self.weight * squares).sum() / self.size)))

    def share_within(self, limit_s: float) -> float:
        """Share of gaps no longer than ``limit_s``."""
        return float((self._counts_within(limit_s) * self.weight).sum() / self.size)

    def percentiles_s(self, percentiles: Sequence[float]) -> list[float]:
        """Percentiles with linear interpolation, as ``np.percentile`` gives over the pool written out."""
        return [self._percentile_s(percentile) for percentile in percentiles]

    def _percentile_s(self, percentile: float) -> float:
        position = percentile / 100 * (self.size - 1)
        rank = int(position)
        low, high = self._neighbours(rank)
        return low + (high - low) * (position - rank)

    def _neighbours(self, rank: int) -> tuple[float, float]:
        """The values at ``rank`` and ``rank + 1`` (or the last one twice) of the sorted pool."""
        pool, rank = self._narrowed(rank)
        values, upto = pool._sorted
        places = np.searchsorted(upto, [rank, min(rank + 1, int(upto[-1]) - 1)], side="right")
        low, high = values[places].tolist()
        return low, high

    def _narrowed(self, rank: int) -> tuple[GapPool, int]:
        """A small enough part of the pool that holds ranks ``rank`` and ``rank + 1``, and the rank in it."""
        pool = self
        while (listed := int(pool.count.sum())) > LISTED_AT_MOST:
            smaller, below = pool._bracketed(rank)
            if int(smaller.count.sum()) == listed:
                break
            pool, rank = smaller, rank - below
        return pool, rank

    def _bracketed(self, rank: int) -> tuple[GapPool, int]:
        """The part between two guessed pivots that holds both ranks, and how many gaps lie below it."""
        pivots = self._pivots(rank / self.size)
        cuts = [np.zeros_like(self.count), *map(self._counts_within, pivots), self.count]
        below = [int((cut * self.weight).sum()) for cut in cuts]
        first = max(place for place in range(3) if below[place] <= rank)
        last = min(place for place in range(1, 4) if min(rank + 2, self.size) <= below[place])
        low, count = cuts[first], cuts[last] - cuts[first]
        kept = count > 0
        part = GapPool((self.start + low * self.step)[kept], self.step[kept], count[kept], self.weight[kept])
        return part, below[first]

    def _pivots(self, quantile: float) -> tuple[float, float]:
        """Two values that ``quantile`` of the gaps probably lies between, from an even sample of the pool."""
        upto = np.cumsum(self.count * self.weight)
        ranks = np.linspace(0, int(upto[-1]) - 1, SAMPLE).astype(np.int64)
        rows = np.searchsorted(upto, ranks, side="right")
        inside = (ranks - (upto[rows] - self.count[rows] * self.weight[rows])) // self.weight[rows]
        values = self.start[rows] + inside * self.step[rows]
        low, high = np.quantile(values, np.clip([quantile - BRACKET, quantile + BRACKET], 0, 1)).tolist()
        return low, high

    def _counts_within(self, limit_s: float) -> Ints:
        """Per progression, how many of its values are at most ``limit_s``. Monotone in ``limit_s``."""
        step = np.where(self.step > 0, self.step, 1.0)
        steps = np.clip(np.floor((limit_s - self.start) / step) + 1, 0, self.count)
        return np.asarray(steps, dtype=np.int64)

    @cached_property
    def _sorted(self) -> tuple[Floats, Ints]:
        """Every value, rising, and how many gaps lie up to and including it."""
        ends = np.cumsum(self.count)
        inside = np.arange(int(ends[-1])) - np.repeat(ends - self.count, self.count)
        values = np.repeat(self.start, self.count) + inside * np.repeat(self.step, self.count)
        order = np.argsort(values, kind="stable")
        return values[order], np.cumsum(np.repeat(self.weight, self.count)[order])


def describe_gaps(pool: GapPool) -> dict[str, float | None]:
    """Statistics of ``itl_ms``, every gap counted once."""
    if not len(pool.start):
        return nothing("itl_ms")
    points: list[float | None] = [1e3 * value for value in pool.percentiles_s(PERCENTILES)]
    return named("itl_ms", 1e3 * pool.mean_s(), 1e3 * pool.std_s(), points)
