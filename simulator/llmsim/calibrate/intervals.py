"""What validation says of the model's errors: spreads from residuals, written into ``hardware/intervals.yaml``.

A metric's spread is the one whose 80% interval holds 80% of the runs, every source counting the same:
σ = q80(|ln(predicted / measured)|) / 1.2816. ``python -m llmsim.calibrate.intervals RUNS.csv`` writes them.
"""

from __future__ import annotations

import re
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import log
from pathlib import Path

from llmsim.calibrate.runs import METRICS, read_runs
from llmsim.calibrate.validate import Validated, source_of, validate
from llmsim.cost.intervals import LEVEL, Metric, Z, metric_class
from llmsim.files.catalog import root


@dataclass(frozen=True)
class SpreadFit:
    """The spread of one metric, and what it rests on."""

    spread: float
    runs: int
    values: int
    median: float


def residuals(validated: Iterable[Validated]) -> dict[Metric, list[tuple[str, str, float]]]:
    """(source, run, ln(predicted / measured)) of every value compared, by class of metric. Pure."""
    found: dict[Metric, list[tuple[str, str, float]]] = defaultdict(list)
    for item in validated:
        for column, pair in item.metrics.items():
            error = log(pair.predicted / pair.measured)
            found[metric_class(METRICS[column])].append((source_of(item), item.run.id, error))
    return dict(found)


def fit_spreads(validated: Sequence[Validated]) -> dict[Metric, SpreadFit]:
    """The spread of every metric that ``validated`` has values of. Pure."""
    fits: dict[Metric, SpreadFit] = {}
    for metric, rows in sorted(residuals(validated).items()):  # a metric before its tail
        counts = Counter(source for source, _, _ in rows)
        weights = [1 / counts[source] for source, _, _ in rows]
        sizes = [abs(error) for _, _, error in rows]
        spread = weighted_quantile(sizes, weights, LEVEL) / Z
        centre = next((fit.spread for other, fit in fits.items() if metric == f"{other}_tail"), 0.0)
        fits[metric] = SpreadFit(
            max(round(spread, 3), centre),  # a tail is no surer than the mean, however few values say so
            len({run for _, run, _ in rows}),
            len(rows),
            round(weighted_quantile([error for _, _, error in rows], weights, 0.5), 3),
        )
    return fits


def weighted_quantile(values: Sequence[float], weights: Sequence[float], share: float) -> float:
    """The smallest of ``values`` that at least ``share`` of the weight does not exceed. Pure."""
    ordered = sorted(zip(values, weights, strict=True))
    wanted, have = share * sum(weights), 0.0
    for value, weight in ordered:
        have += weight
        if have >= wanted * (1 - 1e-12):
            return value
    return ordered[-1][0]


def with_spreads(text: str, fits: dict[Metric, SpreadFit]) -> str:
    """The file's text with the fitted rows of ``validation`` in place of those it has. Pure."""
    for metric, fit in fits.items():
        row = f"{{spread: {fit.spread:g}, runs: {fit.runs}, values: {fit.values}, median: {fit.median + 0.0:g}}}"
        text = re.sub(
            rf"^  {metric}: \{{spread: .*$", f"  {metric}: {row}", text, count=1, flags=re.MULTILINE
        )
    return text


def main(path: Path) -> None:
    """Validate ``path`` and write what its residuals say."""
    fits = fit_spreads(validate(read_runs(path)))
    file = root() / "hardware" / "intervals.yaml"
    file.write_text(with_spreads(file.read_text("utf-8"), fits), "utf-8")
    for metric, fit in fits.items():
        sys.stdout.write(f"{metric}: {fit}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
