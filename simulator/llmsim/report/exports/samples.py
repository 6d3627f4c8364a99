"""Statistics of a sample at the percentiles that other tools' files have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from llmsim.measure.gaps import GapPool
from llmsim.measure.requests import RequestTable

Floats = npt.NDArray[np.float64]

PERCENTILES = (1, 5, 10, 25, 50, 75, 90, 95, 99)


@dataclass(frozen=True)
class Sample:
    """Of at least one value.

    Attributes:
        count, mean, std: The standard deviation divides by the count.
        least, most: The extremes.
        percentiles: Value by percentile, straight lines between values, as numpy does.
    """

    count: int
    mean: float
    std: float
    least: float
    most: float
    percentiles: Mapping[float, float]

    @classmethod
    def of(cls, values: Floats, percentiles: Sequence[float] = PERCENTILES) -> Sample | None:
        """Of ``values``, nan left out; None when nothing is left."""
        values = values[~np.isnan(values)]
        if not len(values):
            return None
        points = np.percentile(values, percentiles).tolist()
        return cls(
            len(values),
            float(values.mean()),
            float(values.std()),
            float(values.min()),
            float(values.max()),
            dict(zip(percentiles, points, strict=True)),
        )

    @classmethod
    def of_gaps_ms(cls, pool: GapPool, percentiles: Sequence[float] = PERCENTILES) -> Sample | None:
        """Of every gap between tokens, in milliseconds; None without one."""
        if not len(pool.start):
            return None
        least, *points, most = (1e3 * value for value in pool.percentiles_s([0, *percentiles, 100]))
        by_percentile = dict(zip(percentiles, points, strict=True))
        return cls(pool.size, 1e3 * pool.mean_s(), 1e3 * pool.std_s(), least, most, by_percentile)


def of_completed(table: RequestTable, values: npt.NDArray[Any]) -> Floats:
    """The ``values`` of completed requests. Pure query."""
    return np.asarray(values, dtype=np.float64)[table.completed]
