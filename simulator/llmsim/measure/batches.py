"""Non-overlapping batch means: how sure one run is of an average, though its requests wait on each other.

Neighbouring requests meet the same queue, so their spread tells too little. Averages of long enough batches
hardly depend on each other, and Student's t holds for them. Sources: Law and Kelton, "Simulation Modeling and
Analysis", section 9.5.3; Schmeiser, "Batch size effects in the analysis of simulation output", Operations
Research 30 (1982): 10 to 30 batches, more gain nothing.
"""

from __future__ import annotations

from math import sqrt

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

LEVEL = 0.95
"""Share of intervals that should hold the truth."""
STUDENT_T = {20: 2.0930240544, 10: 2.2621571628}
"""Numbers of batches, best first, and Student's t of one degree of freedom less that leaves 2.5% beyond it."""
PARTS = 10
MOST_CORRELATION = 0.25
"""The lag-1 autocorrelation that the means of tenths of batches may have.

Ten tenths that depend on the next one by so much leave batches a correlation of 3%. The check is on tenths
because ten or twenty batch means alone cannot tell: their correlation is known to 0.2 or 0.3 only. Source of the
two-level rule: Law and Carson, "A sequential procedure for determining the length of a steady-state simulation",
Operations Research 27 (1979), which allows 0.4.
"""


def batch_means(values: Floats, count: int) -> Floats:
    """Means of ``count`` batches of equal size, in order; the few oldest values that do not fit are left out."""
    size = len(values) // count
    return np.asarray(values[len(values) - size * count :].reshape(count, size).mean(axis=1))


def lag_1(values: Floats) -> float:
    """Autocorrelation of each value with the next; 0 without spread."""
    centred = values - values.mean()
    square = float(centred @ centred)
    return float(centred[1:] @ centred[:-1]) / square if square else 0.0


def is_independent(values: Floats, count: int) -> bool:
    """Whether ``count`` batches are long enough: the means of their tenths hardly depend on each other."""
    return lag_1(batch_means(values, PARTS * count)) <= MOST_CORRELATION


def num_batches(values: Floats) -> int | None:
    """20 batches, or 10 where 20 depend on each other; None where 10 still do. At least 200 values."""
    return next((count for count in STUDENT_T if is_independent(values, count)), None)


def half_width(values: Floats, count: int) -> float:
    """Half the 95% interval of the mean of ``values``, from ``count`` batch means."""
    return STUDENT_T[count] * float(batch_means(values, count).std(ddof=1)) / sqrt(count)
