"""A fleet that changes, over time: who serves, what is held, and what that costs an hour."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from llmsim.files.spot.prices import PriceSeries
from llmsim.measure.ledger import Holding
from llmsim.measure.records import RunRecord
from llmsim.measure.stepwise import bin_averages, interval_averages

Floats = npt.NDArray[np.float64]
SECONDS_PER_HOUR = 3600.0


def fleet_series(record: RunRecord, edges: Floats) -> dict[str, Floats]:
    """Time averages, bin by bin; nothing for a fleet that could not change.

    ``serving`` counts replicas that take requests, ``spot_held`` and ``on_demand_held`` accelerators that are
    paid for, ``usd_per_hour`` is their price; left out where it is not known.

    Args:
        record: The run.
        edges: Limits of the bins in s, rising strictly. shape (num_bins + 1,)
    """
    if record.fleet is None:
        return {}
    times_s, counts = np.array(record.fleet.serving(), dtype=np.float64).T
    jumps = np.diff(counts, prepend=0.0)
    cost = (
        {} if any(each.price is None for each in record.holdings) else _usd_per_hour(record.holdings, edges)
    )
    return {
        "serving": record.fleet.fixed + np.maximum(bin_averages(times_s, jumps, edges), 0.0),
        "spot_held": _held(record.holdings, edges, is_spot=True),
        "on_demand_held": _held(record.holdings, edges, is_spot=False),
        **cost,
    }


def _held(holdings: list[Holding], edges: Floats, *, is_spot: bool) -> Floats:
    mine = [each for each in holdings if each.is_spot is is_spot]
    columns = np.array([(each.start_s, each.end_s, each.devices) for each in mine], dtype=np.float64)
    starts, ends, devices = columns.reshape(-1, 3).T
    return interval_averages(starts, ends, edges, devices)


def _usd_per_hour(holdings: list[Holding], edges: Floats) -> dict[str, Floats]:
    """∫ price over each bin, by its width. Holdings at one price are taken together."""
    by_price: dict[int, list[Holding]] = {}
    for each in holdings:
        by_price.setdefault(id(each.price), []).append(each)
    usd = np.zeros(len(edges) - 1)
    for same in by_price.values():
        assert same[0].price is not None
        starts, ends, devices = np.array([(each.start_s, each.end_s, each.devices) for each in same]).T
        held = np.clip(edges, starts[:, None], ends[:, None])
        usd += devices @ np.diff(_spent_usd(same[0].price, held))
    return {"usd_per_hour": usd / np.diff(edges) * SECONDS_PER_HOUR}


def _spent_usd(price: PriceSeries, times_s: Floats) -> Floats:
    """∫ price dt from its first change to each of ``times_s``; negative before that. Same shape."""
    changes_s, per_s = np.array(price.times_s), np.array(price.usd_per_hour) / SECONDS_PER_HOUR
    until = np.concatenate(([0.0], np.cumsum(np.diff(changes_s) * per_s[:-1])))
    step = np.maximum(np.searchsorted(changes_s, times_s, side="right") - 1, 0)
    return np.asarray(until[step] + (times_s - changes_s[step]) * per_s[step])
