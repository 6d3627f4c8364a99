"""How far a run's figures may be off because the model is, apart from what other seeds would change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import exp
from typing import Any

from llmsim.cost.intervals import LEVEL, Z, metric_class
from llmsim.measure.records import ReplicaRecord

HEADLINES = (
    *(f"{statistic}_{metric}_ms" for metric in ("ttft", "tpot", "itl", "e2el") for statistic in ("mean", "p50", "p99")),
    "output_throughput",
    "total_token_throughput",
    "request_throughput",
)  # fmt: skip
"""Summary fields that carry an interval."""


def model_error(
    replicas: Sequence[ReplicaRecord], summary: Mapping[str, Any]
) -> dict[str, dict[str, float]] | None:
    """Interval of each headline figure: ``predicted · exp(±z·σ)``, σ of the least certain replica. Pure query.

    None when a replica's cost model has no known error (a user's own line or table); a figure for which
    one of them has none is left out.
    """
    if not replicas or any(not replica.model_spread for replica in replicas):
        return None
    found = {}
    for name in HEADLINES:
        value, metric = summary.get(name), metric_class(name)
        if value is not None and all(metric in replica.model_spread for replica in replicas):
            spread = max(replica.model_spread[metric] for replica in replicas)
            low, high = (value * exp(sign * Z * spread) for sign in (-1, 1))
            found[name] = {"low": low, "high": high, "level": LEVEL}
    return found
