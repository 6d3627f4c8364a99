"""Which loads a limit is looked for among: found by doubling and halving from the scenario's own."""

from __future__ import annotations

from math import floor

from llmsim.planning.limit.bench import Bench
from llmsim.planning.limit.probe import Probe
from llmsim.planning.limit.round_loads import index_below, rounded, series, steps_upto

UPWARD = 8
"""Of the series 1, 2, 5, 10, …: so far above the scenario's own load, about 500 times, nothing is tried."""
DOWNWARD = 12
"""So far below, a ten-thousandth, nothing is tried; where requests that come one at a time miss, two steps."""
DOWNWARD_IN_VAIN = 2


def row_of(bench: Bench, alone: Probe | None, resolution: float) -> list[float]:
    """Loads in even round steps up to one that fails; those tried, where none passes or none fails.

    Args:
        bench: Runs loads, and keeps what it ran.
        alone: Requests one at a time.
        resolution: The largest step, as a share of the highest passing load of the series.
    """
    given = bench.dial.given or 1.0
    start = index_below(given)
    bench.try_all([series(start), series(start + 1)])
    _upward(bench, start + 1)
    if not bench.passes(series(start)):
        in_vain = alone is not None and not alone.passes
        least = start - (DOWNWARD_IN_VAIN if in_vain else DOWNWARD)
        _downward(bench, start, max(0, least) if bench.dial.is_whole else least)
    passing = [load for load, probe in bench.probes.items() if probe.passes]
    beyond = [load for load in bench.probes if passing and load > max(passing)]
    if not beyond:
        return sorted(bench.probes)
    step = rounded(resolution * max(passing))
    step = max(1.0, float(floor(step))) if bench.dial.is_whole else step
    row = {*steps_upto(min(beyond), step), *bench.probes, given}
    return sorted(load for load in row if load <= min(beyond))


def _upward(bench: Bench, index: int) -> None:
    """One more of the series at a time, from one that passes until one fails: loads far beyond take long to run."""
    for higher in range(index + 1, index + 1 + UPWARD):
        if not bench.passes(series(higher - 1)) or not bench.can_load(series(higher)):
            return
        bench.try_all([series(higher)])


def _downward(bench: Bench, index: int, least: int) -> None:
    """Two more of the series at a time, until one passes."""
    while index > least and not bench.passes(series(index)):
        wanted = [series(lower) for lower in range(index - 1, max(least, index - 2) - 1, -1)]
        bench.try_all(wanted)
        index = next(
            (index - n for n, load in enumerate(wanted, 1) if bench.passes(load)), index - len(wanted)
        )
