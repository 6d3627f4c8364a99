"""Who met the targets, by the rule of vLLM's goodput, and which targets a run missed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from llmsim.measure.describe import ratio
from llmsim.measure.gaps import GapPool
from llmsim.measure.requests import RequestTable
from llmsim.spec.targets import Slo, Targets

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

REQUEST_METRICS = ("ttft_ms", "tpot_ms", "e2el_ms")


def has_targets(slo: Slo) -> bool:
    """Whether ``slo`` limits anything, for any class."""
    return any(
        getattr(targets, metric) is not None
        for targets in (slo, *slo.classes.values())
        for metric in Targets.model_fields
    )


def costs_too_much(summary: Mapping[str, Any], slo: Slo) -> bool:
    """Whether a million output tokens cost more than they may, or nobody knows what they cost."""
    most = slo.usd_per_million_output_tokens
    if most is None:
        return False
    usd = summary["usd_per_million_output_tokens"]
    return usd is None or usd > most


def limits_ms(table: RequestTable, slo: Slo, metric: str) -> Floats:
    """Each request's limit for ``metric``, by its class; inf without one. shape (num_requests,)."""
    by_class = [getattr(slo.of_class(name), metric) for name in table.class_names]
    limits = np.array([np.inf if limit is None else limit for limit in by_class], dtype=np.float64)
    return limits[table.class_index]


def within(table: RequestTable, slo: Slo, metric: str) -> Bools:
    """Which requests completed within their limit for ``metric``. One-token requests meet any TPOT limit."""
    values: Floats = getattr(table, metric)
    return table.completed & (np.isnan(values) | (values <= limits_ms(table, slo, metric)))


def good(table: RequestTable, slo: Slo) -> Bools | None:
    """Which requests completed within all their limits (``slo_ok``); None without targets.

    ITL has no say here, as in vLLM's goodput: gaps are pooled, not kept by request.
    """
    if not has_targets(slo):
        return None
    met = table.completed.copy()
    for metric in REQUEST_METRICS:
        met &= within(table, slo, metric)
    return met


def attainment_by_metric(table: RequestTable, slo: Slo, pool: GapPool) -> dict[str, float | None]:
    """Per limited metric, the share of offered requests within their limit; of all gaps for ``itl_ms``.

    Where only some classes have a limit for a metric, their requests alone are counted. Gaps are judged
    by the limit of every class, not by those of single ones.
    """
    shares: dict[str, float | None] = {}
    for metric in REQUEST_METRICS:
        limited = np.isfinite(limits_ms(table, slo, metric))
        if limited.any():
            shares[metric] = ratio(int((within(table, slo, metric) & limited).sum()), int(limited.sum()))
    if slo.itl_ms is not None:
        shares["itl_ms"] = pool.share_within(slo.itl_ms / 1e3) if pool.size else None
    return shares


def targets_missed(summary: Mapping[str, Any], slo: Slo) -> list[str]:
    """What ``--check`` fails on, in words; empty when all is met.

    ``percentile`` of the requests offered have to meet all their limits; and as many of all gaps
    ``itl_ms``.
    """
    shares: dict[str, float | None] = {}
    if has_targets(slo):
        shares["requests within all limits"] = summary["slo_attainment"]
    if slo.itl_ms is not None:
        shares[f"gaps within {slo.itl_ms:g} ms"] = summary["slo_attainment_by_metric"]["itl_ms"]
    missed = [
        f"{what}: {'none' if share is None else format(share, '.2%')} (target {slo.percentile:.2%})"
        for what, share in shares.items()
        if share is None or share < slo.percentile
    ]
    if costs_too_much(summary, slo):
        usd, most = summary["usd_per_million_output_tokens"], slo.usd_per_million_output_tokens
        paid = "unknown" if usd is None else f"${usd:.4g}"
        missed.append(f"a million output tokens: {paid} (target ${most:.4g})")
    return missed
