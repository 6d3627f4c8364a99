"""The library's front door: ``llmsim.load`` and ``llmsim.run``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import llmsim
from llmsim.files.scenario_file import LoadedScenario, load_scenario
from llmsim.files.scenario_text import scenario_sha256
from llmsim.measure.records import RunRecord
from llmsim.measure.summary import summarise
from llmsim.sim.run import simulate

load = load_scenario


@dataclass(frozen=True)
class Result:
    """What one run answers.

    Attributes:
        summary: The figures of ``summary.json``.
        record: Every request and every run of iterations they come from.
        loaded: The scenario that was run.
    """

    summary: dict[str, Any]
    record: RunRecord
    loaded: LoadedScenario


def run(
    scenario: LoadedScenario | Path | str, progress: Callable[[float, int, int | None], None] | None = None
) -> Result:
    """Simulate ``scenario``, a loaded one or a file; nothing is written.

    Args:
        scenario: What to run.
        progress: Called now and then with simulated seconds, requests finished, and requests in all
            (None when that is not known).
    """
    loaded = scenario if isinstance(scenario, LoadedScenario) else load_scenario(scenario)
    return answer(loaded, simulate(loaded, progress))


def answer(loaded: LoadedScenario, record: RunRecord) -> Result:
    """What a run of ``loaded`` that left ``record`` behind answers."""
    sha256 = scenario_sha256(loaded.scenario)
    summary = summarise(record, loaded.scenario, sha256=sha256, version=llmsim.__version__)
    return Result(summary, record, loaded)
