"""A fleet that changes, in the summary: what it lost, how many served, and what was held."""

from __future__ import annotations

from math import fsum
from typing import Any

from llmsim.measure.fleet_log import FleetLog, within
from llmsim.measure.records import RunRecord

SECONDS_PER_HOUR = 3600.0


def fleet_summary(record: RunRecord) -> dict[str, Any] | None:
    """What :meth:`FleetLog.summary` counts from the first arrival to the end of the run, and:

    ``replicas``: least, mean and most that took requests, over time, all pools together.
    ``spot_instance_hours``, ``on_demand_instance_hours``: instances held; where no instance type is named, the
    accelerators of one replica are one instance.

    Returns:
        None for a fleet that could not change.
    """
    if record.fleet is None:
        return None
    start_s, end_s = record.table.window_s[0], record.end_s
    return {
        **record.fleet.summary(start_s, end_s),
        "replicas": _replicas(record.fleet, start_s, end_s),
        "spot_instance_hours": _instance_hours(record, is_spot=True),
        "on_demand_instance_hours": _instance_hours(record, is_spot=False),
    }


def share_without_replica(record: RunRecord) -> float:
    """Share of the time from the first arrival to the end of the run in which nobody took requests."""
    log, (start_s, _), end_s = record.fleet, record.table.window_s, record.end_s
    if log is None or log.fixed or end_s <= start_s:
        return 0.0
    parts = within(log.serving(), start_s, end_s)
    return fsum(until_s - since_s for since_s, until_s, serving in parts if not serving) / (end_s - start_s)


def _replicas(log: FleetLog, start_s: float, end_s: float) -> dict[str, float | None]:
    """Over time, with those of pools that cannot change; None for a run that took no time."""
    parts = list(within(log.serving(), start_s, end_s))
    if not parts:
        return {"min": None, "mean": None, "max": None}
    mean = fsum((until_s - since_s) * serving for since_s, until_s, serving in parts) / (end_s - start_s)
    values = [serving for _, _, serving in parts]
    return {"min": log.fixed + min(values), "mean": log.fixed + mean, "max": log.fixed + max(values)}


def _instance_hours(record: RunRecord, *, is_spot: bool) -> float:
    """∫ instances held dt over the whole run, in hours."""
    held = (each for each in record.holdings if each.is_spot is is_spot)
    return fsum(each.instances * each.held_s for each in held) / SECONDS_PER_HOUR
