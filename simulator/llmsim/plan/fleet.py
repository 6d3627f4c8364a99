"""The cheapest fleet that meets the targets: branch and bound over a space, the simulator as the judge.

Fleets are simulated in the order of their price. A candidate is left out when a proven bound rules it
out, or when the fewest replicas that may do cost no less than the second best that was found: second, so
that there is a runner-up. Points of one round run side by side.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Literal

from llmsim.errors import UserError
from llmsim.plan.bounds import Bounds, Offered, draw_offered, find_bounds
from llmsim.plan.climb import Climb
from llmsim.plan.outcome import Outcome
from llmsim.plan.points import Point, Setting
from llmsim.plan.space import Candidate, Space
from llmsim.plan.trials import Rules, Trial
from llmsim.plan.workers import Run

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
    """

    candidate: int
    kind: str
    reason: str
    replicas: tuple[int, int]


@dataclass(frozen=True)
class FleetAnswer:
    """What a search found.

    Attributes:
        passed: Fleets that meet the targets, the cheapest of each candidate, by cost.
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
    def best_failure(self) -> Priced | None:
        """What came closest to the targets of all that failed. Pure query."""
        failed = [one for one in self.trials if one.trial.state != "met" and one.trial.scores]
        return max(failed, key=lambda one: (min(one.trial.scores), -one.cost), default=None)


@dataclass
class _Branch:
    """A candidate under search.

    Attributes:
        climb: None until it was bounded.
        unit: Cost of one replica, which orders candidates that nothing is known of yet.
    """

    index: int
    candidate: Candidate
    unit: float
    climb: Climb | None = None
    bounds: Bounds = field(default_factory=Bounds)
    trials: dict[int, Trial] = field(default_factory=dict)


Tell = Callable[[int, int, str], None]
"""Called with runs made, runs made or planned, and news in words ("" for none)."""


def size_fleet(
    space: Space, rules: Rules, run: Run, *, width: int = 2, tell: Tell | None = None
) -> FleetAnswer:
    """The cheapest fleets of ``space`` that meet the targets.

    Args:
        run: Who runs the points.
        width: Points that run side by side.
        tell: Hears how far it is.

    Raises:
        UserError: Nothing of the space can be built, or prices of some candidates are not known.
    """
    return _Search(space, rules, run, width, tell or _silent).answer()


def _silent(done: int, planned: int, news: str) -> None:
    """Nobody listens."""


class _Search:
    def __init__(self, space: Space, rules: Rules, run: Run, width: int, tell: Tell) -> None:
        self.space, self.rules, self.run, self.width, self.tell = space, rules, run, width, tell
        self.pruned: list[Pruned] = []
        self.runs = 0
        self._drawn: dict[str, Offered | None] = {}
        self._costs: dict[tuple[int, int], tuple[float | None, int]] = {}
        sized = list(self._sized())
        self.objective = _objective(sized)
        self.branches = [_Branch(index, candidate, self.cost(index, 1)) for index, candidate, _, _ in sized]
        self._told: float = inf

    def _sized(self) -> Iterator[tuple[int, Candidate, float | None, str]]:
        """Candidates that can be built, with the price and the kinds of their accelerators."""
        for index, candidate in enumerate(self.space.candidates):
            if candidate.loaded is None:
                self._prune(index, "invalid", candidate.problem or "")
                continue
            try:
                price, devices = candidate.size(1)
            except UserError:
                bounds = find_bounds(candidate.at(1), None, 1)
                self._prune(index, bounds.kind, bounds.reason)
                continue
            self._costs[index, 1] = price, devices
            kinds = sorted({pool.accelerator for pool in candidate.loaded.scenario.fleet})
            yield index, candidate, price, " and ".join(kinds)

    def _prune(self, index: int, kind: str, reason: str, least: int = 1, most: int | None = None) -> None:
        most = self.space.max_replicas if most is None else most
        self.pruned.append(Pruned(index, kind, reason, (least, most)))

    def cost(self, index: int, replicas: int) -> float:
        """What a fleet costs before it is simulated; of one that changes, what it would on demand."""
        price, devices = self._size(index, replicas)
        return float(devices) if self.objective == "accelerators" or price is None else price

    def _size(self, index: int, replicas: int) -> tuple[float | None, int]:
        key = index, replicas
        if key not in self._costs:
            self._costs[key] = self.space.candidates[index].size(replicas)
        return self._costs[key]

    def priced(self, trial: Trial) -> Priced:
        """``trial`` with its cost: of a fleet that changes, what was paid."""
        usd, devices = self._size(trial.candidate, trial.replicas)
        if not self.space.candidates[trial.candidate].is_fixed and trial.scores:
            usd = trial.spent_usd_per_hour
        cost = float(devices) if self.objective == "accelerators" else inf if usd is None else usd
        return Priced(trial, cost, usd, devices)

    def answer(self) -> FleetAnswer:
        """Search until nothing is left to learn."""
        if not self.branches:
            reasons = [f"{one.kind}: {one.reason}" for one in self.pruned]
            raise UserError("no candidate can be built: " + "; ".join(dict.fromkeys(reasons)))
        while tasks := self._tasks():
            points = [self._point(trial, seed) for trial, seed in tasks]
            for position, outcome in self.run(points):
                trial, seed = tasks[position]
                self._take(trial, seed, outcome)
        self._say_what_was_left_out()
        passed = sorted(self._passed(), key=lambda one: (one.cost, one.accelerators))
        trials = [self.priced(t) for branch in self.branches for t in branch.trials.values()]
        trials.sort(key=lambda one: (one.cost, one.trial.candidate))
        return FleetAnswer(self.space, self.rules, self.objective, passed, trials, self.pruned, self.runs)

    def _passed(self) -> Iterator[Priced]:
        """The cheapest fleet of each candidate that is known to pass."""
        for branch in self.branches:
            met = [self.priced(trial) for trial in branch.trials.values() if trial.state == "met"]
            if met:
                yield min(met, key=lambda one: one.cost)

    def _limit(self, branch: _Branch) -> float:
        """What fleets of ``branch`` have to cost less than: the second best of the others, or itself."""
        others = sorted(one.cost for one in self._passed() if one.trial.candidate != branch.index)
        return others[1] if len(others) > 1 else inf

    def _most(self, branch: _Branch) -> int:
        """The largest number of replicas of ``branch`` that may still matter."""
        most, limit = self.space.max_replicas if branch.candidate.searches else 1, self._limit(branch)
        if not branch.candidate.is_fixed:
            return most
        while most and self.cost(branch.index, most) >= limit:
            most -= 1
        return most

    def _tasks(self) -> list[tuple[Trial, int]]:
        """The cheapest runs that may teach something: those of one round."""
        found: list[tuple[float, int, Trial, list[int]]] = []
        for branch in sorted(self.branches, key=lambda one: (one.unit, one.index)):
            enough = sum(len(seeds) for *_, seeds in found) >= 2 * self.width
            if branch.climb is None:
                if enough and branch.unit > max(cost for cost, *_ in found):
                    continue
                if not self._most(branch):
                    continue
                self._bound(branch)
            for trial in self._next_trials(branch):
                cost = self.cost(branch.index, trial.replicas)
                found.append((cost, branch.index, trial, trial.missing()))
        found.sort(key=lambda one: one[:2])
        tasks = [(trial, seed) for *_, trial, seeds in found for seed in seeds]
        return tasks[: max(2 * self.width, len(found[0][3]))] if found else []

    def _next_trials(self, branch: _Branch) -> Iterator[Trial]:
        """The fleet of ``branch`` to run next: a new count, or more seeds of the smallest that may pass."""
        if branch.climb is None:
            return
        count = branch.climb.next(self._most(branch))
        if count is None:
            count = branch.climb.best
            if count is None or count > self._most(branch):
                return
        if count not in branch.trials:
            branch.trials[count] = Trial(branch.index, count, self.rules)
        if branch.trials[count].missing():
            yield branch.trials[count]

    def _bound(self, branch: _Branch) -> None:
        """What arithmetic says of ``branch``."""
        candidate, most = branch.candidate, self.space.max_replicas
        loaded = candidate.at(1)
        offered = self._offered(candidate) if candidate.is_fixed else None
        bounds = branch.bounds = find_bounds(loaded, offered, most)
        least, guess = bounds.least_replicas, bounds.guess
        if not candidate.searches:
            given = sum(pool.replicas for pool in loaded.scenario.fleet)
            least, guess, most = (2 if least > given else 1), 1, 1
        branch.climb = Climb(least, 0 if bounds.kind else most, guess)
        if bounds.kind:
            self._prune(branch.index, bounds.kind, bounds.reason)
        elif least > 1:
            self._prune(branch.index, "work", bounds.why_least, 1, min(least - 1, most))

    def _offered(self, candidate: Candidate) -> Offered | None:
        """The requests of a candidate, drawn once for all that offer the same."""
        assert candidate.loaded is not None  # it has been sized
        scenario = candidate.loaded.scenario
        key = "".join(
            part.model_dump_json() for part in (scenario.workload, scenario.slo, scenario.simulation)
        )
        if key not in self._drawn:
            self._drawn[key] = draw_offered(scenario, candidate.loaded.base_dir)
        return self._drawn[key]

    def _point(self, trial: Trial, seed: int) -> Point:
        candidate = self.space.candidates[trial.candidate]
        values = candidate.values_at(trial.replicas)
        return Point.of(Setting(values, candidate.at(trial.replicas)), seed)

    def _take(self, trial: Trial, seed: int, outcome: Outcome) -> None:
        """Keep what came of a run, and tell who listens."""
        trial.outcomes[seed] = outcome
        self.runs += 1
        branch = next(one for one in self.branches if one.index == trial.candidate)
        assert branch.climb is not None  # it has a trial
        failed = trial.state in ("failed", "too close to call")
        branch.climb.tell(trial.replicas, passed=not failed, is_clear=failed and trial.is_clear)
        best = min((one.cost for one in self._passed()), default=inf)
        news = ""
        if best < self._told:
            self._told = best
            news = in_words(
                self.space.candidates[trial.candidate].values_at(trial.replicas), self.priced(trial)
            )
        left = sum(len(one.missing()) for each in self.branches for one in each.trials.values())
        self.tell(self.runs, self.runs + left, news)

    def _say_what_was_left_out(self) -> None:
        """Candidates and counts that were not simulated because they cost more, or because more did not do."""
        for branch in self.branches:
            whole = self.space.max_replicas if branch.candidate.searches else 1
            most = self._most(branch)
            least = branch.climb.least if branch.climb else 1
            ruled_out = branch.climb is not None and branch.climb.most < least
            best = branch.climb.best if branch.climb else None
            if most < whole and not ruled_out and best is None:
                limit = self._limit(branch)
                dear = max(most + 1, least)
                if dear <= whole:
                    self._prune(
                        branch.index, "cost", f"costs {_amount(limit, self.objective)} or more", dear, whole
                    )
            if branch.climb is not None and (left := branch.climb.untried(most)):
                reason = "more replicas of the same fleet fail clearly"
                self._prune(branch.index, "fewer", reason, left[0], left[-1])


def _objective(sized: Sequence[tuple[int, Candidate, float | None, str]]) -> Objective:
    """What fleets are compared by: prices where all are known, accelerators within one kind where none is.

    Raises:
        UserError: Some have no price, and nothing makes them comparable.
    """
    unpriced = sorted({kind for _, _, price, kind in sized if price is None})
    if not unpriced:
        return "usd_per_hour"
    kinds = {kind for *_, kind in sized}
    if len(kinds) == 1 and all(price is None for _, _, price, _ in sized):
        return "accelerators"
    raise UserError(
        f"no price is known for {', '.join(unpriced)}, so it cannot be compared with the others",
        hint="give fleet.usd_per_hour, or leave it out of the candidates",
    )


def _amount(cost: float, objective: Objective) -> str:
    return f"${cost:,.2f} an hour" if objective == "usd_per_hour" else f"{cost:,.0f} accelerators"


def in_words(values: dict[str, object], priced: Priced) -> str:
    """``$1.99 an hour: fleet.accelerator=h100-sxm, fleet.replicas=1``. Pure."""
    usd = priced.usd_per_hour
    amount = f"{priced.accelerators} accelerators" if usd is None else f"${usd:,.2f} an hour"
    return f"{amount}: " + ", ".join(f"{key}={value}" for key, value in values.items())
