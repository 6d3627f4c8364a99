"""The roofline table of one iteration, as people read it."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from llmsim.cost.describe import RooflineReport
from llmsim.cost.rows import OpRow

_BYTE_COLUMNS = ("weight", "activation", "kv_read", "kv_write", "state", "wire")
_COLOURS = {"compute": "red", "memory": "blue", "network": "magenta", "launch": "yellow", "host": "cyan"}


def scaled(value: float, unit: str = "") -> str:
    """``value`` with three digits and an SI prefix; ``·`` for zero. Pure query."""
    if not value:
        return "·"
    for factor, prefix in ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= factor:
            return f"{value / factor:.3g} {prefix}{unit}"
    return f"{value:.3g} {unit}".rstrip()


def render(report: RooflineReport) -> RenderableType:
    """A table per stage, then totals and the ridge point. Pure query."""
    stages = sorted({row.stage for row in report.rows})
    used = [name for name in _BYTE_COLUMNS if any(_bytes(row, name) for row in report.rows)]
    tables = [_table(report, stage, used, many=len(stages) > 1) for stage in stages]
    return Group(*tables, *_notes(report))


def _bytes(row: OpRow, name: str) -> float:
    return float(getattr(row.work, f"{name}_bytes"))


def _table(report: RooflineReport, stage: int, byte_columns: list[str], *, many: bool) -> Table:
    what = f"decode {report.batch} × {report.context:,} tokens" if report.batch else ""
    what += (", " if what and report.prefill else "") + (
        f"prefill {report.prefill:,}" if report.prefill else ""
    )
    table = Table(title=f"{what}, one device" + (f" of stage {stage}" if many else ""), show_footer=True)
    rows = [row for row in report.rows if row.stage == stage]
    table.add_column("op", "total")
    table.add_column("×", justify="right")
    table.add_column("FLOPs", scaled(sum(row.work.flops for row in rows)), justify="right")
    for name in byte_columns:
        footer = scaled(sum(_bytes(row, name) for row in rows), "B")
        table.add_column(name.replace("_", " "), footer, justify="right")
    table.add_column("FLOP/B", justify="right")
    table.add_column("bound")
    table.add_column("time", f"{report.stage_s(stage) * 1e3:.3f} ms", justify="right")
    table.add_column("share", f"{report.stage_s(stage) / report.time_s:.1%}", justify="right")
    for row in rows:
        table.add_row(*_cells(row, byte_columns, report.time_s))
    return table


def _cells(row: OpRow, byte_columns: list[str], total_s: float) -> list[RenderableType]:
    intensity = row.arithmetic_intensity
    return [
        row.name,
        str(row.launches),
        scaled(row.work.flops),
        *(scaled(_bytes(row, name), "B") for name in byte_columns),
        "·" if not intensity else f"{intensity:.3g}",
        Text(row.bound, style=_COLOURS.get(row.bound, "")),
        f"{row.time_s * 1e6:,.1f} µs",
        f"{row.time_s / total_s:.1%}",
    ]


def _notes(report: RooflineReport) -> list[RenderableType]:
    bounds = report.to_dict()["bound_s"]
    shares = ", ".join(f"{name} {seconds / report.time_s:.0%}" for name, seconds in bounds.items())
    peaks = f"{scaled(report.peak_flops_per_s, 'FLOP/s')} over {scaled(report.hbm_bytes_per_s, 'B/s')}"
    return [
        Text(f"iteration {report.time_s * 1e3:.3f} ms; bound by: {shares}"),
        Text(f"ridge point {report.ridge_flops_per_byte:.0f} FLOP/B ({peaks}, datasheet)"),
        Text(f"efficiencies: {report.provenance}"),
    ]
