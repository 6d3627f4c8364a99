"""One load, its replications judged together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from llmsim.measure.saturation import TOO_SHORT
from llmsim.measure.shares import share_interval
from llmsim.measure.slo import costs_too_much, has_targets, targets_missed
from llmsim.planning.limit.search import Look
from llmsim.planning.limit.tails import Summary, Tail, tails_of
from llmsim.planning.outcome import Outcome
from llmsim.planning.points import Setting
from llmsim.spec.targets import Slo

UNDECIDED = 0.9
"""Strain of a load that passes while its queue may go on growing."""
OVER = 10.0
"""Strain of a load that cannot be compared with its targets: overloaded, or nothing completed."""


@dataclass(frozen=True)
class Probe:
    """One load and what its replications say together.

    Attributes:
        load: As the dial counts.
        value: The key's value there.
        setting: The scenario at this load.
        outcomes: One a seed.
        attainment: Share of the requests of all replications within all limits; None without any request.
        interval: Where it lies, at 95%: over replications and over requests, whichever is wider.
        tails: Each target.
        missed: What is missed, in words; empty for a load that passes.
        strain: 1 where the targets are just met.
        percentile: Share of requests that has to meet the targets.
        costs_too_much: Whether a million output tokens cost more than they may. Load makes tokens cheaper, so
            that this says nothing about a limit from above.
    """

    load: float
    value: Any
    setting: Setting
    outcomes: tuple[Outcome, ...]
    attainment: float | None
    interval: tuple[float, float] | None
    tails: tuple[Tail, ...]
    missed: tuple[str, ...]
    strain: float
    percentile: float
    costs_too_much: bool

    @property
    def passes(self) -> bool:
        """Whether the targets are met and no replication is overloaded."""
        return not self.missed

    @property
    def look(self) -> Look:
        """What the search needs to know of it."""
        return Look(self.passes, self.strain)

    @property
    def summaries(self) -> list[Summary]:
        """Of the replications that were run."""
        return _summaries(self.outcomes)

    @property
    def saturation(self) -> str:
        """The worst of the replications."""
        order = ("overloaded", "backlogged", "stable")
        found = {summary["saturation"] for summary in self.summaries}
        return next((word for word in order if word in found), "unknown")

    @property
    def may_go_on_growing(self) -> bool:
        """Whether some replication was too short to tell if the fleet keeps up."""
        return any(note.startswith(TOO_SHORT) for summary in self.summaries for note in summary["notes"])

    def is_hopeless(self, replications: int) -> bool:
        """Whether it fails whatever so many replications, of about as many requests each, would say.

        It is overloaded, or misses twice as many requests as all replications together may.
        """
        allowed = 1 - self.percentile
        lost = 1 - self.attainment if self.attainment is not None and allowed else 0.0
        return self.saturation == "overloaded" or lost > 2 * replications * allowed

    def mean(self, field: str) -> float | None:
        """The mean over replications of a summary field. None where one has none."""
        values = [summary[field] for summary in self.summaries]
        return None if None in values or not values else float(np.mean(values))


def judge(load: float, value: Any, setting: Setting, outcomes: Sequence[Outcome], slo: Slo) -> Probe:
    """What the replications of one load say together. Pure.

    Requests of all replications are counted together: as many of them as ``slo.percentile`` says have to meet all
    their limits. One overloaded replication is enough to fail, as its latencies depend on its length; a backlogged
    one is not: a burst, or a closed loop wider than the servers, leaves a backlog and may meet its targets.
    """
    summaries = _summaries(outcomes)
    broken = [outcome.problem for outcome in outcomes if outcome.problem]
    latency = slo.model_copy(update={"usd_per_million_output_tokens": None})
    pooled = _pooled(summaries)
    overloaded = sum(summary["saturation"] == "overloaded" for summary in summaries)
    missed = [f"cannot be run: {reason}" for reason in dict.fromkeys(broken)]
    missed += [f"overloaded in {overloaded} of {len(summaries)} runs"] * bool(overloaded)
    missed += targets_missed(pooled, latency) if summaries else []
    tails = tuple(tails_of(outcomes, slo, pooled["slo_attainment_by_metric"]))
    attainment = pooled["slo_attainment"] if summaries else None
    return Probe(
        load,
        value,
        setting,
        tuple(outcomes),
        attainment,
        share_interval([summary["slo_attainment"] or 0.0 for summary in summaries], pooled["offered"])
        if summaries and attainment is not None
        else None,
        tails,
        tuple(missed),
        OVER if overloaded or broken else _strain(summaries, attainment, tails, slo),
        slo.percentile,
        bool(summaries) and costs_too_much(pooled, slo),
    )


def _summaries(outcomes: Sequence[Outcome]) -> list[Summary]:
    return [outcome.summary for outcome in outcomes if outcome.summary is not None]


def _pooled(summaries: Sequence[Summary]) -> dict[str, Any]:
    """The fields that targets are about, over the requests of all replications."""
    offered = sum(summary["offered"] for summary in summaries)
    metrics = summaries[0]["slo_attainment_by_metric"] if summaries else {}
    cost = [summary["cost_usd"] for summary in summaries]
    tokens = sum(summary["total_output_tokens"] for summary in summaries)
    return {
        "offered": offered,
        "slo_attainment": _weighted([(s["slo_attainment"], s["offered"]) for s in summaries]),
        "slo_attainment_by_metric": {
            metric: _weighted(
                [(s["slo_attainment_by_metric"][metric], _weight(s, metric)) for s in summaries]
            )
            for metric in metrics
        },
        "usd_per_million_output_tokens": None if None in cost or not tokens else 1e6 * sum(cost) / tokens,
    }


def _weight(summary: Summary, metric: str) -> int:
    """How many samples a share is of: gaps between tokens, or requests."""
    gaps = max(0, summary["total_output_tokens"] - summary["completed"])
    return int(gaps if metric == "itl_ms" else summary["offered"])


def _weighted(shares: Sequence[tuple[float | None, int]]) -> float | None:
    counted = [(share, weight) for share, weight in shares if share is not None and weight]
    total = sum(weight for _, weight in counted)
    return sum(share * weight for share, weight in counted) / total if total else None


def _strain(summaries: Sequence[Summary], attainment: float | None, tails: Sequence[Tail], slo: Slo) -> float:
    """How near to failing: the largest of tail over limit, and of requests outside over requests allowed to be."""
    ratios = [tail.tail_ms / tail.limit_ms for tail in tails if tail.tail_ms is not None]
    if attainment is not None and slo.percentile < 1:
        ratios.append((1 - attainment) / (1 - slo.percentile))
    if not ratios or (attainment is None and has_targets(slo)):
        return OVER
    growing = any(note.startswith(TOO_SHORT) for summary in summaries for note in summary["notes"])
    return max([*ratios, UNDECIDED] if growing else ratios)
