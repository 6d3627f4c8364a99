"""Scatters with a Pareto front, and intervals of differences, as data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from llmsim.measure.pareto import pareto_front
from llmsim.report.pages.compare_data import ComparedSetting
from llmsim.report.pages.parts import Estimate, Metric, Saturation, TradeOff, estimate_of
from llmsim.report.pages.words import difference_in_words, relative_in_words


class Alternative(NamedTuple):
    """A point of a scatter: what it is called and what was measured."""

    name: str
    estimates: Mapping[str, Estimate]
    saturation: Saturation | None


def scatter_plot(
    trade_off: TradeOff,
    metrics: Sequence[Metric],
    alternatives: Sequence[Alternative],
    limits: Mapping[str, float],
    id: str,
) -> dict[str, Any] | None:
    """Two metrics against each other; None when a metric is unknown, has no better end, or nothing was measured."""
    by_key = {metric.key: metric for metric in metrics}
    x, y = by_key.get(trade_off.x), by_key.get(trade_off.y)
    if x is None or y is None or x.better is None or y.better is None:
        return None
    points = sorted(
        (_value(one, x), _value(one, y), one.name, one.saturation == "overloaded")
        for one in alternatives
        if estimate_of(one.estimates, x).value is not None and estimate_of(one.estimates, y).value is not None
    )
    if not points:
        return None
    able = [point for point in points if not point[3]]
    flags = iter(pareto_front([p[0] for p in able], [p[1] for p in able], x.better, y.better))
    on_front = [not saturated and next(flags) for *_, saturated in points]
    (x_scale, x_unit), (y_scale, y_unit) = _unit(x), _unit(y)
    positive = [point[0] for point in points if point[0] > 0]
    can_log = len(positive) == len(points) and max(positive) > 2 * min(positive)
    return {
        "kind": "points", "id": id, "title": f"{y.name} against {_inside(x.name)}",
        "about": f"{len(points)} settings, {sum(on_front)} on the Pareto front; left and right go through all, "
        "up and down through the front",
        "xName": x.name, "yName": y.name, "xUnit": x_unit, "yUnit": y_unit,
        "xLabel": _labelled(x.name, x_unit), "yLabel": _labelled(y.name, y_unit),
        "xBetter": x.better, "yBetter": y.better,
        "xLimit": _limit(limits.get(x.key), x_scale), "yLimit": _limit(limits.get(y.key), y_scale),
        "canLog": can_log, "isLog": can_log and max(positive) > 30 * min(positive),
        "points": [
            {"name": name, "x": _short(a), "y": _short(b), "front": front, "saturated": saturated}
            for (a, b, name, saturated), front in zip(points, on_front, strict=True)
        ],
        "caption": "Diamonds: the Pareto front, which nothing beats in both "
        f"({x.better} is better across, {y.better} up)."
        + (" Hollow marks: overloaded, so that they are on no front." if len(able) < len(points) else ""),
    }  # fmt: skip


def differences_plot(
    settings: Sequence[ComparedSetting], metrics: Sequence[Metric], confidence: float, id: str
) -> dict[str, Any] | None:
    """Every setting's difference to the baseline, in percent of it; None when there is none."""
    is_one = len(settings) == 2
    rows = [
        _difference_row(setting, metric, is_one)
        for metric in metrics
        for setting in settings[1:]
        if metric.key in setting.differences and setting.differences[metric.key].relative.value is not None
    ]
    if not rows:
        return None
    baseline, *others = (setting.name for setting in settings)
    return {
        "kind": "bars", "id": id,
        "title": f"{others[0]} against {baseline}" if is_one else f"Differences to {baseline}",
        "about": f"{len(rows)} differences with their {100 * confidence:g}% intervals",
        "xLabel": f"% of {baseline}", "rows": rows,
        "caption": f"Paired by seed; bars are {100 * confidence:g}% confidence intervals. "
        "One that holds zero shows no difference.",
    }  # fmt: skip


def _difference_row(setting: ComparedSetting, metric: Metric, is_one: bool) -> dict[str, Any]:
    """One difference in percent of the baseline, in words too; by metric unless only one setting is compared."""
    difference = setting.differences[metric.key]
    relative = difference.relative
    return {
        "group": "" if is_one else metric.name,
        "name": metric.name if is_one else setting.name,
        "value": _percent(relative.value),
        "low": _percent(relative.low),
        "high": _percent(relative.high),
        "word": difference.word,
        "tone": difference.tone,
        "text": relative_in_words(relative),
        "absolute": difference_in_words(difference.absolute, metric.unit),
    }


def _inside(name: str) -> str:
    """A name within a sentence: ``Cost`` loses its capital, ``TTFT P99`` does not."""
    return name[:1].lower() + name[1:] if name[1:2].islower() else name


def _value(one: Alternative, metric: Metric) -> float:
    return (estimate_of(one.estimates, metric).value or 0.0) * _unit(metric)[0]


def _unit(metric: Metric) -> tuple[float, str]:
    return (100.0, "%") if metric.unit == "share" else (1.0, metric.unit)


def _labelled(name: str, unit: str) -> str:
    return f"{name} ({unit})" if unit else name


def _limit(limit: float | None, scale: float) -> float | None:
    return None if limit is None else _short(scale * limit)


def _percent(share: float | None) -> float | None:
    return None if share is None else _short(100 * share)


def _short(value: float) -> float:
    return float(f"{value:.6g}")
