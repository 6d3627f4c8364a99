"""Heat maps as data: two axes of a sweep, a choice of metric, and of the other axes' values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from llmsim.report.format import MISSING
from llmsim.report.pages.parts import Metric, estimate_of
from llmsim.report.pages.sweep_data import AxisValue, SweepAxis, SweepPoint

MOST_SLICES = 200


def axis_value(value: AxisValue) -> str:
    """A value of an axis as text; a dash where a point has none."""
    if value is None:
        return MISSING
    return f"{value:,g}" if isinstance(value, int | float) and not isinstance(value, bool) else str(value)


def setting_name(settings: Mapping[str, AxisValue], axes: Sequence[SweepAxis]) -> str:
    """The values of ``axes`` in a point: ``scheduler vllm, request rate 4``."""
    return ", ".join(f"{axis.label} {axis_value(settings.get(axis.key))}" for axis in axes)


def heat_plot(
    axes: Sequence[SweepAxis],
    metrics: Sequence[Metric],
    points: Sequence[SweepPoint],
    limits: Mapping[str, float],
    id: str,
) -> dict[str, Any] | None:
    """The heat map over the first two axes, the longer one across; None when there are fewer, or nothing was measured.

    Where an axis has values that repeat, or two points share a cell, the later one holds.
    """
    known = [
        metric
        for metric in metrics
        if any(estimate_of(p.estimates, metric).value is not None for p in points)
    ]
    if len(axes) < 2 or not known:
        return None
    across, up = sorted(axes[:2], key=lambda axis: -len(axis.values))
    others = axes[2:]
    scales = [(metric, _scale(metric, points)) for metric in known]
    slices: dict[str, list[SweepPoint]] = {}
    for point in points:
        slices.setdefault(setting_name(point.settings, others), []).append(point)
    return {
        "kind": "heat", "id": id, "title": f"{across.label} and {up.label}",
        "about": f"heat map of {len(across.values)} by {len(up.values)} cells; arrow keys move in both directions",
        "xLabel": across.label_with_unit, "yLabel": up.label_with_unit,
        "xs": [axis_value(value) for value in across.values], "ys": [axis_value(value) for value in up.values],
        "metrics": [_metric(metric, scale, limits.get(metric.key)) for metric, scale in scales],
        "slices": [_slice(name, found, (across, up), scales) for name, found in list(slices.items())[:MOST_SLICES]],
        "caption": _caption(points, known, limits),
    }  # fmt: skip


def _scale(metric: Metric, points: Sequence[SweepPoint]) -> tuple[float, str]:
    """What values are multiplied by to be shown, and their unit then: seconds from ten of them on."""
    if metric.unit == "share":
        return 100.0, "%"
    values = (estimate_of(point.estimates, metric).value for point in points)
    is_long = (
        metric.unit == "ms" and max((value for value in values if value is not None), default=0.0) >= 1e4
    )
    return (1e-3, "s") if is_long else (1.0, metric.unit)


def _metric(metric: Metric, scale: tuple[float, str], limit: float | None) -> dict[str, Any]:
    return {
        "name": metric.name,
        "unit": scale[1],
        "better": metric.better,
        "limit": None if limit is None else _short(scale[0] * limit),
    }


def _slice(
    name: str,
    points: Sequence[SweepPoint],
    axes: tuple[SweepAxis, SweepAxis],
    scales: Sequence[tuple[Metric, tuple[float, str]]],
) -> dict[str, Any]:
    """The cells of one choice of the other axes, row by row from the first value of the second axis."""
    columns, rows = ({value: i for i, value in enumerate(axis.values)} for axis in axes)
    cells: dict[int, SweepPoint] = {}
    for point in points:
        column, row = (
            place.get(point.settings.get(axis.key)) for place, axis in zip((columns, rows), axes, strict=True)
        )
        if column is not None and row is not None:
            cells[row * len(columns) + column] = point
    number = len(columns) * len(rows)
    return {
        "name": name,
        "values": [
            [_value(cells.get(i), metric, scale) for i in range(number)] for metric, (scale, _) in scales
        ],
        "saturated": [i for i, point in sorted(cells.items()) if point.saturation == "overloaded"],
        "problems": {i: point.problem for i, point in sorted(cells.items()) if point.problem},
    }


def _value(point: SweepPoint | None, metric: Metric, scale: float) -> float | None:
    value = None if point is None else estimate_of(point.estimates, metric).value
    return None if value is None else _short(scale * value)


def _caption(points: Sequence[SweepPoint], metrics: Sequence[Metric], limits: Mapping[str, float]) -> str:
    parts = []
    if any(metric.key in limits for metric in metrics):
        parts.append("The thick line is the border between within the target and beyond it.")
    if any(point.saturation == "overloaded" for point in points):
        parts.append("A folded corner marks an overloaded cell.")
    return " ".join([*parts, "Colours: cividis (Nuñez et al. 2018)."])


def _short(value: float) -> float:
    return float(f"{value:.5g}")
