"""Device time, money and energy of a run (F12)."""

from __future__ import annotations

import numpy as np

from llmsim.files import catalog
from llmsim.measure.describe import ratio
from llmsim.measure.records import ReplicaRecord, RunRecord


def accelerator_seconds(record: RunRecord, duration_s: float) -> float:
    """Device-seconds held: every replica's accelerators for the whole run, busy or not."""
    return duration_s * sum(replica.num_accelerators for replica in record.replicas)


def cost_usd(record: RunRecord, duration_s: float) -> float | None:
    """Price of the fleet for the run; None when any replica's price is unknown."""
    prices = [replica.usd_per_hour for replica in record.replicas]
    if any(price is None for price in prices):
        return None
    return duration_s / 3600 * sum(price for price in prices if price is not None)


def usd_per_million_output_tokens(usd: float | None, output_tokens: int) -> float | None:
    """Price of a million output tokens; None without a price or without tokens."""
    return None if usd is None else ratio(1e6 * usd, output_tokens)


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

    F12 with the dynamic part by load: per device P_idle·t + (P_tdp − P_idle)·t_busy. A busy device is
    taken to draw its TDP, so this is an upper estimate for decoding, which rarely does. Idle power is not
    guessed from TDP: where both are known it is anything from 4% (RTX 5090) to 47% (TPU v3) of it.
    """
    busy = busy_s(record, duration_s)
    joules = [_replica_energy_j(replica, duration_s, busy[replica.index]) for replica in record.replicas]
    return None if any(value is None for value in joules) else float(sum(j for j in joules if j is not None))


def unknown_power(record: RunRecord) -> str:
    """The accelerators for want of whose idle or peak power there is no energy, by name; '' for none."""
    names = dict.fromkeys(name for replica in record.replicas for name in replica.accelerators)
    devices = ((name, catalog.accelerator(name)) for name in names)
    return ", ".join(name for name, device in devices if device.tdp_w is None or device.idle_w is None)


def _replica_energy_j(replica: ReplicaRecord, duration_s: float, busy: float) -> float | None:
    joules = 0.0
    for name, number in replica.accelerators.items():
        device = catalog.accelerator(name)
        if device.tdp_w is None or device.idle_w is None:
            return None
        joules += number * (device.idle_w * duration_s + (device.tdp_w - device.idle_w) * busy)
    return joules
