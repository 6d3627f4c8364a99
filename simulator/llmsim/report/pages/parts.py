"""What pages about several runs are filled with: plain numbers and words, nothing of how they are drawn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from llmsim.report.facts import Fact

Tone = Literal["good", "bad", "plain"]
"""How a word is coloured; the word itself always says the same, so that nothing rests on colour."""
Direction = Literal["lower", "higher"]
"""Which values of a metric are the better ones."""
Saturation = Literal["stable", "backlogged", "overloaded"]


@dataclass(frozen=True)
class Estimate:
    """A number with its confidence interval. All finite.

    Attributes:
        value: None when nothing could be measured (no request completed, no target set).
        low, high: The interval, in the unit of ``value``; None where there is none (one replication).
    """

    value: float | None
    low: float | None = None
    high: float | None = None


UNKNOWN = Estimate(None)
"""The estimate of what was not measured."""


@dataclass(frozen=True)
class Metric:
    """A column of a table and an axis of a plot.

    Attributes:
        key: Key of the estimates that belong to it; the summary's own where it has one (``p99_ttft_ms``).
        name: What people call it, without its unit: ``TTFT P99``.
        unit: Unit of the values given: ``ms``, ``s``, ``$``, ``$/h``, ``share`` (0 to 1, shown in
            percent), or any other text, shown as it is (``tokens/s``); ``''`` for a plain number.
        better: Which values are the better ones; None where neither is.
    """

    key: str
    name: str
    unit: str = ""
    better: Direction | None = "lower"


@dataclass(frozen=True)
class Headline:
    """The verdict, the first thing on a page.

    Attributes:
        word: The answer in a few words: ``chunked_prefill is faster``, ``2 × h100-sxm``.
        sentence: The answer in a sentence or two, with its figures and how sure it is.
        tone: ``good`` where something asked for was found or met, ``bad`` where it was not.
        facts: Lines under it, each a label and a value: ``("Runner-up", "…")``, ``("Margin", "…")``.
    """

    word: str
    sentence: str
    tone: Tone = "plain"
    facts: tuple[Fact, ...] = ()


@dataclass(frozen=True)
class Head:
    """What every page has above its tables and at its foot.

    Attributes:
        title: Heading and name of the window, usually the scenario's name.
        subtitle: One line under it: what was varied, how often, under which seeds.
        headline: The verdict.
        assumptions: What was taken as given, each with its source
            (:func:`llmsim.report.assumptions.assumptions` makes those of one run).
        notes: What a reader has to know before trusting a figure: small samples, saturated runs.
        version: Version of llmsim.
        sha256: Hash of the scenario or of the store; '' where there is no single one.
    """

    title: str
    subtitle: str
    headline: Headline
    assumptions: tuple[Fact, ...] = ()
    notes: tuple[str, ...] = ()
    version: str = ""
    sha256: str = ""


@dataclass(frozen=True)
class CurvePoint:
    """One point of a curve.

    Attributes:
        x: Where it is on the horizontal axis (a rate, a number of replicas).
        y: What was measured there.
        saturation: Worst saturation class among its runs; None where it has no meaning.
    """

    x: float
    y: Estimate
    saturation: Saturation | None = None


@dataclass(frozen=True)
class CurveSeries:
    """The line of one setting.

    Attributes:
        name: In the legend.
        points: In any order of x, no x twice.
        group: Lines of one group are drawn together, and the reader chooses among the groups; '' where
            there is but one.
    """

    name: str
    points: tuple[CurvePoint, ...]
    group: str = ""


@dataclass(frozen=True)
class Mark:
    """A place on the horizontal axis with a name: where the answer lies."""

    x: float
    text: str


@dataclass(frozen=True)
class Curve:
    """One plot of a metric against a number, one line per setting.

    Attributes:
        metric: What is measured.
        x_name, x_unit: The horizontal axis: ``offered rate``, ``requests/s``.
        series: One per setting; of a group at most :data:`MOST_SERIES` are drawn, and the caption counts the rest.
        limit: The target, in the unit of ``metric``; None without one.
        has_knee: Whether the knee of each line is marked: of latency against rate, not of everything.
        series_name: What the names of the lines are values of (``scheduler``); '' where they speak for themselves.
        mark: A place that a line is drawn through from top to bottom; None for none.
    """

    metric: Metric
    x_name: str
    x_unit: str
    series: tuple[CurveSeries, ...]
    limit: float | None = None
    has_knee: bool = False
    series_name: str = ""
    mark: Mark | None = None


@dataclass(frozen=True)
class TradeOff:
    """Two metrics to draw against each other with the Pareto front, by their keys.

    Attributes:
        x, y: Keys of metrics of the page that have a ``better``: ``usd_per_hour``, ``slo_attainment``.
    """

    x: str
    y: str


@dataclass(frozen=True)
class Setting:
    """A scenario to show in full: its name, and its text as YAML, fully resolved."""

    name: str
    text: str


MOST_SERIES = 12
"""Lines of a plot that a reader can still tell apart by colour, dash and mark together."""


def estimate_of(estimates: Mapping[str, Estimate], metric: Metric) -> Estimate:
    """The estimate of ``metric``; :data:`UNKNOWN` where there is none."""
    return estimates.get(metric.key, UNKNOWN)
