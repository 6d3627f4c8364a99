"""The page on how far predictions are off (`docs/fidelity.md`), as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from llmsim.calibrate.kernels import KernelRow
from llmsim.calibrate.validate import SATURATED, Comparison, Validated
from llmsim.calibrate.validate_summary import (
    HEADLINES,
    ErrorStats,
    by_group,
    by_metric,
    coverage,
    headlines,
    over_sources,
)
from llmsim.report.validate import TITLES

AIMS = {"tpot_itl": 0.04, "throughput": 0.04, "e2e": 0.05, "ttft_below_saturation": 0.12}
"""Largest median error aimed for on the published runs."""

AIM_P90 = 0.25
"""Largest 90th percentile of the errors of a headline."""

AIM_HELD_BACK, AIM_LEFT_OUT = 0.08, 0.12
"""The same for kernels: of shapes held back from the fit, and of an accelerator left out."""

GROUPS = {"gpu": "accelerator", "model": "model", "engine": "engine generation", "regime": "regime"}
NUM_WORST = 5


def table(headings: Sequence[str], rows: Iterable[Sequence[str]], *, words: int = 1) -> list[str]:
    """A Markdown table; the first ``words`` columns to the left, the others, of numbers, to the right. Pure."""
    lines = [f"| {' | '.join(headings)} |", f"|{'---|' * words}{'---:|' * (len(headings) - words)}"]
    return [*lines, *(f"| {' | '.join(row)} |" for row in rows)]


def _cells(stats: ErrorStats) -> list[str]:
    return [str(stats.n), f"{stats.median:.1%}", f"{stats.mean:.1%}", f"{stats.p90:.1%}"]


def overall(runs: Sequence[Validated]) -> list[str]:
    """Each headline over all runs, against what is aimed for, then every metric."""
    stats, sources = headlines(runs), over_sources(runs)
    rows = [
        [TITLES[name], *_cells(of), f"{sources[name].median:.1%} of {sources[name].n}", *_verdicts(name, of)]
        for name, of in stats.items()
    ]
    headings = (
        "Headline", "values", "median", "mean", "p90", "median over sources", "aim for the median", "for the p90",
    )  # fmt: skip
    every = [[f"`{name}`", *_cells(of)] for name, of in by_metric(runs).items()]
    return [*table(headings, rows), "", *table(("Metric", "runs", "median", "mean", "p90"), every)]


def _verdicts(name: str, stats: ErrorStats) -> list[str]:
    pairs = ((stats.median, AIMS[name]), (stats.p90, AIM_P90))
    return [f"{aim:.0%}: {'met' if value <= aim else 'missed'}" for value, aim in pairs]


def of_group(groups: Mapping[str, Mapping[str, ErrorStats]], name: str) -> list[str]:
    """Median and p90 of every headline for each value of a group."""
    rows = [[value, *(_pair(stats.get(each)) for each in TITLES)] for value, stats in groups.items()]
    return table([name.capitalize(), *TITLES.values()], rows)


def _pair(stats: ErrorStats | None) -> str:
    return "–" if stats is None else f"{stats.median:.1%} / {stats.p90:.1%} ({stats.n})"


def worst(runs: Sequence[Validated]) -> list[str]:
    """The runs furthest off in each headline, each with the metric that is."""
    rows = [
        [
            TITLES[name], f"`{run}`", f"`{metric}`",
            f"{pair.measured:,.4g}", f"{pair.predicted:,.4g}", f"{pair.error:+.0%}",
        ]
        for name in HEADLINES
        for _, run, metric, pair in sorted(_misses(runs, name), key=lambda miss: miss[:2])[:NUM_WORST]
    ]  # fmt: skip
    return table(("Headline", "run", "metric", "measured", "predicted", "error"), rows, words=3)


def _misses(runs: Iterable[Validated], headline: str) -> Iterator[tuple[float, str, str, Comparison]]:
    """(order, run, metric, comparison) of each run's value that is furthest off of those of a headline."""
    for item in runs:
        is_queueing = headline == "ttft_below_saturation" and item.groups.get("regime") in SATURATED
        found = [column for column in HEADLINES[headline] if column in item.metrics and not is_queueing]
        if found:
            furthest = max(found, key=lambda column: abs(item.metrics[column].error))
            pair = item.metrics[furthest]
            yield -abs(pair.error), item.run.id, furthest, pair


def not_simulated(runs: Iterable[Validated]) -> list[str]:
    """Runs that could not be simulated, each with its reason."""
    rows = [[f"`{run.run.id}`", run.reason] for run in runs if run.status != "simulated"]
    return table(("Run", "why"), rows, words=2) if rows else ["Every run was simulated."]


def held(runs: Sequence[Validated]) -> list[str]:
    """How many of the 80% intervals hold the measurement."""
    shares = coverage(runs)
    rows = [[name if name == "all" else f"`{name}`", f"{share:.0%}"] for name, share in shares.items()]
    return table(("Metric", "held by its 80% interval"), rows)


def held_back(rows: Iterable[KernelRow]) -> list[str]:
    """Kernel families by accelerator: in sample, and on shapes that were kept from the fit."""
    own = [row for row in rows if row.kind == "held back"]
    cells = [
        [
            row.accelerator,
            row.family,
            row.dtype,
            f"{row.fitted_median or 0:.1%} / {row.fitted_p90 or 0:.1%}",
            str(row.points),
            f"{row.median:.1%} / {row.p90:.1%}",
        ]
        for row in own
    ]
    headings = ("Accelerator", "family", "format or GPUs", "fitted to", "timings held back", "held back")
    return [*table(headings, cells, words=3), "", _beyond(own, AIM_HELD_BACK)]


def left_out(rows: Iterable[KernelRow]) -> list[str]:
    """Kernel families of accelerators that none of the curves saw."""
    own = [row for row in rows if row.kind == "left out"]
    return [*_strangers("Left out", own), "", _beyond(own, AIM_LEFT_OUT)]


def by_others(rows: Iterable[KernelRow]) -> list[str]:
    """Timings of other publishers, which no curve was fitted to."""
    return _strangers("Accelerator", [row for row in rows if row.kind == "other source"])


def _strangers(heading: str, rows: Iterable[KernelRow]) -> list[str]:
    """Families of kernels that the curves were not fitted to."""
    cells = [
        [
            row.accelerator,
            row.fitted_to,
            row.family,
            row.dtype,
            str(row.points),
            f"{row.median:.1%} / {row.p90:.1%}",
            f"{np.expm1(row.bias):+.1%}",
        ]
        for row in rows
    ]
    headings = (heading, "fitted to", "family", "format or GPUs", "timings", "error", "mean, signed")
    return table(headings, cells, words=4)


def _beyond(rows: Sequence[KernelRow], aim: float) -> str:
    """How many medians are within what is aimed for, and which are not."""
    misses = [
        f"{row.accelerator} {row.family} {row.dtype} ({row.median:.0%})" for row in rows if row.median > aim
    ]
    text = f"{len(rows) - len(misses)} of {len(rows)} medians are within the {aim:.0%} aimed for"
    return f"{text}; beyond are {', '.join(misses)}." if misses else f"{text}."


def page(runs: Sequence[Validated], kernels: Sequence[KernelRow], words: Mapping[str, str]) -> str:
    """The whole page.

    Args:
        runs: Validated runs.
        kernels: Errors of the kernel fits.
        words: Text under ``head``, ``runs``, ``intervals``, ``kernels``, ``left out``, ``by others``,
            ``not modelled``, ``rerun``.
    """
    simulated = [run for run in runs if run.status == "simulated"]
    count = f"{len(simulated)} of {len(runs)} runs were simulated.\n"
    parts = ["# How far off it is", words["head"]]
    parts += ["## Server runs", f"{count}{words['runs']}", "\n".join(overall(simulated))]
    for group, stats in by_group(simulated).items():
        name = GROUPS[group]
        parts += [f"### By {name}", "Median / p90 (values).", "\n".join(of_group(stats, name))]
    parts += ["### The worst", "\n".join(worst(simulated))]
    parts += ["### Not simulated", "\n".join(not_simulated(runs))]
    parts += ["### Intervals", words["intervals"], "\n".join(held(simulated))]
    parts += ["## Kernels", words["kernels"], "\n".join(held_back(kernels))]
    parts += ["## An accelerator left out", words["left out"], "\n".join(left_out(kernels))]
    parts += ["## Timings by others", words["by others"], "\n".join(by_others(kernels))]
    parts += ["## What is not modelled", words["not modelled"], "## How to rerun it", words["rerun"]]
    return "\n\n".join(parts) + "\n"
