"""Line plots as data: curves over a number, and distributions of several settings at shared levels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from llmsim.measure.knee import knee
from llmsim.report.pages.parts import MOST_SERIES, Curve, CurvePoint, CurveSeries
from llmsim.report.pages.words import in_words
from llmsim.report.plots import ABOUT
from llmsim.report.verdict import METRICS

NUM_COLORS, NUM_SHAPES = 8, 4
MOST_MARKED = 60
"""Stops up to which each point has a mark."""
MOST_NAMED = 4
"""Knees that a caption names."""
LEAST_RISE = 1.5
"""Ratio of the greatest to the least latency from which a line can have a knee."""
LOG_FROM = 30.0
"""Ratio of the greatest to the least value from which a logarithmic axis is the better start."""


def curve_plot(curve: Curve, id: str) -> dict[str, Any] | None:
    """The plot of a curve; None when it has no value to draw."""
    groups = _groups(curve)
    drawn = [line for lines in groups.values() for line in lines]
    points = [point for line in drawn for point in line.points if point.y.value is not None]
    if not points:
        return None
    stops = sorted({point.x for point in points})
    scale, unit = _unit(curve.metric.unit, [point.y.value or 0.0 for point in points])
    values = [scale * (point.y.value or 0.0) for point in points]
    title = f"{curve.metric.name} by {curve.x_name}"
    return {
        "kind": "lines", "id": id, "title": title, "along": "x", "unit": unit,
        "about": f"{_lines(max(map(len, groups.values())))} over {len(stops)} values of {curve.x_name}",
        "xLabel": _labelled(curve.x_name, curve.x_unit), "yLabel": _labelled(curve.metric.name, unit),
        "stopName": curve.x_name, "stopUnit": curve.x_unit, "stops": [_short(x) for x in stops],
        "stopsLog": _is_geometric(stops), "hasMarks": len(stops) <= MOST_MARKED,
        "groups": [_group(name, lines, curve, stops, scale) for name, lines in groups.items()],
        "limit": _limit(curve.limit, scale, unit), "seriesName": curve.series_name,
        "mark": curve.mark and {"at": _short(curve.mark.x), "text": curve.mark.text},
        "most": 100 if unit == "%" else None, **_log(values, unit != "%"),
        "caption": _caption(curve, drawn, len(groups)),
    }  # fmt: skip


def cdf_plot(
    metric: str,
    quantiles: Mapping[str, Sequence[float | None]],
    levels: Sequence[float],
    limit_ms: float | None,
    id: str,
) -> dict[str, Any] | None:
    """The distributions of one latency under several settings; None when nothing was measured.

    Args:
        metric: ``ttft_ms``, ``tpot_ms`` or ``e2el_ms``.
        quantiles: Name of a setting to its values in ms at ``levels``.
        levels: Shares of requests, ascending, 0 to 1.
        limit_ms: The target, if there is one.
        id: Names the plot in the page.
    """
    known = {name: values for name, values in quantiles.items() if any(v is not None for v in values)}
    if not known or not levels:
        return None
    scale, unit = _unit("ms", [v for values in known.values() for v in values if v is not None])
    values = [scale * v for found in known.values() for v in found if v is not None]
    title, of = ABOUT[metric]
    series = [
        _style(index)
        | {"name": name, "values": [None if v is None else _short(scale * v) for v in found]}
        | dict.fromkeys(("low", "high"), [None] * len(levels))
        | {"saturated": [False] * len(levels)}
        for index, (name, found) in enumerate(list(known.items())[:MOST_SERIES])
    ]
    return {
        "kind": "lines", "id": id, "title": title, "along": "y", "unit": unit,
        "about": f"cumulative distributions over {of}, {_lines(len(series))}",
        "xLabel": f"{METRICS[metric]} ({unit})", "yLabel": "% of requests",
        "stopName": "of requests", "stopUnit": "%", "stops": [_short(100 * level) for level in levels],
        "groups": [{"name": "", "series": series, "knees": []}],
        "limit": _limit(limit_ms, scale, unit), "hasMarks": False, **_log(values, True),
        "caption": f"Share of {of} that took at most so long.",
    }  # fmt: skip


def _groups(curve: Curve) -> dict[str, list[CurveSeries]]:
    """The lines that are drawn, by group."""
    groups: dict[str, list[CurveSeries]] = {}
    for line in curve.series:
        groups.setdefault(line.group, []).append(line)
    return {name: lines[:MOST_SERIES] for name, lines in groups.items()}


def _group(
    name: str, lines: Sequence[CurveSeries], curve: Curve, stops: Sequence[float], scale: float
) -> dict[str, Any]:
    """What is drawn together."""
    series = [_line(line, index, stops, scale) for index, line in enumerate(lines)]
    return {"name": name, "series": series, "knees": _knees(curve, lines, scale)}


def _line(line: CurveSeries, index: int, stops: Sequence[float], scale: float) -> dict[str, Any]:
    """One line, None where it has no point."""
    found = {point.x: point for point in line.points}
    points = [found.get(x) for x in stops]
    columns: dict[str, list[float | None]] = {"values": [], "low": [], "high": []}
    for point in points:
        for column, field in (("values", "value"), ("low", "low"), ("high", "high")):
            value = None if point is None or point.y.value is None else getattr(point.y, field)
            columns[column].append(None if value is None else _short(scale * value))
    saturated = [point is not None and _is_saturated(point) for point in points]
    return _style(index) | {"name": line.name, **columns, "saturated": saturated}


def _style(index: int) -> dict[str, int]:
    """Colour, dash and mark: together they tell :data:`MOST_SERIES` lines apart."""
    return {"color": index % NUM_COLORS, "dash": index // NUM_COLORS, "shape": index % NUM_SHAPES}


def _is_saturated(point: CurvePoint) -> bool:
    return point.saturation == "overloaded"


def _knees(curve: Curve, drawn: Sequence[CurveSeries], scale: float) -> list[dict[str, Any]]:
    found = []
    for index, line in enumerate(drawn if curve.has_knee else ()):
        point = knee_of(line)
        if point is not None and point.y.value is not None:
            text = f"knee of {line.name} at {in_words(point.x, curve.x_unit)}"
            value = _short(scale * point.y.value)
            found.append({"series": index, "at": _short(point.x), "value": value, "text": text})
    return found


def knee_of(line: CurveSeries) -> CurvePoint | None:
    """The knee of a line, overloaded points left out: their latency grows with the length of the run.

    None where the latency does not rise by half at least: the shape of something so flat is chance.
    """
    points = [point for point in line.points if point.y.value is not None and not _is_saturated(point)]
    values = [point.y.value or 0.0 for point in points]
    if not values or max(values) < LEAST_RISE * min(values):
        return None
    index = knee([point.x for point in points], values)
    return None if index is None else points[index]


def _caption(curve: Curve, drawn: Sequence[CurveSeries], num_groups: int) -> str:
    """What the marks mean, as far as they are there."""
    parts = [_about_knees(curve, drawn, num_groups)] if curve.has_knee else []
    points = [point for line in drawn for point in line.points]
    if any(map(_is_saturated, points)):
        grows = ", so that the latency grows with the length of the run" if curve.metric.unit == "ms" else ""
        parts.append(f"Hollow marks: overloaded{grows}.")
    if any(point.y.low is not None for point in points):
        parts.append("Bands are confidence intervals.")
    left_out = len(curve.series) - len(drawn)
    parts += [f"{left_out} more lines are in the table only."] * bool(left_out)
    return " ".join(filter(None, parts))


def _about_knees(curve: Curve, drawn: Sequence[CurveSeries], num_groups: int) -> str:
    """Where the knees are, and by what rule; only the rule where there are many, or several groups."""
    found = [(line.name, point.x) for line in drawn if (point := knee_of(line)) is not None]
    rule = "farthest below the chord of what is not overloaded (Kneedle, Satopää et al. 2011)"
    if not found:
        return "No line turns up enough to have a knee."
    if len(found) > MOST_NAMED or num_groups > 1:
        return f"Rings: the knees, {rule}."
    where = (
        f"{name} {in_words(x, curve.x_unit)}" if len(drawn) > 1 else in_words(x, curve.x_unit)
        for name, x in found
    )
    return f"Ring{'s' * (len(found) > 1)}: the knee, {rule}, at {'; '.join(where)}."


def _unit(unit: str, values: Sequence[float]) -> tuple[float, str]:
    """What values are multiplied by to be drawn, and their unit then."""
    if unit == "share":
        return 100.0, "%"
    return (1e-3, "s") if unit == "ms" and max(values) >= 1e4 else (1.0, unit)


def _limit(limit: float | None, scale: float, unit: str) -> dict[str, Any] | None:
    if limit is None:
        return None
    value = _short(scale * limit)
    text = f"{value:g}%" if unit == "%" else f"{value:,g} {unit}"
    return {"value": value, "text": f"SLO {text}"}


def _log(values: Sequence[float], may_be: bool) -> dict[str, bool]:
    """Whether the axis of values can be logarithmic, and starts so."""
    can = may_be and min(values) > 0 and max(values) > 2 * min(values)
    return {"canLog": can, "isLog": can and max(values) > LOG_FROM * min(values)}


def _is_geometric(stops: Sequence[float]) -> bool:
    """1, 2, 4, … 64: far apart, and most of them at the low end."""
    middle = stops[len(stops) // 2]
    return len(stops) > 3 and stops[0] > 0 and stops[-1] >= 16 * stops[0] and middle < 0.3 * stops[-1]


def _labelled(name: str, unit: str) -> str:
    return f"{name} ({unit})" if unit else name


def _lines(number: int) -> str:
    return f"{number} line{'s' * (number != 1)}"


def _short(value: float) -> float:
    """A number of few digits: a page carries thousands of them."""
    return float(f"{value:.6g}")
