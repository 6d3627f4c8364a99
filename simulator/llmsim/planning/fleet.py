"""The cheapest fleet that meets the targets: branch and bound over a space, the simulator as the judge.

Fleets are simulated in the order of their price. A candidate is left out when a proven bound rules it
out, or when the fewest replicas that may do cost no less than the second best that was found: second, so
that there is a runner-up. Points of one round run side by side.

Of a fleet that changes while it serves, what it costs is known only after it has run: no price rules
any out, and the smallest number of replicas that passes is taken for the cheapest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from math import inf

from llmsim.errors import UserError
from llmsim.planning.bounds import Bounds, Offered, draw_offered, find_bounds
from llmsim.planning.climb import Climb
from llmsim.planning.fleet_answer import FleetAnswer, Priced, Pruned, amount, news_of, preference
from llmsim.planning.fleet_costs import Costs, Sized
from llmsim.planning.fleet_trial import Rules, Trial
from llmsim.planning.outcome import Outcome
from llmsim.planning.points import Point, Setting
from llmsim.planning.space import Candidate, Space
from llmsim.planning.workers import Run


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
"""Called with runs made, runs made or planned so far, and news in words ("" for none)."""


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
        sized = list(self._sized())
        self.costs = Costs(sized)
        self.branches = [_Branch(one.index, one.candidate, self.costs.before(one.index, 1)) for one in sized]
        self._told: float = inf

    def _sized(self) -> Iterator[Sized]:
        """Candidates that can be built."""
        for index, candidate in enumerate(self.space.candidates):
            if candidate.loaded is None:
                self._prune(index, "invalid", candidate.problem or "")
                continue
            try:
                yield Sized.of(index, candidate)
            except UserError:
                bounds = find_bounds(candidate.at(1), None, 1)
                self._prune(index, bounds.kind, bounds.reason)

    def _prune(self, index: int, kind: str, reason: str, least: int = 1, most: int | None = None) -> None:
        most = self.space.max_replicas if most is None else most
        self.pruned.append(Pruned(index, kind, reason, (least, most)))

    def answer(self) -> FleetAnswer:
        """Search until nothing is left to learn."""
        if not self.branches:
            reasons = [f"{one.kind}: {one.reason}" for one in self.pruned]
            raise UserError("no candidate can be built: " + "; ".join(dict.fromkeys(reasons)))
        self.tell(0, 0, f"candidates: {len(self.space.candidates):,}, {len(self.branches):,} can be built")
        while tasks := self._tasks():
            points = [self._point(trial, seed) for trial, seed in tasks]
            planned = self.runs + len(tasks)
            for position, outcome in self.run(points):
                trial, seed = tasks[position]
                self._take(trial, seed, outcome, planned)
        self._say_what_was_left_out()
        passed = sorted(self._passed(), key=preference)
        trials = [
            self.costs.priced(t) for branch in self.branches for t in branch.trials.values() if t.outcomes
        ]
        trials.sort(key=lambda one: (one.cost, one.trial.candidate))
        return FleetAnswer(
            self.space, self.rules, self.costs.objective, passed, trials, self.pruned, self.runs
        )

    def _passed(self) -> Iterator[Priced]:
        """The cheapest fleet of each candidate that is known to pass."""
        for branch in self.branches:
            met = [self.costs.priced(trial) for trial in branch.trials.values() if trial.state == "met"]
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
        while most and self.costs.before(branch.index, most) >= limit:
            most -= 1
        return most

    def _tasks(self) -> list[tuple[Trial, int]]:
        """The cheapest runs that may teach something: those of one round."""
        found: list[tuple[float, int, Trial, list[int]]] = []
        several = 2 * self.width
        for branch in sorted(self.branches, key=lambda one: (one.unit, one.index)):
            if branch.climb is None:
                costs = sorted(cost for cost, *_, seeds in found for _ in seeds)
                if len(costs) >= several and branch.unit >= costs[several - 1]:
                    continue  # there is cheaper to do first, and this may never matter
                if not self._most(branch):
                    continue
                self._bound(branch)
            for trial in self._next_trials(branch):
                cost = self.costs.before(branch.index, trial.replicas)
                found.append((cost, branch.index, trial, trial.missing()))
        found.sort(key=lambda one: one[:2])
        tasks = [(trial, seed) for *_, trial, seeds in found for seed in seeds]
        return tasks[: max(several, len(found[0][3]))] if found else []

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
            whole = (1, self.space.max_replicas)
            self.pruned.append(Pruned(branch.index, bounds.kind, bounds.reason, whole, bounds.excess))
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

    def _take(self, trial: Trial, seed: int, outcome: Outcome, planned: int) -> None:
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
            news = news_of(
                self.space.candidates[trial.candidate].values_at(trial.replicas), self.costs.priced(trial)
            )
        self.tell(self.runs, planned, news)

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
                        branch.index,
                        "cost",
                        f"costs {amount(limit, self.costs.objective)} or more",
                        dear,
                        whole,
                    )
            if branch.climb is not None and (left := branch.climb.untried(most)):
                reason = "more replicas of the same fleet fail clearly"
                self._prune(branch.index, "fewer", reason, left[0], left[-1])
