"""The page of ``llmsim sweep``."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from llmsim.report.pages.frame import estimate_cell, metric_heads, page, scrolling
from llmsim.report.pages.heat import axis_value, heat_plot, setting_name
from llmsim.report.pages.lines import curve_plot
from llmsim.report.pages.parts import Curve, CurvePoint, CurveSeries, Metric, estimate_of
from llmsim.report.pages.scatter import Alternative, scatter_plot
from llmsim.report.pages.sweep_data import SweepAxis, SweepPage, SweepPoint
from llmsim.report.pieces import scenario_text

MOST_CURVES = 6


def sweep_page(data: SweepPage) -> str:
    """The page as HTML; everything in ``data`` is text and numbers, and escaped."""
    alternatives = [
        Alternative(setting_name(point.settings, data.axes), point.estimates, point.saturation)
        for point in data.points
    ]
    fronts = [
        scatter_plot(trade_off, data.metrics, alternatives, data.limits, f"front-{index}")
        for index, trade_off in enumerate(data.trade_offs)
    ]
    curves = [curve_plot(curve, f"curve-{index}") for index, curve in enumerate(_curves(data))]
    heat = heat_plot(data.axes, data.metrics, data.points, data.limits, "heat")
    scenario = scenario_text("Scenario before anything is varied", data.scenario) if data.scenario else ""
    plots = [("Curves", curves), ("Heat map", [heat]), ("Trade-offs", fronts)]
    return page(data.head, _failed(data) + _table(data), plots, scenario)


def _curves(data: SweepPage) -> list[Curve]:
    """Metrics over the first numeric axis, one line for each combination of the others' values."""
    across = next((axis for axis in data.axes if axis.is_numeric), None)
    if across is None:
        return []
    wanted = data.curve_metrics or tuple(metric.key for metric in data.metrics if metric.unit == "ms")
    others = [axis for axis in data.axes if axis is not across]
    by = min(others, key=lambda axis: len(axis.values), default=None)
    series = _lines(data.points, by, [axis for axis in others if axis is not by])
    metrics = [metric for metric in data.metrics if metric.key in wanted][:MOST_CURVES]
    return [
        Curve(
            metric=metric,
            x_name=across.label,
            x_unit=across.shown_unit,
            series=tuple(
                CurveSeries(name, _line(points, across, metric), group)
                for (group, name), points in series.items()
            ),
            limit=data.limits.get(metric.key),
            series_name="" if by is None else by.label_with_unit,
            has_knee=metric.unit == "ms" and "rate" in across.key,
            mark=data.mark,
        )
        for metric in metrics
    ]


def _lines(
    points: Sequence[SweepPoint], by: SweepAxis | None, rest: Sequence[SweepAxis]
) -> dict[tuple[str, str], list[SweepPoint]]:
    """Points by (group, line): the shortest of the other axes makes the lines, the rest make the groups."""
    found: dict[tuple[str, str], list[SweepPoint]] = {}
    for point in points:
        name = "all" if by is None else axis_value(point.settings.get(by.key))
        found.setdefault((setting_name(point.settings, rest), name), []).append(point)
    return found


def _line(points: Sequence[SweepPoint], across: SweepAxis, metric: Metric) -> tuple[CurvePoint, ...]:
    found = {
        float(x): point for point in points if isinstance(x := point.settings.get(across.key), int | float)
    }
    return tuple(
        CurvePoint(x, estimate_of(point.estimates, metric), point.saturation)
        for x, point in sorted(found.items())
    )


def _failed(data: SweepPage) -> str:
    """The points without a result, by what they failed of."""
    reasons: dict[str, list[str]] = {}
    for point in data.points:
        if point.problem:
            reasons.setdefault(point.problem, []).append(setting_name(point.settings, data.axes))
    if not reasons:
        return ""
    items = "".join(
        f"<li>{escape(reason)} <span class='source'>{escape(_some(names))}</span></li>"
        for reason, names in reasons.items()
    )
    number = sum(map(len, reasons.values()))
    return f"<h2>Failed points</h2><p>{number:,} of {len(data.points):,} have no result.</p><ul>{items}</ul>"


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - 5:,} more" if len(names) > 5 else ""
    return "; ".join(names[:5]) + more


def _table(data: SweepPage) -> str:
    heads = "".join(f'<th scope="col"{_word(axis)}>{escape(axis.label_with_unit)}</th>' for axis in data.axes)
    rows = "".join(_row(data, point) for point in data.points)
    table = (
        f'<table class="numbers sortable"><thead><tr>{heads}<th scope="col" class="word">Load</th>'
        f"{metric_heads(data.metrics)}"
        f'<th scope="col">Runs</th></tr></thead><tbody>{rows}</tbody></table>'
    )
    about = (
        f"Means over replications with their {100 * data.confidence:g}% intervals."
        if any(point.replications > 1 for point in data.points)
        else "One run each, so no intervals."
    )
    box = scrolling("All points", table, is_tall=len(data.points) > 15)
    return (
        f'<h2 id="table">All {len(data.points):,} points</h2>'
        f'<p class="about">{about} A heading sorts by its column.</p>{box}'
    )


def _word(axis: SweepAxis) -> str:
    """Names stand on the left of their column, numbers on the right."""
    return "" if axis.is_numeric else ' class="word"'


def _row(data: SweepPage, point: SweepPoint) -> str:
    texts = [(axis, escape(axis_value(point.settings.get(axis.key)))) for axis in data.axes]
    settings = f'<th scope="row">{texts[0][1]}</th>'
    settings += "".join(f"<td{_word(axis)}>{text}</td>" for axis, text in texts[1:])
    state = "failed" if point.problem else point.saturation or ""
    tone = " bad" if state in ("failed", "overloaded") else ""
    cells = "".join(estimate_cell(estimate_of(point.estimates, metric), metric) for metric in data.metrics)
    return f'<tr>{settings}<td class="word{tone}">{state}</td>{cells}<td>{point.replications}</td></tr>'
