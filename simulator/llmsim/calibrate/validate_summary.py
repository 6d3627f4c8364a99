"""Errors over many runs: by metric, by group of runs, by source, and how many intervals hold."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median
from typing import Any

import numpy as np

from llmsim.calibrate.runs import METRICS
from llmsim.calibrate.validate import SATURATED, Validated, source_of

GROUPS = ("gpu", "model", "engine", "regime")

HEADLINES: Mapping[str, tuple[str, ...]] = {
    "tpot_itl": ("tpot_ms_mean", "tpot_ms_unspecified", "itl_ms_mean"),
    "throughput": ("output_tokens_per_s", "total_tokens_per_s", "requests_per_s"),
    "e2e": ("e2e_ms_mean",),
    "ttft_below_saturation": ("ttft_ms_mean", "ttft_ms_unspecified"),
}
"""The figures that targets are set for, and the columns each is made of."""


@dataclass(frozen=True)
class ErrorStats:
    """Absolute relative errors of some values."""

    n: int
    median: float
    mean: float
    p90: float

    @classmethod
    def of(cls, errors: Sequence[float]) -> ErrorStats:
        """The statistics of ``errors``, signed or not; there is at least one. Pure."""
        sizes = [abs(error) for error in errors]
        return cls(len(sizes), median(sizes), fmean(sizes), float(np.percentile(sizes, 90)))


def by_metric(validated: Iterable[Validated]) -> dict[str, ErrorStats]:
    """Statistics per metric column, in the columns' order. Pure."""
    errors: dict[str, list[float]] = defaultdict(list)
    for item in validated:
        for column, pair in item.metrics.items():
            errors[column].append(pair.error)
    return {column: ErrorStats.of(errors[column]) for column in METRICS if column in errors}


def headlines(validated: Iterable[Validated]) -> dict[str, ErrorStats]:
    """Statistics of the figures that targets are set for. Pure."""
    errors: dict[str, list[float]] = defaultdict(list)
    for item in validated:
        for name, error in _headline_errors(item):
            errors[name].append(error)
    return {name: ErrorStats.of(errors[name]) for name in HEADLINES if name in errors}


def over_sources(validated: Iterable[Validated]) -> dict[str, ErrorStats]:
    """The same over the medians of the sources, so that none counts more for having more runs. Pure."""
    errors: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for item in validated:
        for name, error in _headline_errors(item):
            errors[name][source_of(item)].append(abs(error))
    return {
        name: ErrorStats.of([median(of) for of in errors[name].values()])
        for name in HEADLINES
        if name in errors
    }


def _headline_errors(item: Validated) -> Iterator[tuple[str, float]]:
    """(headline, error) of each value; TTFT only where the server kept up, ITL only without TPOT."""
    for name, columns in HEADLINES.items():
        if name == "ttft_below_saturation" and item.groups.get("regime") in SATURATED:
            continue
        found = [column for column in columns if column in item.metrics]
        for column in found[:1] if name == "tpot_itl" else found:
            yield name, item.metrics[column].error


def by_group(validated: Sequence[Validated]) -> dict[str, dict[str, dict[str, ErrorStats]]]:
    """Headlines by GPU, model, engine and regime: group kind, group, headline. Pure."""
    found: dict[str, dict[str, dict[str, ErrorStats]]] = {}
    for kind in GROUPS:
        names = sorted({item.groups[kind] for item in validated if kind in item.groups})
        found[kind] = {
            name: headlines(item for item in validated if item.groups.get(kind) == name) for name in names
        }
    return found


def coverage(validated: Iterable[Validated]) -> dict[str, float]:
    """Share of the measured values that their 80% interval holds, by metric column and ``all``. Pure."""
    held: dict[str, list[bool]] = defaultdict(list)
    for item in validated:
        for column, pair in item.metrics.items():
            if pair.is_covered is not None:
                held[column].append(pair.is_covered)
                held["all"].append(pair.is_covered)
    return {name: fmean(held[name]) for name in (*METRICS, "all") if name in held}


def as_json(validated: Sequence[Validated]) -> dict[str, Any]:
    """All of it as JSON: ``runs``, ``summary`` by metric column, and the headlines in every grouping. Pure."""
    return {
        "runs": [_run_json(item) for item in validated],
        "summary": _plain(by_metric(validated)),
        "headlines": _plain(headlines(validated)),
        "sources": _plain(over_sources(validated)),
        "groups": {
            kind: {name: _plain(stats) for name, stats in groups.items()}
            for kind, groups in by_group(validated).items()
        },
        "coverage": coverage(validated),
        "counts": {
            "runs": len(validated),
            "simulated": sum(item.status == "simulated" for item in validated),
            **{
                status.replace(" ", "_"): sum(item.status == status for item in validated)
                for status in ("not expressible", "refused", "failed")
            },
        },
    }


def _plain(stats: Mapping[str, ErrorStats]) -> dict[str, dict[str, float]]:
    return {name: vars(of) for name, of in stats.items()}


def _run_json(item: Validated) -> dict[str, Any]:
    return {
        "id": item.run.id,
        "status": item.status,
        "reason": item.reason,
        "assumed": list(item.assumed),
        "groups": dict(item.groups),
        "metrics": {
            column: {
                "predicted": pair.predicted,
                "measured": pair.measured,
                "error": pair.error,
                "low": pair.low,
                "high": pair.high,
            }
            for column, pair in item.metrics.items()
        },
    }
