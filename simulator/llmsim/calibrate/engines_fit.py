"""Fits an engine generation's host time and front end to server runs: four coefficients, all runs at once.

Maximum a posteriori on logarithms: each metric's residual ln(predicted / measured) over its noise, with
Tukey's biweight because published runs hold outliers; every source counts the same, however many rows it has; and
a log-normal prior per coefficient, so that what the runs cannot tell stays where physics puts it. Gauss–Newton
with numerical derivatives over simulations. ``python -m llmsim.calibrate.engines_fit RUNS.csv`` writes the
result into ``hardware/engines``; the same runs and kernels give the same bytes.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from dataclasses import dataclass, replace
from math import log
from multiprocessing import get_context
from pathlib import Path
from statistics import fmean, median

import numpy as np
import numpy.typing as npt

from llmsim.calibrate.runs import METRICS, MeasuredRun, read_runs
from llmsim.calibrate.runs_scenario import express
from llmsim.calibrate.runs_workload import NotExpressible
from llmsim.files.catalog import root
from llmsim.files.scenario_file import LoadedScenario
from llmsim.measure.summary import summarise
from llmsim.sim.run import simulate
from llmsim.spec.serving import PolicyRef

Floats = npt.NDArray[np.float64]

PRIORS = {
    "host_iteration_s": (8e-4, 0.7),
    "host_sequence_s": (1.0e-5, 0.7),
    "request_s": (4e-3, 0.7),
    "kernel_floor": (0.8, 0.15),
}
"""Before any run: value, and standard deviation of its logarithm (0.7 is a factor of two)."""

NOISE = {"tpot": 0.03, "itl": 0.03, "ttft": 0.12}
"""Standard deviation of ln(predicted / measured) that the model itself is expected to leave."""

BIWEIGHT = 4.685
"""Residuals beyond this many noises count no more (Tukey's constant: 95% efficient on normal errors)."""

SAME_FRONT_END = {"vllm-v1": "vllm-v1-async"}
"""Generations that share their API server: the first takes the other's ``request_s``, to a tenth."""

ENOUGH_REQUESTS = 800
"""Requests of a steady run that suffice for its means."""

STEP, ROUNDS = 0.1, 5
FIXED = 1e-3
"""Prior spread of a coefficient that is settled already."""

Priors = dict[str, tuple[float, float]]


@dataclass(frozen=True)
class Target:
    """One run to fit to, as a scenario, with what was measured."""

    run: MeasuredRun
    loaded: LoadedScenario
    source: str
    metrics: Mapping[str, float]


@dataclass(frozen=True)
class ProfileFit:
    """What came of one generation.

    Attributes:
        values: The coefficients.
        spread: Standard deviations of their logarithms, after the fit.
        errors: Median absolute error per metric group; ``…_left_out`` with each source predicted without it.
        points: Runs.
        sources: How many runs of each source.
    """

    values: dict[str, float]
    spread: dict[str, float]
    errors: dict[str, float]
    points: int
    sources: dict[str, int]


def targets_of(runs: Sequence[MeasuredRun]) -> dict[str, list[Target]]:
    """The runs that can be simulated, by engine generation. Pure query."""
    found: dict[str, list[Target]] = {}
    for run in runs:
        try:
            expressed = express(run)
        except NotExpressible:
            continue
        wanted = {name: value for name, value in run.metrics.items() if _is_fitted(run, name)}
        if wanted:
            source = f"{run.text('source').partition('@')[0]} {expressed.loaded.model.name}"
            target = Target(run, _shortened(expressed.loaded), source, wanted)
            found.setdefault(expressed.profile.name, []).append(target)
    return found


def _is_fitted(run: MeasuredRun, metric: str) -> bool:
    """Central values of TPOT, ITL and TTFT; TTFT not where a queue builds up."""
    queues = run.text("arrival") == "burst" or "overload" in run.text("regime")
    group, _, statistic = metric.partition("_ms_")
    return group in NOISE and statistic in ("mean", "unspecified") and not (group == "ttft" and queues)


def _shortened(loaded: LoadedScenario) -> LoadedScenario:
    workload = loaded.scenario.workload
    if workload.arrival.kind == "burst" or (workload.num_requests or 0) <= ENOUGH_REQUESTS:
        return loaded
    workload = workload.model_copy(update={"num_requests": ENOUGH_REQUESTS})
    return replace(loaded, scenario=loaded.scenario.model_copy(update={"workload": workload}))


def _predict(job: tuple[LoadedScenario, dict[str, float], list[str]]) -> list[float]:
    loaded, options, metrics = job
    pool = loaded.scenario.fleet[0].model_copy(update={"cost_model": PolicyRef("roofline", options)})
    scenario = loaded.scenario.model_copy(update={"fleet": [pool]})
    summary = summarise(simulate(replace(loaded, scenario=scenario)), scenario, sha256="", version="")
    return [summary[METRICS[name]] for name in metrics]


class _Problem:
    """Residuals of some targets as a function of the coefficients' logarithms."""

    def __init__(self, targets: Sequence[Target], priors: Priors, pool: Executor) -> None:
        self.targets, self.priors, self._pool = targets, priors, pool
        counts = Counter(target.source for target in targets)
        rows = [(target, name) for target in targets for name in target.metrics]
        self.groups = [name.partition("_")[0] for _, name in rows]
        self.sources = [target.source for target, _ in rows]
        noise = np.array([NOISE[group] for group in self.groups])
        share = np.array([len(targets) / len(counts) / counts[source] for source in self.sources])
        self.weights = np.sqrt(share) / noise
        self._measured = np.array([target.metrics[name] for target, name in rows])
        self._known: dict[tuple[float, ...], Floats] = {}

    def errors(self, x: Floats) -> Floats:
        """ln(predicted / measured) at the coefficients exp(x)."""
        key = tuple(float(v) for v in x)
        if key not in self._known:
            options = {name: float(np.exp(v)) for name, v in zip(PRIORS, x, strict=True)}
            jobs = [(target.loaded, options, list(target.metrics)) for target in self.targets]
            predicted = [value for row in self._pool.map(_predict, jobs) for value in row]
            self._known[key] = np.log(np.array(predicted) / self._measured)
        return self._known[key]

    def jacobian(self, x: Floats) -> Floats:
        """Change of :meth:`errors` per unit of x. shape (num_residuals, num_coefficients)"""
        here = self.errors(x)
        return np.column_stack([(self.errors(x + STEP * unit) - here) / STEP for unit in np.eye(len(x))])


def _solve(problem: _Problem, keep: npt.NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """Coefficients' logarithms and their standard deviations, from the residuals in ``keep``."""
    centre = np.array([log(value) for value, _ in problem.priors.values()])
    stiffness = np.diag([spread**-2 for _, spread in problem.priors.values()])
    x = centre.copy()
    for _ in range(ROUNDS):
        scaled = problem.errors(x)[keep] * problem.weights[keep]
        trust = np.maximum(0.0, 1 - (scaled / BIWEIGHT) ** 2) ** 2
        slopes = problem.jacobian(x)[keep] * problem.weights[keep, None]
        normal = slopes.T @ (trust[:, None] * slopes) + stiffness
        move = np.linalg.solve(normal, -slopes.T @ (trust * scaled) - stiffness @ (x - centre))
        x = x + np.clip(move, -1.0, 1.0)
        if np.abs(move).max() < 0.03:
            break
    return x, np.sqrt(np.diag(np.linalg.inv(normal)))


def fit_generation(targets: Sequence[Target], priors: Priors, pool: Executor) -> ProfileFit:
    """Fit one generation, and predict every source from the others."""
    problem = _Problem(targets, priors, pool)
    sources = np.array(problem.sources)
    x, spread = _solve(problem, np.ones(len(sources), dtype=bool))
    left_out = np.array(problem.errors(x))
    names = sorted(set(problem.sources))
    for name in names if len(names) > 1 else ():
        without, _ = _solve(problem, sources != name)
        left_out[sources == name] = problem.errors(without)[sources == name]
    errors = {}
    for group in dict.fromkeys(problem.groups):
        here = [i for i, other in enumerate(problem.groups) if other == group]
        for suffix, of in (("", problem.errors(x)), ("_left_out", left_out)):
            errors[group + suffix] = float(f"{median(abs(float(np.exp(of[i])) - 1) for i in here):.2g}")
    values = {name: float(f"{np.exp(v):.2g}") for name, v in zip(PRIORS, x, strict=True)}
    return ProfileFit(
        values,
        {name: float(f"{s:.1g}") for name, s in zip(PRIORS, spread, strict=True)},
        errors,
        len(targets),
        dict(Counter(target.source for target in targets)),
    )


def fit_all(runs: Sequence[MeasuredRun]) -> dict[str, ProfileFit]:
    """The fit of every generation that ``runs`` has runs of."""
    by_profile = targets_of(runs)
    found: dict[str, ProfileFit] = {}
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        shared = dict(PRIORS)
        shared["kernel_floor"] = (_kernel_floor(by_profile, pool), FIXED)
        for name in sorted(by_profile, key=lambda name: name in SAME_FRONT_END):
            priors = dict(shared)
            if (other := SAME_FRONT_END.get(name)) in found:
                priors["request_s"] = (found[other].values["request_s"], 0.1)
            found[name] = fit_generation(by_profile[name], priors, pool)
    return found


def _kernel_floor(by_profile: Mapping[str, Sequence[Target]], pool: Executor) -> float:
    """What graphs leave of kernels' floors: one number for all, from the generations that tell it.

    Runs of one model cannot keep it apart from host time; those of several, with more and fewer layers, can.
    """
    place, found = list(PRIORS).index("kernel_floor"), []
    for targets in by_profile.values():
        if len({target.loaded.model.name for target in targets}) > 1:
            problem = _Problem(targets, PRIORS, pool)
            x, _ = _solve(problem, np.ones(len(problem.sources), dtype=bool))
            found.append(float(x[place]))
    return float(f"{np.exp(fmean(found)):.2g}") if found else PRIORS["kernel_floor"][0]


FIELDS = {
    "host_iteration_s": "iteration_s",
    "host_sequence_s": "sequence_s",
    "request_s": "request_s",
}
"""Coefficients of one generation, and their keys in its profile."""


def with_fit(text: str, fit: ProfileFit) -> str:
    """A profile's file with the fitted numbers in place of those it has. Pure."""
    for name, key in FIELDS.items():
        line = rf"^(  {key}: \{{value: )[^,]*(, kind: measured, source: runs, spread: )[^}}]*"
        text = re.sub(line, rf"\g<1>{fit.values[name]:g}\g<2>{fit.spread[name]:g}", text, flags=re.MULTILINE)
    errors = ", ".join(f"{group}: {error:g}" for group, error in fit.errors.items())
    text = re.sub(r"^points: .*$", f"points: {fit.points}", text, flags=re.MULTILINE)
    return re.sub(r"^fit: .*$", f"fit: {{{errors}}}", text, flags=re.MULTILINE)


def with_floor(text: str, floor: float) -> str:
    """A profile's file with the share of kernels' floors that all generations have in common. Pure."""
    return re.sub(
        r"^(kernel_floor: \{value: )[^,]*(?=.*source: graphs)", rf"\g<1>{floor:g}", text, flags=re.MULTILINE
    )


def main(path: Path) -> None:
    """Fit every generation that ``path`` has runs of, and write the profiles."""
    fits = fit_all(read_runs(path))
    floor = next(iter(fits.values())).values["kernel_floor"]
    for file in sorted((root() / "hardware" / "engines").glob("*.yaml")):
        text = with_floor(file.read_text("utf-8"), floor)
        if fit := fits.get(file.stem):
            text = with_fit(text, fit)
            sys.stdout.write(f"{file.stem}: {fit}\n")
        file.write_text(text, "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
