"""What `llmsim calibrate` prints: coefficients before and after, those that stay, and the errors."""

from __future__ import annotations

from collections.abc import Iterable
from math import expm1
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from llmsim.calibrate.overlay import errors_by_metric
from llmsim.calibrate.server_fit import Fitted
from llmsim.calibrate.server_fit_runs import Calibration
from llmsim.cost.efficiency import Efficiency
from llmsim.report.format import figures


def to_dict(calibration: Calibration, path: Path) -> dict[str, Any]:
    """The same as JSON. Pure query."""
    fit = calibration.fit
    return {
        "coefficients": {
            each.coefficient.name: {
                "before": each.coefficient.default,
                "after": each.value,
                "low": each.low,
                "high": each.high,
                "beyond_physics": each.beyond,
            }
            for each in fit.fitted
        },
        "kept": {
            coefficient.name: {"value": coefficient.default, "reason": why} for coefficient, why in fit.left
        },
        "errors": {
            metric: errors.model_dump()
            for metric, errors in errors_by_metric(fit, calibration.targets).items()
        },
        "runs": [
            {
                "run": calibration.runs[target.run].name,
                "metric": target.metric,
                "measured": target.measured,
                "before": expm1(before),
                "after": expm1(after),
            }
            for target, before, after in zip(calibration.targets, fit.before, fit.after, strict=True)
        ],
        "overlay": str(path),
    }


def render(calibration: Calibration, path: Path) -> RenderableType:
    """For people, at most 100 columns wide. Pure query."""
    fit, loaded = calibration.fit, calibration.runs[0].loaded
    pool = loaded.scenario.fleet[0]
    count = len(calibration.runs)
    title = f"{loaded.model.name} on {pool.accelerator}, TP {pool.tensor_parallel_size}: {count} server run"
    parts: list[RenderableType] = [Text(title + ("" if count == 1 else "s"), style="bold"), Text()]
    parts += [_coefficients(calibration), Text()] if fit.fitted else [_nothing_told(), Text()]
    for each in fit.fitted:
        if each.beyond is not None:
            parts += [Text(_at_the_end(each), style="yellow"), Text()]
    if fit.left:
        parts += [Text("Kept as they were", style="bold")]
        parts += [_kept(fit.left), Text()]
    parts += [_errors(calibration), Text(), _runs(calibration), Text()]
    parts += [
        Text(f"Written to {path}. In a scenario beside it:"),
        Text(f"  fleet: {{…, cost_model: {{kind: roofline, overlay: {path.name}}}}}"),
    ]
    return Group(*parts)


def _nothing_told() -> Text:
    return Text("The runs tell none of the coefficients; the overlay changes nothing.", style="yellow")


def _at_the_end(each: Fitted) -> str:
    text = each.coefficient.text
    return (
        f"{each.coefficient.name}: the runs alone would make it {text(each.beyond or 0.0)}, beyond physics by less "
        f"than their uncertainty; it is set to the end of physics, {text(each.value)}, and the others fitted so."
    )


def _table(*headings: str) -> Table:
    table = Table(box=None, padding=(0, 2), pad_edge=False, header_style="bold")
    for number, heading in enumerate(headings):
        table.add_column(heading, justify="right" if number else "left")
    return table


def _coefficients(calibration: Calibration) -> Table:
    table = _table("Coefficient", "before", "after", "80% interval")
    for each in calibration.fit.fitted:
        text = each.coefficient.text
        interval = f"{text(each.low)} – {text(each.high)}"
        table.add_row(
            f"  {each.coefficient.meaning}", text(each.coefficient.default), text(each.value), interval
        )
    return table


def _kept(left: Iterable[tuple[Any, str]]) -> Table:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(min_width=18)
    grid.add_column(no_wrap=True)
    grid.add_column()
    for coefficient, why in left:
        grid.add_row(Text(f"  {coefficient.name}"), coefficient.text(coefficient.default), Text(why))
    return grid


def _errors(calibration: Calibration) -> Table:
    table = _table("Median error", "runs", "before", "after")
    for metric, errors in errors_by_metric(calibration.fit, calibration.targets).items():
        count = sum(target.metric == metric for target in calibration.targets)
        table.add_row(f"  {metric}", str(count), f"{errors.before:.1%}", f"{errors.after:.1%}")
    return table


def _runs(calibration: Calibration) -> Table:
    """Every comparison, so that a bad run shows."""
    table = _table("Run", "metric", "measured", "before", "after")
    fit = calibration.fit
    for target, before, after in zip(calibration.targets, fit.before, fit.after, strict=True):
        name = calibration.runs[target.run].name
        shown = name if len(name) <= 44 else f"…{name[-43:]}"
        measured = figures(target.measured)
        table.add_row(f"  {shown}", target.metric, measured, f"{expm1(before):+.1%}", f"{expm1(after):+.1%}")
    return table


def render_kernels(fitted: Efficiency, path: Path) -> RenderableType:
    """An accelerator fitted to kernel timings, for people. Pure query."""
    table = _table("Kernels", "timings", "median error", "p90", "spread")
    for fit in fitted.fits:
        errors = f"{fit.median_error:.1%}", f"{fit.p90_error:.1%}", f"{fit.log_std:.1%}"
        table.add_row(f"  {fit.what}", str(fit.points), *errors)
    return Group(
        Text(f"{fitted.name}: fitted to kernel timings", style="bold"),
        Text(),
        table,
        Text(),
        *(Text(f"From {source}") for source in fitted.sources),
        Text(),
        Text(f"Written to {path}. In a scenario beside it:"),
        Text(f"  fleet: {{…, cost_model: {{kind: roofline, efficiency: {path.name}}}}}"),
    )
