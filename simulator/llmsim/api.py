"""The library's front door: ``llmsim.load`` and ``llmsim.run``."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import llmsim
from llmsim.files.changes import Change, place_of
from llmsim.files.scenario_file import LoadedScenario, load_scenario
from llmsim.files.scenario_text import scenario_sha256
from llmsim.measure.records import RunRecord
from llmsim.measure.summary import summarise
from llmsim.report.result import Result
from llmsim.sim.run import simulate
from llmsim.spec.bench import BenchFlags

__all__ = ["Result", "answer", "load", "run", "simulate_timed"]

Changes = Mapping[str, Any] | Sequence[str]
"""``{"fleet.replicas": 2}``, or ``["fleet.replicas=2"]`` as for ``--set``."""

Progress = Callable[[float, int, int | None], None]


def load(
    source: LoadedScenario | Path | str,
    changes: Changes = (),
    *,
    seed: int | None = None,
    goodput: Sequence[str] = (),
    bench: BenchFlags | None = None,
) -> LoadedScenario:
    """The scenario in a file, or a loaded one changed, checked against the schema and the catalogue.

    Args:
        source: A YAML file, the name of a shipped scenario, or a loaded scenario.
        changes: Scenario keys and what they are to be.
        seed: Replaces ``simulation.seed``.
        goodput: Targets as ``ttft:200``, in milliseconds; merged into ``slo``.
        bench: Workload options of ``vllm bench serve``.

    Raises:
        ScenarioError: With every problem found in file and changes.
    """
    named = changes if isinstance(changes, Mapping) else {}
    return load_scenario(
        source,
        () if isinstance(changes, Mapping) else changes,
        seed=seed,
        goodput=goodput,
        bench=bench,
        changes=[Change(place_of(key), value, f"{key}={value!r}") for key, value in named.items()],
    )


def run(
    scenario: LoadedScenario | Path | str,
    changes: Changes = (),
    *,
    seed: int | None = None,
    progress: Progress | None = None,
) -> Result:
    """Simulate ``scenario``, a loaded one or a file; nothing is written.

    Args:
        scenario: What to run.
        changes, seed: As for :func:`load`.
        progress: Called now and then with simulated seconds, requests finished, and requests in all
            (None when that is not known).

    Raises:
        UserError: The scenario cannot be loaded or built.
    """
    if changes or seed is not None or not isinstance(scenario, LoadedScenario):
        scenario = load(scenario, changes, seed=seed)
    record, run_info = simulate_timed(scenario, progress)
    return answer(scenario, record, run_info)


def simulate_timed(
    loaded: LoadedScenario, progress: Progress | None = None
) -> tuple[RunRecord, dict[str, Any]]:
    """The run, and what depends on the machine that ran it."""
    wall_s, cpu_s = time.perf_counter(), time.process_time()
    record = simulate(loaded, progress)
    wall_s, cpu_s = time.perf_counter() - wall_s, time.process_time() - cpu_s
    return record, {
        "version": llmsim.__version__,
        "interrupted": record.interrupted,
        "wall_s": wall_s,
        "cpu_s": cpu_s,
        "events": record.events,
        "events_per_cpu_s": record.events / cpu_s,
        "requests_per_cpu_s": len(record.requests) / cpu_s,
        "python": platform.python_version(),
        "platform": platform.platform(),
    }


def answer(loaded: LoadedScenario, record: RunRecord, run_info: Mapping[str, Any]) -> Result:
    """What a run of ``loaded`` that left ``record`` behind answers."""
    sha256 = scenario_sha256(loaded.scenario)
    summary = summarise(record, loaded.scenario, sha256=sha256, version=llmsim.__version__)
    return Result(summary, record, loaded, run_info)
