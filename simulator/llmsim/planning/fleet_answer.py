"""What the search for a fleet answers: who passed, what was tried, what was left out and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf
from typing import Any, Literal

from llmsim.files.scenario_file import LoadedScenario
from llmsim.planning.fleet_trial import Rules, Trial
from llmsim.planning.settings_text import assignments
from llmsim.planning.space import Space

Objective = Literal["usd_per_hour", "accelerators"]


@dataclass(frozen=True)
class Priced:
    """A trial with what its fleet costs.

    Attributes:
        cost: What candidates are ranked by: $ an hour, or accelerators.
        usd_per_hour: None without a price.
        accelerators: Of all replicas.
    """

    trial: Trial
    cost: float
    usd_per_hour: float | None
    accelerators: int


@dataclass(frozen=True)
class Pruned:
    """A candidate, or some of its numbers of replicas, that was not simulated.

    Attributes:
        kind: ``invalid``, ``memory``, ``length``, ``latency``, ``work``, ``cost`` or ``fewer``.
        replicas: (least, most) of those meant.
        excess: As in :class:`~llmsim.planning.bounds.Bounds`.
    """

    candidate: int
    kind: str
    reason: str
    replicas: tuple[int, int]
    excess: float = 1.0


@dataclass(frozen=True)
class FleetAnswer:
    """What a search found.

    Attributes:
        passed: Fleets that meet the targets, the cheapest of each candidate, the best first.
        trials: Everything that was simulated, by cost.
        pruned: What was not, and why.
        runs: Simulations made.
    """

    space: Space
    rules: Rules
    objective: Objective
    passed: list[Priced]
    trials: list[Priced]
    pruned: list[Pruned]
    runs: int

    @property
    def winner(self) -> Priced | None:
        """The cheapest; None where nothing passed. Pure query."""
        return self.passed[0] if self.passed else None

    @property
    def winning_scenario(self) -> LoadedScenario | None:
        """The winner, ready to run; None where nothing passed. Pure query."""
        found = self.winner
        return (
            None if found is None else self.space.candidates[found.trial.candidate].at(found.trial.replicas)
        )

    @property
    def best_failure(self) -> Priced | None:
        """What came closest to the targets of all that failed. Pure query."""
        failed = [one for one in self.trials if one.trial.state != "met" and one.trial.scores]
        return max(failed, key=lambda one: (min(one.trial.scores), -one.cost), default=None)


def preference(one: Priced) -> tuple[float, float, float]:
    """Cheaper first; of equally dear fleets the surer one, then the one that answers sooner. Pure."""
    summary = one.trial.summary or {}
    return one.cost, -one.trial.attainment, summary.get("mean_e2el_ms") or inf


def amount(cost: float, objective: Objective) -> str:
    """``$1.99 an hour`` or ``4 accelerators``. Pure."""
    return f"${cost:,.2f} an hour" if objective == "usd_per_hour" else f"{cost:,.0f} accelerators"


def news_of(values: Mapping[str, Any], priced: Priced) -> str:
    """``$1.99 an hour: fleet.accelerator=h100-sxm, fleet.replicas=1``. Pure."""
    usd = priced.usd_per_hour
    paid = f"{priced.accelerators} accelerators" if usd is None else f"${usd:,.2f} an hour"
    return f"{paid}: {assignments(values)}"
