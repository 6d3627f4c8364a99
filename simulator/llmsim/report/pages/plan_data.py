"""What the page of ``llmsim plan`` is filled with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from llmsim.report.pages.parts import Curve, Estimate, Head, Metric, Saturation, Setting, TradeOff


@dataclass(frozen=True)
class Candidate:
    """A fleet that was simulated.

    Attributes:
        name: In words, unique on the page: ``2 × h100-sxm, TP 2, chunked_prefill``.
        meets: Whether it meets every target, with the confidence asked for; None where that is open.
        estimates: Key of a metric to its mean over replications with its interval.
        why: The target that binds or was missed, and by how much, in words.
        bottleneck: What bounds it, in words.
        saturation: Worst class among its runs.
        replications: Runs behind the estimates; 0 for one that was ranked without being simulated.
    """

    name: str
    meets: bool | None
    estimates: Mapping[str, Estimate]
    why: str = ""
    bottleneck: str = ""
    saturation: Saturation | None = None
    replications: int = 1


@dataclass(frozen=True)
class Pruned:
    """Candidates that were never simulated, for one reason.

    Attributes:
        reason: In words: ``the weights do not fit in memory``.
        count: How many.
        examples: A few of them in words, with the figure that rules them out.
        source: The bound that was used and where it comes from: ``memory: parameters × bytes``.
    """

    reason: str
    count: int
    examples: tuple[str, ...] = ()
    source: str = ""


@dataclass(frozen=True)
class PlanPage:
    """The page of ``llmsim plan``: a fleet, or the limit of one.

    Attributes:
        head: Title; the answer as its headline, with runner-up, margin and bottleneck among its facts.
        metrics: Columns of the ranked table.
        candidates: Best first; the winner, when there is one, is the first and ``meets``.
        pruned: What was left out before any simulation, grouped.
        trade_offs: Scatters with fronts over the candidates: cost against attainment, tokens/s/GPU
            against tokens/s/user.
        curves: Of the winner: attainment against replicas, latency against rate.
        limits: Key of a metric to its target, in the metric's unit.
        over_time: One run of the winner over time, of :func:`llmsim.report.plots.over_time`; {} without.
        scenarios: Scenarios to show in full, the winner's first.
        confidence: Of the intervals: 0.95.
    """

    head: Head
    metrics: tuple[Metric, ...]
    candidates: tuple[Candidate, ...]
    pruned: tuple[Pruned, ...] = ()
    trade_offs: tuple[TradeOff, ...] = ()
    curves: tuple[Curve, ...] = ()
    limits: Mapping[str, float] = field(default_factory=dict)
    over_time: Mapping[str, Any] = field(default_factory=dict)
    scenarios: tuple[Setting, ...] = ()
    confidence: float = 0.95
