"""What fleets cost before they are simulated, and by what they are compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

from llmsim.errors import UserError
from llmsim.planning.fleet_answer import Objective, Priced
from llmsim.planning.fleet_trial import Trial
from llmsim.planning.space import Candidate


@dataclass(frozen=True)
class Sized:
    """A candidate that can be built, and one replica of it.

    Attributes:
        index: Its place in the space.
        usd_per_hour: None without a price.
        kinds: Its accelerators' names.
    """

    index: int
    candidate: Candidate
    usd_per_hour: float | None
    kinds: str

    @classmethod
    def of(cls, index: int, candidate: Candidate) -> Sized:
        """``candidate`` with one replica. Raises UserError where it cannot be built."""
        scenario = candidate.at(1).scenario
        kinds = sorted({pool.accelerator for pool in scenario.fleet})
        return cls(index, candidate, candidate.size(1)[0], " and ".join(kinds))


class Costs:
    """Costs of candidates at numbers of replicas, each looked up once.

    Raises:
        UserError: Some candidates have no price, and nothing makes them comparable.
    """

    def __init__(self, sized: Sequence[Sized]) -> None:
        self.objective = objective_of(sized)
        self._candidates = {one.index: one.candidate for one in sized}
        self._known: dict[tuple[int, int], tuple[float | None, int]] = {}

    def before(self, index: int, replicas: int) -> float:
        """What a fleet costs before it is simulated; of one that changes, what it would on demand."""
        usd, devices = self._size(index, replicas)
        return float(devices) if self.objective == "accelerators" or usd is None else usd

    def priced(self, trial: Trial) -> Priced:
        """``trial`` with its cost: of a fleet that changes, what was paid."""
        usd, devices = self._size(trial.candidate, trial.replicas)
        if not self._candidates[trial.candidate].is_fixed and trial.scores:
            usd = trial.spent_usd_per_hour
        cost = float(devices) if self.objective == "accelerators" else inf if usd is None else usd
        return Priced(trial, cost, usd, devices)

    def _size(self, index: int, replicas: int) -> tuple[float | None, int]:
        key = index, replicas
        if key not in self._known:
            self._known[key] = self._candidates[index].size(replicas)
        return self._known[key]


def objective_of(sized: Sequence[Sized]) -> Objective:
    """What fleets are compared by: prices where all are known, accelerators within one kind where none is.

    Raises:
        UserError: Some have no price, and nothing makes them comparable.
    """
    unpriced = sorted({one.kinds for one in sized if one.usd_per_hour is None})
    if not unpriced:
        return "usd_per_hour"
    kinds = {one.kinds for one in sized}
    if len(kinds) == 1 and all(one.usd_per_hour is None for one in sized):
        return "accelerators"
    raise UserError(
        f"no price is known for {', '.join(unpriced)}, so it cannot be compared with the others",
        hint="give fleet.usd_per_hour, or leave it out of the candidates",
    )
