"""How each target fared over several replications."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from llmsim.measure.describe import PERCENTILES
from llmsim.measure.quantiles import LEVELS
from llmsim.measure.slo import REQUEST_METRICS
from llmsim.planning.outcome import Outcome
from llmsim.spec.targets import Slo, Targets

Summary = Mapping[str, Any]


@dataclass(frozen=True)
class Tail:
    """How one target fared.

    Attributes:
        metric: As in a summary: ``ttft_ms``.
        class_name: The request class it holds for; empty for all.
        limit_ms: The target.
        level: The share of requests that should be within it.
        tail_ms: The quantile of that level among completed requests, the worst of the replications; None without.
        share: Requests offered within the limit, over all replications; None for a class.
    """

    metric: str
    class_name: str
    limit_ms: float
    level: float
    tail_ms: float | None
    share: float | None


def tails_of(outcomes: Sequence[Outcome], slo: Slo, shares: Mapping[str, float | None]) -> Iterator[Tail]:
    """Each target of all requests, and of each class that has its own.

    Args:
        outcomes: Of the replications.
        slo: The targets.
        shares: Requests within the limit of each metric, over all replications.
    """
    summaries = [outcome.summary for outcome in outcomes if outcome.summary is not None]
    for metric in Targets.model_fields:
        limit = getattr(slo, metric)
        if limit is not None:
            share = shares.get(metric)
            yield Tail(metric, "", limit, slo.percentile, _worst(outcomes, metric, slo.percentile), share)
    for name, own in slo.classes.items():
        for metric in REQUEST_METRICS:
            limit = getattr(own, metric)
            if limit is not None:
                members = [summary["classes"][name] for summary in summaries if name in summary["classes"]]
                found = [_percentile(member, metric, slo.percentile) for member in members]
                tail_ms = max((value for value in found if value is not None), default=None)
                yield Tail(metric, name, limit, slo.percentile, tail_ms, None)


def _worst(outcomes: Sequence[Outcome], metric: str, level: float) -> float | None:
    """The quantile ``level`` of the replication where it is greatest."""
    found: list[float | None] = []
    for outcome in outcomes:
        quantiles = (outcome.curves or {}).get(metric)
        if quantiles:
            found.append(float(np.interp(level, LEVELS, quantiles)))
        elif outcome.summary and metric not in REQUEST_METRICS:
            found.append(_percentile(outcome.summary, metric, level))
    return max((value for value in found if value is not None), default=None)


def _percentile(summary: Summary, metric: str, level: float) -> float | None:
    """The quantile ``level``, straight between the percentiles of a summary; the last of them beyond."""
    known = [summary[f"p{percentile}_{metric}"] for percentile in PERCENTILES]
    return None if None in known else float(np.interp(100 * level, PERCENTILES, known))
