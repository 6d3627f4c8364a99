"""The page ``llmsim validate`` prints: one line per run, then the errors over all of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from llmsim.calibrate.validate import Comparison, Validated
from llmsim.calibrate.validate_summary import (
    ErrorStats,
    by_group,
    by_metric,
    coverage,
    headlines,
    over_sources,
)
from llmsim.report.format import figures

TITLES = {
    "tpot_itl": "TPOT or ITL",
    "throughput": "throughput",
    "e2e": "end to end",
    "ttft_below_saturation": "TTFT below saturation",
}

MOST_ASSUMED = 12
"""Assumptions that are listed, those of most runs first; ``--json`` has all of them, run by run."""

SHOWN = (
    ("TTFT, ms", ("ttft_ms_mean", "ttft_ms_unspecified", "ttft_ms_p50")),
    ("TPOT, ms", ("tpot_ms_mean", "tpot_ms_unspecified", "itl_ms_mean", "tpot_ms_p50")),
    ("E2E, ms", ("e2e_ms_mean", "e2e_ms_p50")),
    ("tokens/s", ("output_tokens_per_s", "total_tokens_per_s", "requests_per_s")),
)
"""Columns of the table of runs, and the metrics of which each shows the first one given."""


def render(validated: Sequence[Validated]) -> RenderableType:
    """The whole report."""
    missing = [item for item in validated if item.status != "simulated"]
    if len(missing) == len(validated):
        return Group(Text(f"0 of {len(validated)} runs simulated"), *_named(missing))
    parts: list[RenderableType] = [_runs(validated), Text()]
    parts += [Text("Absolute error by metric", style="bold"), _stats(by_metric(validated)), Text()]
    parts += [Text("Headlines, over all values", style="bold"), _stats(_titled(headlines(validated))), Text()]
    parts += [
        Text("Headlines, over the sources' medians", style="bold"),
        _stats(_titled(over_sources(validated))),
        Text(),
    ]
    for kind, groups in by_group(validated).items():
        parts += [Text(f"Median absolute error by {kind}", style="bold"), _groups(groups), Text()]
    held = coverage(validated)
    if held:
        parts.append(Text(f"80% intervals hold {held['all']:.0%} of the measured values"))
    parts += [Text(f"{len(validated) - len(missing)} of {len(validated)} runs simulated")]
    assumed = Counter(text for item in validated for text in item.assumed)
    parts += [
        Text(f"assumed in {count} of them: {text}") for text, count in assumed.most_common(MOST_ASSUMED)
    ]
    return Group(*parts, *_named(missing))


def _named(missing: Sequence[Validated]) -> list[Text]:
    """What was not simulated, and why."""
    return [Text(f"{item.status}: {item.run.id}: {item.reason}", style="yellow") for item in missing]


def _titled(stats: Mapping[str, ErrorStats]) -> dict[str, ErrorStats]:
    return {TITLES[name]: of for name, of in stats.items()}


def _table(first: str, headings: Sequence[str]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    table.add_column(first)
    for heading in headings:
        table.add_column(heading, justify="right")
    return table


def _runs(validated: Sequence[Validated]) -> Table:
    """Predicted, measured and error of the central values of each run."""
    table = _table("run (predicted / measured, error)", [heading for heading, _ in SHOWN])
    for item in validated:
        pairs = [_first(item.metrics, columns) for _, columns in SHOWN]
        if item.status == "simulated":
            table.add_row(Text(item.run.id, overflow="fold"), *(_cell(pair) for pair in pairs))
        else:
            table.add_row(Text(item.run.id, style="yellow", overflow="fold"), *[""] * (len(SHOWN) - 1), "no")
    return table


def _first(metrics: Mapping[str, Comparison], columns: Sequence[str]) -> Comparison | None:
    return next((metrics[column] for column in columns if column in metrics), None)


def _cell(pair: Comparison | None) -> str:
    if pair is None:
        return ""
    return f"{figures(pair.predicted)} / {figures(pair.measured)}  {pair.error:+.0%}"


def _stats(stats: Mapping[str, ErrorStats]) -> Table:
    table = _table("", ("n", "median", "mean", "P90"))
    for name, of in stats.items():
        table.add_row(f"  {name}", str(of.n), f"{of.median:.1%}", f"{of.mean:.1%}", f"{of.p90:.1%}")
    return table


def _groups(groups: Mapping[str, Mapping[str, ErrorStats]]) -> Table:
    table = _table("", tuple(TITLES.values()))
    for name, stats in groups.items():
        cells = [f"{stats[key].median:.1%} ({stats[key].n})" if key in stats else "" for key in TITLES]
        table.add_row(f"  {name}", *cells)
    return table
