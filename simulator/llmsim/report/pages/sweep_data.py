"""What the page of ``llmsim sweep`` is filled with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from llmsim.report.pages.parts import Estimate, Head, Mark, Metric, Saturation, TradeOff

AxisValue = float | int | str | bool | None
UNITS = {"request_rate": "requests/s"}
"""Last part of a key to its unit, of keys that people sweep and that do not name their unit."""


@dataclass(frozen=True)
class SweepAxis:
    """A key that was varied.

    Attributes:
        key: Path of the scenario key: ``workload.arrival.request_rate``.
        values: In the order given, no two equal; numbers make a numeric axis, anything else a list of
            names. A mapping is given by its name.
        name: What people call it; the last part of the key when ''.
        unit: ``requests/s``; '' where unknown, or where :data:`UNITS` has the key.
    """

    key: str
    values: tuple[AxisValue, ...]
    name: str = ""
    unit: str = ""

    @property
    def label(self) -> str:
        """Its name."""
        return self.name or self.key.rpartition(".")[2].replace("_", " ")

    @property
    def shown_unit(self) -> str:
        """Its unit as given, or the one that the key always has."""
        return self.unit or UNITS.get(self.key.rpartition(".")[2], "")

    @property
    def label_with_unit(self) -> str:
        """``request rate (requests/s)``."""
        return f"{self.label} ({self.shown_unit})" if self.shown_unit else self.label

    @property
    def is_numeric(self) -> bool:
        """Whether it can be the horizontal axis of a curve: numbers, two different ones at least."""
        numbers = all(isinstance(v, int | float) and not isinstance(v, bool) for v in self.values)
        return numbers and len(set(self.values)) > 1


@dataclass(frozen=True)
class SweepPoint:
    """One point of the grid.

    Attributes:
        settings: Key of an axis to the value here; an axis may be missing where points are listed one by one.
        estimates: Key of a metric to its mean over replications with its interval; empty if it failed.
        replications: Runs behind the estimates.
        saturation: Worst class among them.
        problem: Why it has no result, in a sentence; '' when it has one.
    """

    settings: Mapping[str, AxisValue]
    estimates: Mapping[str, Estimate] = field(default_factory=dict)
    replications: int = 1
    saturation: Saturation | None = None
    problem: str = ""


@dataclass(frozen=True)
class SweepPage:
    """The page of ``llmsim sweep``.

    A numeric axis gives curves (the other axes' values are the lines), two axes or more a heat map with a
    choice of metric, and ``trade_offs`` Pareto fronts. Thousands of points are fine.

    Attributes:
        head: Title, verdict, assumptions, notes.
        axes: What was varied, in the order given; at least one.
        metrics: Columns of the table, in their order.
        points: In grid order; failed ones among them.
        limits: Key of a metric to its target, in the metric's unit.
        curve_metrics: Keys of the metrics to draw as curves; latencies of ``metrics`` when ().
        trade_offs: Pairs of metrics for a scatter with its front, for instance cost against attainment.
        mark: Where the answer lies on the horizontal axis of all curves; None without one.
        scenario: The scenario before anything is varied, as YAML.
        confidence: Of the intervals: 0.95.
    """

    head: Head
    axes: tuple[SweepAxis, ...]
    metrics: tuple[Metric, ...]
    points: tuple[SweepPoint, ...]
    limits: Mapping[str, float] = field(default_factory=dict)
    curve_metrics: tuple[str, ...] = ()
    trade_offs: tuple[TradeOff, ...] = ()
    mark: Mark | None = None
    scenario: str = ""
    confidence: float = 0.95
