"""A measured run as the user's own scenario under the load of that run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from pydantic import ValidationError

from llmsim.calibrate.runs import METRICS, MeasuredRun
from llmsim.calibrate.runs_scenario import accelerator_of, model_of
from llmsim.calibrate.runs_workload import NotExpressible, workload_of
from llmsim.calibrate.server_fit_runs import ServerRun
from llmsim.cost.engines import engine_profile
from llmsim.errors import CatalogError, Problem, RunsError
from llmsim.files import catalog
from llmsim.files.scenario_file import LoadedScenario
from llmsim.spec.workload import Workload

LEAST_REQUESTS = 400
ROUNDS = 40
"""Requests of a run that are simulated, at least, and for each in flight at once: over more, with filling and
draining a fortieth at each end, a mean changes by less than its noise."""


def server_run(run: MeasuredRun, loaded: LoadedScenario) -> ServerRun:
    """The scenario ``loaded`` with the load of ``run``, and what was measured.

    Raises:
        RunsError: The run is of another model, accelerator or parallelism, or does not say its load.
    """
    hint = "one overlay describes one server: calibrate each with its own scenario"
    problems = [Problem(run.where, f"{run.id}: {text}") for text in _mismatches(run, loaded)]
    if problems:
        raise RunsError(problems, hint=hint)
    try:
        data = workload_of(run, [])
        data["num_requests"] = min(data["num_requests"], _enough(run))
        workload = Workload.model_validate(data)
    except NotExpressible as error:
        raise RunsError(Problem(run.where, f"{run.id}: {error}")) from None
    except ValidationError as error:
        raise RunsError([Problem(run.where, f"{run.id}: {each['msg']}") for each in error.errors()]) from None
    scenario = loaded.scenario.model_copy(update={"workload": workload})
    measured = {METRICS[column]: value for column, value in run.metrics.items()}
    return ServerRun(run.id, replace(loaded, scenario=scenario), measured)


def _enough(run: MeasuredRun) -> int:
    """Requests whose mean is as good as that of all; in flight are L = λ·W of an open loop (Little)."""
    latency_s = next((run.metrics[name] for name in run.metrics if name.startswith("e2e_ms")), 0.0) / 1e3
    if not latency_s:
        step_ms = next((run.metrics[name] for name in run.metrics if name.startswith(("tpot", "itl"))), 100.0)
        latency_s = step_ms / 1e3 * (run.number("output_mean") or 0.0)
    in_flight = run.number("concurrency") or (run.number("request_rate") or 0.0) * latency_s
    return max(LEAST_REQUESTS, round(ROUNDS * in_flight))


def _mismatches(run: MeasuredRun, loaded: LoadedScenario) -> Iterator[str]:
    """Where the run names another server than the scenario. Names that the catalogue does not know pass."""
    pool = loaded.scenario.fleet[0]
    accelerator = catalog.accelerator(pool.accelerator).name
    named = _known(accelerator_of, run.text("gpu"))
    if named not in (None, accelerator):
        yield f"its accelerator is {named}, the scenario's {accelerator}"
    named = _known(model_of, run.text("model"))
    if named not in (None, loaded.model.name):
        yield f"its model is {named}, the scenario's {loaded.model.name}"
    engine = loaded.scenario.engine_of(pool)
    generation = engine_profile(engine.name, engine.version).name
    version = run.text("engine_version")
    named = _known(lambda name: engine_profile(name, version), run.text("engine")) if version else None
    if named not in (None, generation):
        yield f"its engine is {named}, the scenario's {generation} (engine.name and engine.version)"
    for column, size in (
        ("tensor_parallel", pool.tensor_parallel_size),
        ("pipeline_parallel", pool.pipeline_parallel_size),
    ):
        if (given := run.count(column)) not in (None, size):
            yield f"{column} is {given}, the scenario's {size}"


def _known(find: Callable[[str], Any], name: str) -> str | None:
    """The catalogue's name of what is called ``name``; None when it knows no such thing."""
    try:
        return str(find(name).name)
    except CatalogError:
        return None
