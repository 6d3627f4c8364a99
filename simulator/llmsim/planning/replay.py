"""Whether a scenario leaves anything to chance: a trace replayed on a fixed fleet does not."""

from __future__ import annotations

from dataclasses import astuple

import numpy as np

from llmsim.files.scenario_file import LoadedScenario
from llmsim.planning.bounds import draw_offered
from llmsim.planning.points import with_seed

CERTAIN_ROUTERS = ("round_robin", "least_requests", "least_tokens", "central_queue")
"""Routers that draw no random numbers."""


def is_replay(loaded: LoadedScenario) -> bool:
    """Whether every seed gives the same run, as far as can be seen without running it: never wrongly True.

    Raises:
        UserError: The workload cannot be read.
    """
    scenario = loaded.scenario
    workload = scenario.workload
    drawn = workload.num_sessions is not None or workload.models is not None
    held = workload.max_concurrency is not None  # arrivals depend on the fleet, and are not drawn here
    if drawn or held or scenario.admission.has_limits or scenario.router.kind not in CERTAIN_ROUTERS:
        return False
    if scenario.is_disaggregated or not all(pool.is_fixed for pool in scenario.fleet):
        return False
    seed = scenario.simulation.seed
    offered = [draw_offered(with_seed(loaded, one).scenario, loaded.base_dir) for one in (seed, seed + 1)]
    if offered[0] is None or offered[1] is None:
        return False
    columns = zip(*(astuple(one) for one in offered if one), strict=True)
    return all(np.array_equal(a, b, equal_nan=True) for a, b in columns)
