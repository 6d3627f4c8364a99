"""The runs of a user's server as a least-squares problem: what is compared, and what may change."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from llmsim.calibrate.identify import Coefficient
from llmsim.calibrate.server_fit import Fit, Target, fit
from llmsim.cost.efficiency import Efficiency, efficiency_for
from llmsim.cost.engines import EngineProfile, engine_profile
from llmsim.cost.roofline import RooflineOptions
from llmsim.errors import UserError
from llmsim.files import catalog
from llmsim.files.scenario_file import LoadedScenario
from llmsim.measure.summary import summarise
from llmsim.registry import nearest
from llmsim.sim.run import simulate
from llmsim.spec.serving import PolicyRef

NOISE = {"tpot": 0.03, "itl": 0.03, "e2el": 0.04, "ttft": 0.09, "output_throughput": 0.03}
"""Standard deviation of a mean's logarithm between runs that should be alike: assumed, as published benchmarks
seldom repeat. (Two that differ in an idle limit alone, inference-sim's Llama-3.1-8B with 1,024 and 2,048 batched
tokens, are 5% and 13% apart in TPOT and 3% and 11% in TTFT.) TTFT counts a third of TPOT: it also rests on where
in an iteration requests happen to arrive."""

SPREADS = {
    "host_iteration_s": 1e-3,
    "hidden_iteration_s": 1e-3,
    "host_sequence_s": 1e-5,
    "request_s": 5e-3,
    "compute_factor": 0.10,
    "bandwidth_factor": 0.10,
}
"""How far an installation may lie from the catalogue: CPUs differ by half, which is of the order of the host
times themselves; kernels, clocks and power limits by a tenth."""


@dataclass(frozen=True)
class ServerRun:
    """One measured run.

    Attributes:
        name: The file or row it comes from.
        loaded: The scenario that says the same.
        measured: Metric of a summary to its measured value.
    """

    name: str
    loaded: LoadedScenario
    measured: Mapping[str, float]


@dataclass(frozen=True)
class Calibration:
    """Runs, what was compared of them, and the fit."""

    runs: Sequence[ServerRun]
    targets: Sequence[Target]
    fit: Fit


def calibrate(runs: Sequence[ServerRun], only: Sequence[str] = ()) -> Calibration:
    """Fits what ``runs`` tell of the coefficients named in ``only`` (of all when it is empty).

    Raises:
        UserError: Nothing of the runs depends on the server, or the best fit is beyond physics.
    """
    coefficients = [c for c in coefficients_of(runs[0].loaded) if not only or c.name in only]
    if unknown := set(only) - set(SPREADS):
        name = sorted(unknown)[0]
        raise UserError(f"--fit {name}: no such coefficient; {nearest(name, SPREADS)}")
    summaries = Summaries(runs)
    targets = [
        target for index, run in enumerate(runs) for target in _targets(index, run, summaries.at({})[index])
    ]
    if not targets:
        raise UserError(
            "none of the runs has a metric that depends on the server",
            hint="TTFT, TPOT, ITL or end-to-end latency; or throughput of a closed loop (--max-concurrency)",
        )

    def predict(values: dict[str, float]) -> list[float]:
        found = summaries.at(values)
        return [found[target.run][target.metric] or float("nan") for target in targets]

    def batches() -> list[float]:
        return [summary["mean_batch_size"] or 0.0 for summary in summaries.at({})]

    return Calibration(runs, targets, fit(predict, targets, coefficients, batches))


class Summaries:
    """Summaries of all runs at given coefficients, each simulated once."""

    def __init__(self, runs: Sequence[ServerRun]) -> None:
        self._runs = runs
        self._known: dict[tuple[tuple[str, float], ...], list[dict[str, Any]]] = {}

    def at(self, values: Mapping[str, float]) -> list[dict[str, Any]]:
        """The runs' summaries with ``values`` as options of the cost model."""
        key = tuple(sorted(values.items()))
        if key not in self._known:
            self._known[key] = [_summary(with_options(run.loaded, values)) for run in self._runs]
        return self._known[key]


def _summary(loaded: LoadedScenario) -> dict[str, Any]:
    return summarise(simulate(loaded), loaded.scenario, sha256="", version="")


def with_options(loaded: LoadedScenario, values: Mapping[str, float]) -> LoadedScenario:
    """``loaded`` with ``values`` as options of every pool's cost model, which has to be the roofline."""
    pools = []
    for pool in loaded.scenario.fleet:
        if pool.cost_model.kind != "roofline":
            raise UserError(
                f"pool '{pool.name}' has cost model '{pool.cost_model.kind}'; only roofline is fitted"
            )
        options = RooflineOptions.model_validate({**pool.cost_model.options, **values})
        reference = PolicyRef("roofline", options.model_dump(mode="json"))
        pools.append(pool.model_copy(update={"cost_model": reference}))
    return replace(loaded, scenario=loaded.scenario.model_copy(update={"fleet": pools}))


def _targets(index: int, run: ServerRun, summary: Mapping[str, Any]) -> Iterator[Target]:
    """What is compared of a run: time per token, or what holds it; and TTFT where no queue decides it."""
    for names in (("tpot", "itl"), ("e2el",), ("output_throughput",)):
        metric = next((m for name in names if (m := _metric(name, run.measured))), None)
        if metric and (metric != "output_throughput" or _is_closed(run)):
            yield _target(index, metric, run)
            break
    ttft = _metric("ttft", run.measured)
    if ttft and summary["saturation"] == "stable" and run.loaded.scenario.workload.arrival.kind != "burst":
        yield _target(index, ttft, run)


def _metric(name: str, measured: Mapping[str, float]) -> str | None:
    """The name under which a summary and ``measured`` both have ``name``: its mean before its median."""
    names = [name] if name == "output_throughput" else [f"mean_{name}_ms", f"median_{name}_ms"]
    return next((each for each in names if each in measured), None)


def _target(index: int, metric: str, run: ServerRun) -> Target:
    noise = next(noise for name, noise in NOISE.items() if name in metric)
    return Target(index, metric, run.measured[metric], noise)


def _is_closed(run: ServerRun) -> bool:
    """Whether throughput is the server's answer rather than what was offered."""
    return run.loaded.scenario.workload.arrival.kind in ("closed", "burst")


def coefficients_of(loaded: LoadedScenario) -> list[Coefficient]:
    """What may be fitted, in the order in which installations differ; values as the scenario has them now."""
    pool = loaded.scenario.fleet[0]
    engine = loaded.scenario.engine_of(pool)
    accelerator = catalog.accelerator(pool.accelerator)
    options = RooflineOptions.model_validate(pool.cost_model.options)
    defaults = _defaults(engine_profile(engine.name, engine.version)) | options.calibrated()
    efficiency = efficiency_for(accelerator)
    meanings = {
        "host_iteration_s": "host time per iteration",
        "hidden_iteration_s": "host time that hides behind the device",
        "request_s": "time before the scheduler sees a request",
        "bandwidth_factor": "the factor on all memory bandwidths",
        "compute_factor": "the factor on all shares of peak compute",
        "host_sequence_s": "host time per sequence and iteration",
    }
    most = {
        "bandwidth_factor": 1 / _largest(efficiency, "memory"),
        "compute_factor": 1 / _largest(efficiency, "compute"),
    }
    return [
        Coefficient(
            name,
            meaning,
            defaults[name],
            max(SPREADS[name], defaults[name] if name.endswith("_s") else 0.0),
            most.get(name, float("inf")),
        )
        for name, meaning in meanings.items()
        if name in defaults
    ]


def _defaults(profile: EngineProfile) -> dict[str, float]:
    """What the catalogue says; no hidden time of an engine that hides none."""
    hidden_s = profile.hidden_host_s()
    return ({"hidden_iteration_s": hidden_s[0]} if hidden_s else {}) | {
        "host_iteration_s": profile.host.iteration_s.value,
        "host_sequence_s": profile.host.sequence_s.value,
        "request_s": profile.front_end.request_s.value,
        "bandwidth_factor": 1.0,
        "compute_factor": 1.0,
    }


def _largest(efficiency: Efficiency, key: str) -> float:
    """The largest number called ``key`` in ``efficiency``, however deep."""

    def found(data: Mapping[str, Any]) -> Iterator[float]:
        for name, value in data.items():
            if isinstance(value, dict):
                yield from found(value)
            elif name == key:
                yield value

    return max(found(efficiency.model_dump()))
