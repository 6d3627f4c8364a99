"""``llmsim roofline``: where the time of one iteration goes."""

from __future__ import annotations

import json
import sys
from typing import Any, NamedTuple

from rich.table import Table
from rich.text import Text

from llmsim.cli.console import Console
from llmsim.cost.describe import RooflineReport, roofline_report
from llmsim.cost.engines import engine_profile
from llmsim.cost.roofline import RooflineOptions, build_stages
from llmsim.cost.rows import OpRow
from llmsim.errors import UserError
from llmsim.files import catalog
from llmsim.files.scenario_file import LoadedScenario
from llmsim.spec.serving import Pool
from llmsim.units import format_bytes, format_seconds, format_si


class Iteration(NamedTuple):
    """What it computes: ``batch`` sequences decode after ``context`` tokens, ``prefill`` are new."""

    batch: int
    context: int
    prefill: int


def print_roofline(loaded: LoadedScenario, iteration: Iteration, *, as_json: bool) -> None:
    """Prints the op table of ``iteration`` for every pool."""
    reports = [(pool, roofline_report(_stages(loaded, pool), *iteration)) for pool in loaded.scenario.fleet]
    if as_json:
        rows = [
            {"pool": pool.name, "accelerator": pool.accelerator} | report.to_dict()
            for pool, report in reports
        ]
        print(json.dumps(rows, indent=2, ensure_ascii=False))
        return
    console = Console(width=None if sys.stdout.isatty() else 140, highlight=False)
    for pool, report in reports:
        console.print(Text(_title(loaded, pool, report), style="bold"))
        console.print(_table(report))
        console.print(Text(_footnote(report)), Text())


def _stages(loaded: LoadedScenario, pool: Pool) -> Any:
    """The stages of ``pool`` on the roofline, which has to be its cost model."""
    if pool.cost_model.kind != "roofline":
        message = f"pool '{pool.name}' has cost model '{pool.cost_model.kind}', which knows no operators"
        raise UserError(message, hint="add --set fleet.cost_model=roofline")
    engine = loaded.scenario.engine_of(pool)
    return build_stages(
        loaded.model_of(pool),
        catalog.accelerator(pool.accelerator),
        tensor_parallel_size=pool.tensor_parallel_size,
        pipeline_parallel_size=pool.pipeline_parallel_size,
        dtype=engine.dtype,
        kv_cache_dtype=engine.kv_cache_dtype,
        quantization=engine.quantization,
        enforce_eager=engine.enforce_eager,
        options=RooflineOptions.model_validate(pool.cost_model.options),
        profile=engine_profile(engine.name, engine.version),
    )


def _title(loaded: LoadedScenario, pool: Pool, report: RooflineReport) -> str:
    parallel = f"TP {pool.tensor_parallel_size} x PP {pool.pipeline_parallel_size}"
    work = f"batch {report.batch}, context {report.context:,}, prefill {report.prefill:,}"
    return f"{pool.name}: {loaded.model_of(pool).name} on {pool.accelerator}, {parallel}; one iteration of {work}"


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
