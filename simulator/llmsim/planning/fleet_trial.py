"""One fleet under several seeds: does it meet its targets, and how sure is that."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any, Literal

from llmsim.measure.shares import share_interval
from llmsim.measure.slo import targets_missed
from llmsim.planning.outcome import Outcome
from llmsim.spec.targets import Slo

MOST_REPLICATIONS = 30
"""Where replicating ends, however close it is."""

CLEARLY = 0.05
"""A fleet whose attainment is below the target by this has failed clearly: fewer replicas would not do."""

State = Literal["open", "failed", "met", "too close to call"]


@dataclass(frozen=True)
class Rules:
    """When a fleet counts as enough.

    Each of ``replications`` seeds has to meet the targets without being overloaded, and the lower end of
    the interval of the attainment has to reach the share that the targets want. While that is not so,
    and while the interval is wider than ``precision``, there are more seeds, up to ``MOST_REPLICATIONS``.
    Where every request has to meet the targets no number of them makes it certain, and the seeds alone decide.

    Attributes:
        seed: The first; the others follow it, the same for every fleet (common random numbers).
        is_replay: Whether no seed changes anything, so that one run is all there is to know.
    """

    slo: Slo
    seed: int = 0
    replications: int = 3
    precision: float | None = None
    is_replay: bool = False

    def seeds(self, count: int) -> list[int]:
        """The first ``count`` seeds. Pure query."""
        return [self.seed + index for index in range(count)]


@dataclass
class Trial:
    """One candidate at one number of replicas, and its runs so far.

    Attributes:
        outcomes: By seed.
    """

    candidate: int
    replicas: int
    rules: Rules
    outcomes: dict[int, Outcome] = field(default_factory=dict)

    def missing(self) -> list[int]:
        """Seeds to run next; none when it is decided. The first one alone: most fleets fail it. Pure query."""
        if self.state != "open":
            return []
        done = len(self.outcomes)
        wanted = 1 if not done else max(self.rules.replications, min(2 * done, MOST_REPLICATIONS))
        wanted = self.rules.replications if 0 < done < self.rules.replications else wanted
        return [seed for seed in self.rules.seeds(wanted) if seed not in self.outcomes]

    @property
    def state(self) -> State:
        """Where it stands: failed with the first seed that misses, met when the interval says so. Pure query."""
        rules = self.rules
        if any(not is_met(outcome, rules.slo) for outcome in self.outcomes.values()):
            return "failed"
        done = len(self.outcomes)
        if not done or (done < rules.replications and not rules.is_replay):
            return "open"
        low, high = self.interval or (1.0, 1.0)
        low = 1.0 if rules.slo.percentile == 1 else low
        wide = rules.precision is not None and high - low > 2 * rules.precision * self.attainment
        if low < rules.slo.percentile:
            return "too close to call" if done >= MOST_REPLICATIONS else "open"
        return "open" if wide and done < MOST_REPLICATIONS else "met"

    @property
    def is_clear(self) -> bool:
        """Whether it failed by so much that fewer replicas are taken to fail as well. Pure query."""
        summaries = [outcome.summary for outcome in self.outcomes.values()]
        return any(
            summary is not None
            and (
                summary["saturation"] == "overloaded"
                or score(summary) < min(self.rules.slo.percentile, 1.0) - CLEARLY
            )
            for summary in summaries
        )

    @property
    def scores(self) -> list[float]:
        """The attainment of each seed that ran. Pure query."""
        return [score(outcome.summary) for outcome in self.outcomes.values() if outcome.summary]

    @property
    def attainment(self) -> float:
        """Its mean over the seeds; 0 where none ran. Pure query."""
        return fmean(self.scores) if self.scores else 0.0

    @property
    def interval(self) -> tuple[float, float] | None:
        """Of the attainment, over seeds and over requests; none from one seed that could have been another."""
        scores = self.scores
        if self.rules.is_replay and scores:
            return scores[0], scores[0]
        if len(scores) < 2:
            return None
        return share_interval(
            scores, sum(one.summary["offered"] for one in self.outcomes.values() if one.summary)
        )

    @property
    def summary(self) -> dict[str, Any] | None:
        """Of its first seed. Pure query."""
        return next((outcome.summary for outcome in self.outcomes.values() if outcome.summary), None)

    @property
    def spent_usd_per_hour(self) -> float | None:
        """Mean over the seeds of what was paid for an hour; None without a price. Pure query."""
        rates = [
            None if one["cost_usd"] is None else 3600 * one["cost_usd"] / one["duration"]
            for outcome in self.outcomes.values()
            if (one := outcome.summary) is not None and one["duration"]
        ]
        known = [rate for rate in rates if rate is not None]
        return fmean(known) if known and len(known) == len(rates) else None


def is_met(outcome: Outcome, slo: Slo) -> bool:
    """Whether a run met every target and kept up. Pure query."""
    summary = outcome.summary
    return summary is not None and summary["saturation"] != "overloaded" and not targets_missed(summary, slo)


def score(summary: Mapping[str, Any]) -> float:
    """The share of requests within all limits, or of gaps if that is less; 1 without limits. Pure query."""
    gaps = (summary["slo_attainment_by_metric"] or {}).get("itl_ms")
    shares = [share for share in (summary["slo_attainment"], gaps) if share is not None]
    return min(shares, default=1.0)
