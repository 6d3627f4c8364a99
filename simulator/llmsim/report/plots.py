"""The numbers behind the plots of the page, thinned so that the page stays small for any run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from llmsim.measure.records import RunRecord
from llmsim.measure.requests import RequestTable
from llmsim.measure.series import series
from llmsim.report.format import figures
from llmsim.report.verdict import METRICS
from llmsim.spec.targets import Slo

Floats = npt.NDArray[np.float64]

NUM_POINTS = 400
"""Points of a curve: more than a panel has pixels across at its usual width."""
NUM_BINS = 240
PERCENTILES = {"P50": 0.50, "P90": 0.90, "P95": 0.95, "P99": 0.99}
ABOUT = {
    "ttft_ms": ("Time to first token", "completed requests"),
    "tpot_ms": ("Time per output token", "completed requests of two tokens or more"),
    "e2el_ms": ("End to end", "completed requests"),
}


class Panel(NamedTuple):
    """One plot over time.

    Attributes:
        id: Names the panel in the page.
        title: Its heading.
        y_label: What its vertical axis counts.
        unit: Follows a value in the read-out.
        scale: What a value of the series is multiplied by.
        lines: Column of the series to (name in the legend, colour of the style sheet).
    """

    id: str
    title: str
    y_label: str
    unit: str
    scale: float
    lines: dict[str, tuple[str, int]]


PANELS = (
    Panel(
        "requests", "Requests in the system", "requests", "", 1,
        {"running": ("running", 0), "waiting": ("waiting", 1)},
    ),
    Panel("serving", "Replicas that serve", "replicas", "", 1, {"serving": ("replicas serving", 0)}),
    Panel(
        "held", "Accelerators held", "accelerators", "", 1,
        {"spot_held": ("spot accelerators", 2), "on_demand_held": ("on-demand accelerators", 1)},
    ),
    Panel("cost", "Price of what is held", "$ an hour", " $/h", 1, {"usd_per_hour": ("cost", 4)}),
    Panel("kv", "KV cache in use", "% of blocks", "%", 100, {"kv_usage": ("KV cache", 2)}),
    Panel(
        "tokens", "Throughput", "tokens per second", " tokens/s", 1,
        {"prefill_tokens_per_s": ("prefill", 3), "decode_tokens_per_s": ("decode", 4)},
    ),
)  # fmt: skip


def plot_data(summary: Mapping[str, Any], record: RunRecord, slo: Slo, table: RequestTable) -> dict[str, Any]:
    """Everything ``page.js`` draws: distributions, and values over time. Only finite numbers."""
    return {
        "distributions": [
            distribution(metric, getattr(table, metric)[table.completed], getattr(slo, metric))
            for metric in ABOUT
        ],
        **over_time(summary, record, table),
    }


def over_time(summary: Mapping[str, Any], record: RunRecord, table: RequestTable) -> dict[str, Any]:
    """Values over time: the axis that all panels share, and the panels; none for a run that took no time."""
    values = series(record, NUM_BINS, table=table)
    if not values:
        return {"time": None, "times": []}
    scale, unit = _time_unit(float(values["time_s"][-1]))
    steady = summary["steady_state"]
    band = steady and {
        "from": steady["start_s"] * scale,
        "to": steady["end_s"] * scale,
        "name": "steady state",
    }
    edges = _short(values["time_s"] * scale, digits=8)
    start = edges[0] if edges[0] > 0.05 * edges[-1] else 0.0
    axis = {"x": edges, "x0": start, "xLabel": f"simulated time ({unit})", "xUnit": unit, "band": band}
    axis["events"] = _events(record, scale)
    there = [panel for panel in PANELS if panel.lines.keys() <= values.keys()]
    return {"time": axis, "times": [_panel(values, panel) for panel in there]}


def _events(record: RunRecord, scale: float) -> list[dict[str, Any]]:
    """When instances were taken or broke, for marks beside the curves: {name, x}, only kinds that happened."""
    kinds: tuple[Literal["reclaimed", "crashed"], ...] = ("reclaimed", "crashed")
    times_s = {} if record.fleet is None else {kind: record.fleet.losses_s(kind) for kind in kinds}
    return [
        {"name": name, "x": _short(np.array(found) * scale, digits=8)}
        for name, found in times_s.items()
        if found
    ]


def _time_unit(end_s: float) -> tuple[float, str]:
    if end_s >= 3 * 3600:
        return 1 / 3600, "h"
    return (1 / 60, "min") if end_s >= 600 else (1.0, "s") if end_s >= 1 else (1e3, "ms")


def _panel(values: Mapping[str, Floats], panel: Panel) -> dict[str, Any]:
    lines: list[dict[str, Any]] = [
        {"name": name, "y": _short(values[column] * panel.scale), "color": color}
        for column, (name, color) in panel.lines.items()
    ]
    peaks = ", ".join(f"{line['name']} {figures(max(line['y']))}{panel.unit}" for line in lines)
    return {
        "id": panel.id,
        "title": panel.title,
        "about": f"averages over {len(lines[0]['y'])} equal intervals of the run",
        "caption": f"highest average of an interval: {peaks}",
        "yLabel": panel.y_label,
        "yUnit": panel.unit,
        "series": lines,
    }


def distribution(metric: str, sample_ms: Floats, limit_ms: float | None) -> dict[str, Any]:
    """The empirical distribution of a sample as steps: exact for up to :data:`NUM_POINTS` values.

    Longer samples keep evenly spaced order statistics and, towards the top, ever denser ones, so
    that the tail beyond P99 stays readable.
    """
    title, of = ABOUT[metric]
    sample = np.sort(sample_ms[np.isfinite(sample_ms)])
    scale, unit = (1e-3, "s") if len(sample) and np.quantile(sample, 0.99) >= 1e4 else (1.0, "ms")
    x, y = _steps(sample * scale)
    limit = None if limit_ms is None else limit_ms * scale
    return {
        "id": metric.removesuffix("_ms"),
        "title": title,
        "about": f"cumulative distribution over {len(sample):,} {of}",
        "of": of,
        "caption": _caption(sample * scale, unit, of),
        "xLabel": f"{METRICS[metric]} ({unit})",
        "xUnit": unit,
        "yLabel": "% of requests",
        "yMax": 100,
        "x": x,
        "series": [{"name": METRICS[metric], "y": y, "color": 0}],
        "limit": limit,
        "marks": _marks(sample * scale),
        "bound": _bound(sample * scale, limit),
    }


def _caption(sample: Floats, unit: str, of: str) -> str:
    if not len(sample):
        return ""
    return f"{of}: {len(sample):,}, longest {figures(float(sample[-1]))} {unit}"


def _steps(sample: Floats) -> tuple[list[float], list[float]]:
    """Sorted values and the percentage of the sample at or below each."""
    n = len(sample)
    if not n:
        return [], []
    even = np.linspace(0, n - 1, min(n, NUM_POINTS)).round()
    tail = n - n * np.geomspace(0.01, min(0.01, 1 / n), 20)
    ranks = np.unique(np.clip(np.concatenate((even, tail.round())), 0, n - 1).astype(int))
    return _short(sample[ranks]), _short(100 * (ranks + 1) / n, digits=8)


def _marks(sample: Floats) -> list[dict[str, Any]]:
    if not len(sample):
        return []
    values = _short(np.quantile(sample, list(PERCENTILES.values())))
    return [
        {"name": name, "x": value, "y": 100 * share, "named": name != "P95"}
        for (name, share), value in zip(PERCENTILES.items(), values, strict=True)
    ]


def _bound(sample: Floats, limit: float | None) -> float:
    """Right end of a linear axis: past P99 and past the target, unless that would squeeze the curve."""
    if not len(sample):
        return 1.0
    tail = float(np.quantile(sample, 0.99)) * 1.2
    end = min(float(sample[-1]) * 1.05, tail * 2) if sample[-1] > tail else tail
    if limit is not None and end < limit * 1.08 <= 4 * end:
        end = limit * 1.08
    return float(f"{end:.4g}") or 1.0


def _short(values: Floats, digits: int = 5) -> list[float]:
    """Numbers of few digits: a page carries thousands of them."""
    return [float(f"{value:.{digits}g}") for value in values.tolist()]
