"""Which request class caused how much of a run's cost or energy."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from llmsim.measure.requests import RequestTable

Floats = npt.NDArray[np.float64]


def by_class(table: RequestTable, amounts: Mapping[int, float]) -> Floats | None:
    """What of ``amounts`` each class caused. shape (num_classes,), summing to all amounts.

    The rule: at each moment a replica's time belongs in equal parts to the requests that hold a place on
    it (processor sharing), and the amount of a replica is dealt by the time that its classes own. Amounts
    of no replica in particular, and of one that served nobody, are dealt by the time owned on all. A
    request that moved counts where it was last.

    Args:
        table: The requests.
        amounts: By replica index; any other index is no replica in particular.

    Returns:
        None when no request was ever served.
    """
    num_classes = len(table.class_names)
    owned = {
        index: np.bincount(
            table.class_index[rows], weights=shared_time_s(*_stays(table, rows)), minlength=num_classes
        )
        for index in np.unique(table.replica[table.replica >= 0]).tolist()
        for rows in [np.flatnonzero((table.replica == index) & ~np.isnan(table.scheduled_s))]
    }
    overall = sum(owned.values(), np.zeros(num_classes))
    if not overall.sum():
        return None
    total = np.zeros(num_classes)
    for index, amount in amounts.items():
        own = owned.get(index, overall)
        own = own if own.sum() else overall
        total += amount * own / own.sum()
    return total


def _stays(table: RequestTable, rows: npt.NDArray[np.int64]) -> tuple[Floats, Floats]:
    """From when to when requests held a place, a wait after a preemption included."""
    starts = table.scheduled_s[rows]
    return starts, np.maximum(starts, table.leave_s[rows])


def shared_time_s(starts: Floats, ends: Floats) -> Floats:
    """Per stay, ∫ dt / (stays at t). shape (num_stays,); sums to the time with any stay at all. Pure."""
    if not len(starts):
        return np.zeros(0)
    times, moment = np.unique(np.concatenate([starts, ends]), return_inverse=True)
    changes = np.bincount(moment, weights=np.repeat([1.0, -1.0], len(starts)))
    present = np.cumsum(changes)[:-1]
    shares = np.divide(np.diff(times), present, out=np.zeros(len(present)), where=present > 0.5)
    owned = np.concatenate([[0.0], np.cumsum(shares)])
    time: Floats = owned[moment[len(starts) :]] - owned[moment[: len(starts)]]
    return time
