"""The limit that the planner finds against a run of every load there is."""

from __future__ import annotations

from pathlib import Path

import pytest
from limit_scenarios import CASES

from llmsim.planning.axes import read_axes
from llmsim.planning.limit.answer import find_limit
from llmsim.planning.outcome import play
from llmsim.planning.points import Base, Point, Setting
from llmsim.planning.workers import open_workers

REPLICATIONS = 2
NOT_MONOTONE = {"a batch that waits to be full", "a batch that waits, nearly in time", "even gaps"}


def load_passes(base: Base, limit, load: float) -> bool:
    """The rule of the planner, from the summaries of the replications; those of loads it left out are run here."""
    if load in limit.probes:
        summaries = [outcome.summary for outcome in limit.probes[load].outcomes]
    else:
        changes = limit.dial.changes(load)
        loaded = base.load([*changes, *limit.length.changes(base.load(changes))])
        summaries = [play(Point.of(Setting({}, loaded), seed)).summary for seed in range(REPLICATIONS)]
    slo = limit.given.scenario.slo
    offered = sum(summary["offered"] for summary in summaries)
    good = sum(summary["slo_attainment"] * summary["offered"] for summary in summaries) / offered
    gaps = [summary["total_output_tokens"] - summary["completed"] for summary in summaries]
    within = [summary["slo_attainment_by_metric"].get("itl_ms", 1) for summary in summaries]
    steady = sum(share * count for share, count in zip(within, gaps, strict=True)) / sum(gaps)
    overloaded = any(summary["saturation"] == "overloaded" for summary in summaries)
    return min(good, steady) >= slo.percentile - 1e-12 and not overloaded


@pytest.mark.parametrize("name", CASES)
def test_the_limit_is_that_of_a_sweep_over_all_loads(name, tmp_path: Path):
    """Within one step; and where a higher load passes again, that is no limit."""
    base = Base(CASES[name].write(tmp_path / "scenario.yaml"))
    with open_workers("here") as run:
        limit = find_limit(base, run, over=read_axes([CASES[name].over])[0], replications=REPLICATIONS)

    passes = [load_passes(base, limit, load) for load in limit.loads]
    truth = passes.index(False)
    found = limit.loads.index(limit.at.load) + 1 if limit.at else 0
    assert abs(found - truth) <= 1
    assert {probe.load: probe.passes for probe in limit.tried} == {
        load: passed for load, passed in zip(limit.loads, passes, strict=True) if load in limit.probes
    }
    assert any(passes[truth:]) == (name in NOT_MONOTONE)
