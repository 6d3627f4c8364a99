"""``llmsim roofline``: where the time of one iteration goes."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from rich.table import Table
from rich.text import Text

from llmsim.cli.console import Console
from llmsim.cost.describe import RooflineReport, roofline_report
from llmsim.cost.engines import engine_profile
from llmsim.cost.parallel import ParallelPlan
from llmsim.cost.roofline import RooflineOptions, RooflineStage, build_stages
from llmsim.cost.rows import OpRow
from llmsim.cost.search import Choice
from llmsim.errors import UserError
from llmsim.files import catalog
from llmsim.files.scenario_file import LoadedScenario
from llmsim.sim.parallel import choose_plan
from llmsim.spec.serving import Pool
from llmsim.units import format_bytes, format_seconds, format_si


class Iteration(NamedTuple):
    """What it computes: ``batch`` sequences decode after ``context`` tokens, ``prefill`` are new."""

    batch: int
    context: int
    prefill: int


def print_roofline(loaded: LoadedScenario, iteration: Iteration, *, as_json: bool) -> None:
    """Prints the op table of ``iteration`` for every pool."""
    reports = []
    for pool in loaded.scenario.fleet:
        stages_of = _pricing(loaded, pool)
        choice = choose_plan(loaded, pool, stages_of)
        reports.append((pool, choice, roofline_report(stages_of(choice.plan), *iteration)))
    if as_json:
        rows = [
            {"pool": pool.name, "accelerator": pool.accelerator, **_plan_keys(choice)} | report.to_dict()
            for pool, choice, report in reports
        ]
        print(json.dumps(rows, indent=2, ensure_ascii=False))
        return
    console = Console(width=None if sys.stdout.isatty() else 140, highlight=False)
    for pool, choice, report in reports:
        for line in _search_lines(choice):
            console.print(Text(line))
        console.print(Text(_title(loaded, pool, choice, report), style="bold"))
        console.print(_table(report))
        console.print(Text(_footnote(report)), Text())


def _pricing(loaded: LoadedScenario, pool: Pool) -> Callable[[ParallelPlan], list[RooflineStage]]:
    """What prices a plan of ``pool`` on the roofline, which has to be its cost model."""
    if pool.cost_model.kind != "roofline":
        message = f"pool '{pool.name}' has cost model '{pool.cost_model.kind}', which knows no operators"
        raise UserError(message, hint="add --set fleet.cost_model=roofline")
    engine = loaded.scenario.engine_of(pool)
    return partial(
        _stages,
        model=loaded.model_of(pool),
        accelerator=catalog.accelerator(pool.accelerator),
        dtype=engine.dtype,
        kv_cache_dtype=engine.kv_cache_dtype,
        quantization=engine.quantization,
        enforce_eager=engine.enforce_eager,
        options=RooflineOptions.model_validate(pool.cost_model.options),
        profile=engine_profile(engine.name, engine.version),
    )


def _stages(plan: ParallelPlan, **settings: Any) -> list[RooflineStage]:
    return build_stages(plan=plan, **settings)


def _plan_keys(choice: Choice) -> dict[str, Any]:
    """The plan for --json: its degrees, and what a search tried."""
    keys: dict[str, Any] = {"plan": choice.plan.in_words()}
    if choice.tried:
        keys |= {"plan_choice": choice.why, "plans_tried": [trial.in_words() for trial in choice.tried]}
    return keys


def _search_lines(choice: Choice) -> list[str]:
    """What ``tensor_parallel_size: auto`` tried, the chosen plan marked; nothing where the plan is given."""
    if not choice.tried:
        return []
    tried = [f"  {'>' if trial.plan == choice.plan else ' '} {trial.in_words()}" for trial in choice.tried]
    return [f"tensor_parallel_size: auto takes {choice.in_words()}", *tried, ""]


def _title(loaded: LoadedScenario, pool: Pool, choice: Choice, report: RooflineReport) -> str:
    plan = choice.plan
    parallel = plan.in_words().replace(", ", " x ")
    work = f"batch {report.batch}, context {report.context:,}, prefill {report.prefill:,}"
    accelerators = " + ".join(plan.devices(pool.accelerator))
    return f"{pool.name}: {loaded.model_of(pool).name} on {accelerators}, {parallel}; one iteration of {work}"


_BYTES = ("weight_bytes", "activation_bytes", "kv_read_bytes", "kv_write_bytes", "state_bytes", "wire_bytes")


def _table(report: RooflineReport) -> Table:
    """One line per operator, with all its layers, on one device of its stage; then the sum."""
    classes = [name for name in _BYTES if any(getattr(row.work, name) for row in report.rows)]
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("op")
    table.add_column("launches", justify="right")
    table.add_column("FLOPs", justify="right")
    for name in classes:
        table.add_column(name.removesuffix("_bytes").replace("_", " "), justify="right")
    table.add_column("FLOPs/byte", justify="right")
    table.add_column("bound")
    table.add_column("time", justify="right")
    table.add_column("share", justify="right")
    for row in report.rows:
        table.add_row(*_cells(row, classes, report.time_s))
    sums = [sum(getattr(row.work, name) for row in report.rows) for name in classes]
    flops = sum(row.work.flops for row in report.rows)
    launches = sum(row.launches for row in report.rows)
    total = ["all", f"{launches:,}", format_si(flops), *map(format_bytes, sums), "", ""]
    table.add_row(*total, format_seconds(report.time_s), "100.0%", style="bold")
    return table


def _cells(row: OpRow, classes: list[str], total_s: float) -> list[str]:
    stage = f"{row.stage}: " if row.stage else ""
    work, intensity = row.work, row.arithmetic_intensity
    return [
        f"{stage}{row.name}",
        f"{row.launches:,}",
        format_si(work.flops) if work.flops else "",
        *(format_bytes(getattr(work, name)) if getattr(work, name) else "" for name in classes),
        "" if intensity is None else f"{intensity:.3g}",
        row.bound,
        format_seconds(row.time_s),
        f"{row.time_s / total_s:.1%}",
    ]


def _footnote(report: RooflineReport) -> str:
    peak, bandwidth = format_si(report.peak_flops_per_s, "FLOP/s"), format_si(report.hbm_bytes_per_s, "B/s")
    return (
        f"datasheet: {peak}, {bandwidth}; they meet at {report.ridge_flops_per_byte:.0f} FLOPs per byte\n"
        f"efficiencies: {report.provenance}"
    )
