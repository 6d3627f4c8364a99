"""Simulates measured runs and says how far off each figure is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from math import exp
from multiprocessing import get_context
from os import cpu_count
from typing import Any

from llmsim.calibrate.runs import METRICS, MeasuredRun
from llmsim.calibrate.runs_scenario import Expressed, express
from llmsim.calibrate.runs_workload import NotExpressible
from llmsim.cost.intervals import Z, metric_class
from llmsim.errors import DoesNotFitError, UserError
from llmsim.measure.records import RunRecord
from llmsim.measure.summary import summarise
from llmsim.sim.run import simulate

SATURATED = ("overloaded", "backlogged")
"""Verdicts on a run whose TTFT is mostly queueing."""


UNIT_ERROR = (300.0, 4000.0)
"""Ratios of measured and simulated that tell of a wrong unit: a thousand, give or take what models are off by."""


@dataclass(frozen=True)
class Comparison:
    """One metric of one run; ``low`` to ``high`` is the 80% interval of the prediction."""

    predicted: float
    measured: float
    low: float | None = None
    high: float | None = None

    @property
    def error(self) -> float:
        """Signed and relative: (predicted - measured) / measured. Pure query."""
        return (self.predicted - self.measured) / self.measured

    @property
    def is_covered(self) -> bool | None:
        """Whether the measured value lies in the interval; None without one. Pure query."""
        if self.low is None or self.high is None:
            return None
        return self.low <= self.measured <= self.high


@dataclass(frozen=True)
class Validated:
    """A run and what the simulation says of it.

    Attributes:
        run: What was measured.
        status: ``simulated``, or, with the ``reason``: ``not expressible``; ``refused``, as a figure is a
            thousand times what it can be; ``failed``, by a fault of the simulator.
        metrics: By metric column.
        assumed: What the row does not say and was taken from elsewhere.
        groups: What it belongs to: gpu, model, engine, regime.
    """

    run: MeasuredRun
    status: str
    reason: str = ""
    metrics: Mapping[str, Comparison] = field(default_factory=dict)
    assumed: Sequence[str] = ()
    groups: Mapping[str, str] = field(default_factory=dict)


def validate(runs: Sequence[MeasuredRun], workers: int | None = None) -> list[Validated]:
    """Every run of ``runs``, in their order, simulated on ``workers`` processes (the CPUs' number by default)."""
    workers = min(workers or cpu_count() or 1, len(runs))
    if workers <= 1:
        return [validate_run(run) for run in runs]
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        return list(pool.map(validate_run, runs, chunksize=1))


def validate_run(run: MeasuredRun) -> Validated:
    """One run: expressed as a scenario, simulated, compared. A fault in one does not take the others with it."""
    try:
        return _validated(run)
    except Exception as error:
        return Validated(run, "failed", f"{type(error).__name__}: {error} (llmsim is at fault)")


def _validated(run: MeasuredRun) -> Validated:
    try:
        expressed = express(run)
        record = _simulated(expressed)
    except NotExpressible as error:
        return Validated(run, "not expressible", str(error))
    except UserError as error:
        return Validated(run, "not expressible", " ".join(str(error).split()))
    summary = summarise(record, expressed.loaded.scenario, sha256="", version="")
    metrics = {
        column: _compared(record, METRICS[column], float(summary[METRICS[column]]), value)
        for column, value in run.metrics.items()
        if summary.get(METRICS[column]) is not None
    }
    groups = {
        "gpu": expressed.loaded.scenario.fleet[0].accelerator,
        "model": expressed.loaded.model.name,
        "engine": expressed.profile.name,
        "regime": _regime(run, summary),
    }
    off = [text for column, pair in metrics.items() if (text := _unit_error(run, column, pair))]
    if off:
        return Validated(run, "refused", "; ".join(off), groups=groups)
    return Validated(run, "simulated", "", metrics, expressed.assumed, groups)


def _unit_error(run: MeasuredRun, column: str, pair: Comparison) -> str:
    """What to say of a figure that is a thousand times, or a thousandth of, the simulated one; else nothing.

    No model is that wrong about a step or a rate. TTFT and latency are judged in closed loops only: in open
    ones a queue at the edge of saturation may well be a thousand times another.
    """
    waits = column.startswith(("ttft", "e2e")) and run.text("arrival") != "closed"
    low, high = UNIT_ERROR
    if waits or not (
        low < pair.measured / pair.predicted < high or low < pair.predicted / pair.measured < high
    ):
        return ""
    factor = "a thousand times" if pair.measured > pair.predicted else "a thousandth of"
    return f"{column} {pair.measured:g} is about {factor} the {pair.predicted:.3g} simulated: check its unit"


def _simulated(expressed: Expressed) -> RunRecord:
    """The run. A real server started with its ``max_model_len``: where ours has no room, it does without."""
    try:
        return simulate(expressed.loaded)
    except DoesNotFitError:
        scenario = expressed.loaded.scenario
        if scenario.engine.max_model_len is None:
            raise
        engine = scenario.engine.model_copy(update={"max_model_len": None})
        expressed.assumed.append(f"max_model_len {scenario.engine.max_model_len:,} has no room: left out")
        return simulate(replace(expressed.loaded, scenario=scenario.model_copy(update={"engine": engine})))


def _compared(record: RunRecord, name: str, predicted: float, measured: float) -> Comparison:
    spreads = [replica.model_spread.get(metric_class(name)) for replica in record.replicas]
    known = [spread for spread in spreads if spread is not None]
    if len(known) < len(spreads):
        return Comparison(predicted, measured)
    factor = exp(Z * max(known))
    return Comparison(predicted, measured, predicted / factor, predicted * factor)


def source_of(item: Validated) -> str:
    """The publisher and model of a run: runs of one source share their quirks. Pure query."""
    return f"{item.run.text('source').partition('@')[0]} {item.groups.get('model', '')}".strip()


def _regime(run: MeasuredRun, summary: Mapping[str, Any]) -> str:
    """Closed loops by themselves; open ones by whether the server kept up in the simulation."""
    if run.text("arrival") == "closed":
        return "closed loop"
    return str(summary["saturation"])
