"""Runs a scenario at the loads it is asked for, and judges each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from llmsim.errors import UserError
from llmsim.files.changes import Change
from llmsim.files.scenario_file import LoadedScenario
from llmsim.planning.limit.dial import Dial
from llmsim.planning.limit.probe import Probe, judge
from llmsim.planning.limit.run_length import RunLength, lone
from llmsim.planning.limit.search import Look
from llmsim.planning.outcome import Outcome
from llmsim.planning.points import Base, Point, Setting, points
from llmsim.planning.workers import Run

Progress = Callable[[int, int], None]
"""Called with runs finished and runs begun so far."""


@dataclass
class Bench:
    """A scenario under one load after another; every load is run once, with the same seeds.

    Attributes:
        base, given: The scenario, and as it is loaded.
        dial: What sets the load.
        run: Runs points.
        replications: Runs of each load.
        progress: Told of every run that has finished.
        length: How long each load is offered; None leaves it to the scenario.
        probes: What has been run, by load.
        done: Runs finished.
    """

    base: Base
    given: LoadedScenario
    dial: Dial
    run: Run
    replications: int
    progress: Progress | None = None
    length: RunLength | None = None
    probes: dict[float, Probe] = field(default_factory=dict)
    done: int = 0
    _begun: int = 0

    def try_all(self, loads: Iterable[float]) -> None:
        """Run what has not been run of ``loads``, all at once."""
        missing = sorted(set(loads) - self.probes.keys())
        settings = {load: self._setting(load) for load in missing}
        for load, probe in zip(missing, self._judged(settings), strict=True):
            self.probes[load] = probe

    def looks(self, loads: Sequence[float], wanted: Sequence[int]) -> Mapping[int, Look]:
        """A look at each of ``loads`` whose index is ``wanted``."""
        self.try_all(loads[index] for index in wanted)
        return {index: self.probes[loads[index]].look for index in wanted}

    def passes(self, load: float) -> bool:
        """Whether ``load``, run before, meets the targets."""
        return self.probes[load].passes

    def can_load(self, load: float) -> bool:
        """Whether the scenario may have this load at all."""
        return self._loaded(self.dial.changes(load)).loaded is not None

    def alone(self) -> Probe | None:
        """Requests one at a time; None where the scenario cannot be changed to that."""
        setting = self._loaded(list(lone(self.given)))
        return self._judged({0.0: setting})[0] if setting.loaded else None

    def _setting(self, load: float) -> Setting:
        """The scenario at ``load``, lengthened as it needs."""
        changes = self.dial.changes(load)
        setting = self._loaded(changes, {self.dial.key: self.dial.value(load)})
        if setting.loaded is None or self.length is None:
            return setting
        more = [change for change in self.length.changes(setting.loaded) if _key(change) != self.dial.key]
        if not more:
            return setting
        values = {self.dial.key: self.dial.value(load), **{_key(change): change.value for change in more}}
        return self._loaded([*changes, *more], values)

    def _loaded(self, changes: Sequence[Change], values: Mapping[str, Any] | None = None) -> Setting:
        try:
            return Setting(values or {}, self.base.load(changes))
        except UserError as error:
            return Setting(values or {}, None, " ".join(str(error).split()))

    def _judged(self, settings: Mapping[float, Setting]) -> list[Probe]:
        """A probe of each setting, by load. All runs of a round are given out together.

        One seed of each comes first; the others of a load that is hopeless already are not run.
        """
        planned = {
            load: points([setting], self.given.scenario.simulation.seed, self.replications)
            for load, setting in settings.items()
        }
        outcomes = self._outcomes({load: seeds[:1] for load, seeds in planned.items()})
        first = {load: self._judge(load, settings[load], found) for load, found in outcomes.items()}
        more = self._outcomes(
            {load: seeds[1:] for load, seeds in planned.items() if not first[load].is_hopeless(len(seeds))}
        )
        return [
            self._judge(load, setting, [*outcomes[load], *more[load]]) if more.get(load) else first[load]
            for load, setting in settings.items()
        ]

    def _outcomes(self, planned: Mapping[float, Sequence[Point]]) -> dict[float, list[Outcome]]:
        """The outcome of every point, by load."""
        flat = [point for seeds in planned.values() for point in seeds]
        found: dict[int, Outcome] = {}
        self._begun += len(flat)
        for index, outcome in self.run(flat):
            found[index] = outcome
            self.done += 1
            if self.progress:
                self.progress(self.done, self._begun)
        ordered = (found[index] for index in range(len(flat)))
        return {load: [next(ordered) for _ in seeds] for load, seeds in planned.items()}

    def _judge(self, load: float, setting: Setting, outcomes: Sequence[Outcome]) -> Probe:
        value = self.dial.value(load) if load else None
        return judge(load, value, setting, outcomes, self.given.scenario.slo)


def _key(change: Change) -> str:
    return ".".join(map(str, change.place))
