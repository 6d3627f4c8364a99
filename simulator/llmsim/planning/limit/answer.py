"""The highest load a fleet takes within its targets.

The limit is the highest load of a row of evenly spaced ones that passes together with every one below: what a
planner may promise, as traffic that may reach it also falls below it. Loads beyond that pass again are told.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from math import inf

from llmsim.errors import UserError
from llmsim.files.scenario_file import LoadedScenario
from llmsim.measure.slo import has_targets
from llmsim.planning.axes import Axis
from llmsim.planning.limit.bench import Bench, Progress
from llmsim.planning.limit.dial import Dial, dial_of, dial_over
from llmsim.planning.limit.probe import Probe
from llmsim.planning.limit.row import row_of
from llmsim.planning.limit.run_length import RunLength
from llmsim.planning.limit.search import first_failure
from llmsim.planning.points import Base
from llmsim.planning.replay import is_replay
from llmsim.planning.workers import Run

RESOLUTION = 0.02
REPLICATIONS = 3


@dataclass(frozen=True)
class Limit:
    """The answer, and everything that was tried.

    Attributes:
        dial: What was turned up.
        loads: The row of loads that the answer is one of, lowest first.
        probes: What was run, by load.
        lone: Requests one at a time, before anything else; None where that makes no sense.
        given: The scenario.
        length: How long loads are offered.
        replications: Runs of each load.
        runs: Simulations that the answer took.
        is_replay: Whether no seed changes anything, so that one run of a load is all there is to know of it.
    """

    dial: Dial
    loads: tuple[float, ...]
    probes: Mapping[float, Probe]
    lone: Probe | None
    given: LoadedScenario
    length: RunLength
    replications: int
    runs: int
    is_replay: bool = False

    @cached_property
    def tried(self) -> list[Probe]:
        """Every load that was run, lowest first."""
        return [self.probes[load] for load in sorted(self.probes)]

    @cached_property
    def beyond(self) -> Probe | None:
        """The lowest load that fails; None where none does."""
        return next((probe for probe in self.tried if not probe.passes), None)

    @cached_property
    def at(self) -> Probe | None:
        """The limit: the highest load below that; None where the lowest fails."""
        below = [probe for probe in self.tried if self.beyond is None or probe.load < self.beyond.load]
        return below[-1] if below else None

    @property
    def step(self) -> float | None:
        """From the limit to the next load of the row; None where nothing fails."""
        if self.beyond is None:
            return None
        return self.beyond.load - (self.at.load if self.at else 0.0)

    @property
    def margin(self) -> float | None:
        """The limit as a multiple of the scenario's own load."""
        return self.at.load / self.dial.given if self.at and self.dial.given else None

    @property
    def islands(self) -> list[Probe]:
        """Loads above the first failure that passed all the same."""
        return [
            probe for probe in self.tried if self.beyond and probe.passes and probe.load > self.beyond.load
        ]

    @property
    def surely(self) -> tuple[float, float] | None:
        """Between which loads the limit lies for certain: all tried below pass, all above fail, at their intervals.

        The first is 0, or the last infinite, where no load tried is that clear. None where every request has to
        meet the targets: then no number of them makes it certain; and where nothing is drawn at random.
        """
        share = self.given.scenario.slo.percentile
        if share == 1 or self.is_replay:
            return None
        low, high = 0.0, inf
        for probe in self.tried:
            if not probe.passes or probe.interval is None or probe.interval[0] < share:
                break
            low = probe.load
        for probe in reversed(self.tried):
            if probe.passes or (
                probe.interval and probe.interval[1] >= share and probe.saturation != "overloaded"
            ):
                break
            high = probe.load
        return low, high

    @property
    def holds(self) -> bool:
        """Whether the scenario's own load is within the limit, and tokens at the limit cost no more than they may."""
        if self.at is None or self.at.costs_too_much:
            return False
        return self.dial.given is None or self.at.load >= self.dial.given * (1 - 1e-9)


def find_limit(
    base: Base,
    run: Run,
    *,
    over: Axis | None = None,
    resolution: float = RESOLUTION,
    replications: int = REPLICATIONS,
    progress: Progress | None = None,
) -> Limit:
    """The highest load that the scenario's fleet takes within its targets.

    Args:
        base: The scenario.
        run: Runs points, in any order.
        over: The key to turn up and its values; by default what the kind of arrivals has.
        resolution: The largest step between two loads, as a share of the limit; ``over`` has steps of its own.
        replications: Seeds of each load, the same for all; one where no seed changes anything.
        progress: Called with runs finished and runs begun.

    Raises:
        UserError: There are no latency targets, or nothing to turn up.
        ScenarioError: The key does not exist, or takes no such value.
    """
    given = base.load()
    if not has_targets(given.scenario.slo):
        raise UserError(
            "there are no latency targets, so that no load is too much",
            hint="add `slo: {ttft_ms: 500, tpot_ms: 50, percentile: 0.99}`, or --goodput ttft:500 tpot:50",
        )
    dial = dial_over(over, given) if over else dial_of(given)
    replays = is_replay(given)
    replications = 1 if replays else replications
    bench = Bench(base, given, dial, run, replications, progress)
    if over:
        for load in (min(dial.values), max(dial.values)):
            base.load(dial.changes(load))
    alone = bench.alone()
    stay_s = (alone.mean("mean_e2el_ms") or 0.0) / 1e3 if alone else 0.0
    bench.length = RunLength.for_targets(given, stay_s, _finest(dial) if over else resolution)
    loads = sorted(dial.values) if over else row_of(bench, alone, resolution)
    first_failure(
        len(loads),
        lambda wanted: bench.looks(loads, wanted),
        {index: bench.probes[load].look for index, load in enumerate(loads) if load in bench.probes},
    )
    return Limit(
        dial, tuple(loads), bench.probes, alone, given, bench.length, replications, bench.done, replays
    )


def _finest(dial: Dial) -> float:
    """The smallest step between two loads of a range, as a share of the higher one; at least the default."""
    loads = sorted(load for load in dial.values if load > 0)
    return max(RESOLUTION, min((1 - low / high for low, high in pairwise(loads)), default=1.0))
