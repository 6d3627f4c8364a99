"""Device time, money and energy of a run (F12)."""

from __future__ import annotations

from collections.abc import Mapping
from math import fsum

import numpy as np

from llmsim.files import catalog
from llmsim.measure import ledger
from llmsim.measure.describe import ratio
from llmsim.measure.ledger import Holding
from llmsim.measure.records import ReplicaRecord, RunRecord

SHARED = -1
"""In place of a replica's index: what no single replica caused."""


def held(record: RunRecord) -> list[Holding]:
    """What was held from the first arrival to the last completion; empty for a fixed fleet."""
    return ledger.within(record.holdings, *record.table.window_s) if record.holdings else []


def accelerator_seconds(record: RunRecord, duration_s: float) -> float:
    """Device-seconds held: of a fixed fleet every replica's accelerators for the whole run, busy or not."""
    if record.holdings:
        return ledger.accelerator_seconds(held(record))
    return duration_s * sum(replica.num_accelerators for replica in record.replicas)


def cost_usd(record: RunRecord, duration_s: float) -> float | None:
    """Price of what was held, the integral over the time held; None when any price is unknown."""
    if record.holdings:
        return ledger.cost_usd(held(record))
    prices = [replica.usd_per_hour for replica in record.replicas]
    if any(price is None for price in prices):
        return None
    return duration_s / 3600 * sum(price for price in prices if price is not None)


def cost_by_replica(record: RunRecord, duration_s: float) -> dict[int, float] | None:
    """The cost by replica; what serves none or several is under ``SHARED``. None as :func:`cost_usd`."""
    parts: dict[int, list[float | None]] = {}
    if record.holdings:
        for each in held(record):
            index = SHARED if each.replica is None else each.replica
            parts.setdefault(index, []).append(each.usd(each.price))
    else:
        for replica in record.replicas:
            hourly = replica.usd_per_hour
            parts[replica.index] = [None if hourly is None else duration_s / 3600 * hourly]
    return _known(parts)


def usd_per_million(usd: float | None, tokens: int) -> float | None:
    """Price of a million tokens; None without a price or without tokens."""
    return None if usd is None else ratio(1e6 * usd, tokens)


def busy_s(record: RunRecord, duration_s: float) -> dict[int, float]:
    """Per replica index, seconds each of its devices worked.

    An iteration passes through the pipeline stages one after another, so of its time each stage works
    one part in ``len(stages)``; micro-batches in other lanes fill the rest.
    """
    replicas = record.steps.column("replica").astype(np.int64)
    seconds = np.bincount(replicas, weights=record.steps.column("duration_s"), minlength=1)
    return {
        replica.index: min(duration_s, float(seconds[replica.index]) / max(1, len(replica.stages)))
        if replica.index < len(seconds)
        else 0.0
        for replica in record.replicas
    }


def energy_j(record: RunRecord, duration_s: float) -> float | None:
    """Energy of the accelerators in joules; None when a replica's idle or peak power is unknown.

    F12 with the dynamic part by load: per device P_idle·t + (P_load − P_idle)·t_busy, t being the time
    held. A busy device is taken to draw its TDP where the pool does not say otherwise, so this is an upper
    estimate for decoding, which rarely does. Idle power is not guessed from TDP: where both are known it
    is anything from 4% (RTX 5090) to 47% (TPU v3) of it.
    """
    joules = energy_by_replica(record, duration_s)
    return None if joules is None else float(sum(joules.values()))


def energy_by_replica(record: RunRecord, duration_s: float) -> dict[int, float] | None:
    """The energy by replica in J, as :func:`cost_by_replica`."""
    busy = busy_s(record, duration_s)
    if not record.holdings:
        return _known(
            {each.index: [_energy_j(each, duration_s, busy[each.index])] for each in record.replicas}
        )
    parts: dict[int, list[float | None]] = {}
    by_pool = {replica.pool: replica for replica in record.replicas}
    for each in held(record):
        index = SHARED if each.replica is None else each.replica
        idle_w, _ = _powers(by_pool.get(each.pool), each.accelerator)
        parts.setdefault(index, []).append(None if idle_w is None else idle_w * each.accelerator_seconds)
    for replica in record.replicas:
        work_w = _work_w(replica)
        joules = None if work_w is None else replica.num_accelerators * work_w * busy[replica.index]
        parts.setdefault(replica.index, []).append(joules)
    return _known(parts)


def unknown_power(record: RunRecord) -> str:
    """The accelerators for want of whose idle or peak power there is no energy, by name; '' for none."""
    names = dict.fromkeys(
        replica.accelerator for replica in record.replicas if None in _powers(replica, replica.accelerator)
    )
    return ", ".join(names)


def _powers(replica: ReplicaRecord | None, accelerator: str) -> tuple[float | None, float | None]:
    """(idle, load) of one device in W: the pool's where its replicas say, else the catalogue's."""
    idle_w = None if replica is None else replica.idle_w
    load_w = None if replica is None else replica.load_w
    device = catalog.accelerator(accelerator)
    return device.idle_w if idle_w is None else idle_w, device.tdp_w if load_w is None else load_w


def _work_w(replica: ReplicaRecord) -> float | None:
    """What work adds to one idle device, in W."""
    idle_w, load_w = _powers(replica, replica.accelerator)
    return None if idle_w is None or load_w is None else load_w - idle_w


def _energy_j(replica: ReplicaRecord, duration_s: float, busy: float) -> float | None:
    idle_w, load_w = _powers(replica, replica.accelerator)
    if idle_w is None or load_w is None:
        return None
    per_device = idle_w * duration_s + (load_w - idle_w) * busy
    return replica.num_accelerators * per_device


def _known(parts: Mapping[int, list[float | None]]) -> dict[int, float] | None:
    """The sum of each list; None when anything in one is unknown."""
    if any(None in values for values in parts.values()):
        return None
    return {index: fsum(value for value in values if value is not None) for index, values in parts.items()}
