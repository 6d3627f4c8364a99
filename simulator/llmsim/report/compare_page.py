"""What the page of a comparison is filled with."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

import llmsim
from llmsim.files.scenario_text import resolved_yaml
from llmsim.measure.batches import LEVEL
from llmsim.measure.quantiles import LEVELS
from llmsim.measure.slo import REQUEST_METRICS
from llmsim.measure.student import Interval
from llmsim.planning.compare import Compared, Comparison
from llmsim.planning.differences import Difference
from llmsim.planning.replicate import HEADLINES
from llmsim.report import pages
from llmsim.report.assumptions import base_assumptions
from llmsim.report.compare_words import headline, notes, reading, verdicts, worst
from llmsim.report.facts import Fact
from llmsim.report.pages.parts import Tone

GOOD: Tone = "good"
BAD: Tone = "bad"
PLAIN: Tone = "plain"
DRAWN = ("p99_ttft_ms", "p99_tpot_ms", "p99_e2el_ms")
"""Metrics drawn against the rate."""


def compare_html(comparison: Comparison) -> str:
    """``report.html`` of a comparison."""
    baseline = comparison.compared[0]
    slo = baseline.contender.loaded.scenario.slo
    limits = {metric: getattr(slo, metric) for metric in REQUEST_METRICS if getattr(slo, metric) is not None}
    known = {field for each in comparison.compared for field in each.found.estimates}
    return pages.compare_page(
        pages.ComparePage(
            head=_head(comparison),
            metrics=tuple(pages.METRICS[field] for field in HEADLINES if field in known),
            settings=tuple(_setting(each, each is baseline) for each in comparison.compared),
            levels=LEVELS[1:],
            limits_ms=limits,
            curves=tuple(_curve(comparison, field, limits) for field in DRAWN if _has_curves(comparison)),
            replications=len(baseline.outcomes),
            confidence=LEVEL,
        )
    )


def _head(comparison: Comparison) -> pages.Head:
    baseline, *others = comparison.compared
    loaded = baseline.contender.loaded
    said = [sentence.strip().partition(": ") for sentence in verdicts(comparison)]
    shown = any(difference.word for each in others for difference in each.differences.values())
    scenario = loaded.scenario
    first, last = baseline.outcomes[0].seed, baseline.outcomes[-1].seed
    return pages.Head(
        title=scenario.name,
        subtitle=f"{headline(comparison)}; seeds {first} to {last}",
        headline=pages.Headline(
            "Differences shown" if shown else "No difference shown",
            f"{headline(comparison)}: only differences whose interval excludes zero are named.",
            facts=tuple(Fact(name, verdict) for name, _, verdict in said),
        ),
        assumptions=(
            Fact("Intervals", " ".join(reading(comparison))),
            Fact("Baseline", baseline.contender.name, "the lines below are about it"),
            *base_assumptions(loaded),
            Fact(
                "Curves",
                f"distributions: quantiles averaged over seeds; other rates: one run each, seed {first}",
            ),
        ),
        notes=tuple(notes(comparison)),
        version=llmsim.__version__,
    )


def _setting(each: Compared, is_baseline: bool) -> pages.ComparedSetting:
    loaded = each.contender.loaded
    return pages.ComparedSetting(
        name=each.contender.name,
        estimates={
            field: pages.Estimate(found.mean, *(found.ends or (None, None)))
            for field, found in each.found.estimates.items()
        },
        differences={}
        if is_baseline
        else {field: _difference(found) for field, found in each.differences.items()},
        quantiles=_quantiles(each),
        saturation=worst(each),
        saturation_note=_overloaded(each),
        scenario=resolved_yaml(loaded.scenario),
    )


def _ends(interval: Interval | None) -> tuple[float | None, float | None]:
    return (interval.low, interval.high) if interval else (None, None)


def _difference(found: Difference) -> pages.Difference:
    relative = found.relative
    better = pages.METRICS[found.field].better
    if better is None or not found.word:
        tone, word = PLAIN, found.word
    else:
        tone, word = (GOOD, "better") if found.word == better else (BAD, "worse")
    return pages.Difference(
        absolute=pages.Estimate(found.change, *_ends(found.interval)),
        relative=pages.Estimate(relative.middle, *_ends(relative)) if relative else pages.Estimate(None),
        word=word,
        tone=tone,
    )


def _quantiles(each: Compared) -> dict[str, list[float]]:
    """The mean over seeds of each quantile; of the seeds that kept up, where some did not."""
    if not each.found.groups:
        return {}
    seeds = each.found.groups[0].seeds
    curves = [outcome.curves for outcome in each.outcomes if outcome.seed in seeds and outcome.curves]
    return {
        metric: np.mean([curve[metric] for curve in curves], axis=0)[1:].tolist()
        for metric in REQUEST_METRICS
        if curves and all(curve[metric] for curve in curves)
    }


def _overloaded(each: Compared) -> str:
    over = sum(len(group.seeds) for group in each.found.groups if group.overloaded)
    return f"{over} of {len(each.found.seeds)} replications overloaded" if over else ""


def _has_curves(comparison: Comparison) -> bool:
    return any(each.curve for each in comparison.compared)


def _curve(comparison: Comparison, field: str, limits: Mapping[str, float]) -> pages.Curve:
    """One metric against the offered rate; a run that failed, or has no such figure, is left out."""
    return pages.Curve(
        metric=pages.METRICS[field],
        x_name="offered rate",
        x_unit="requests/s",
        series=tuple(
            pages.CurveSeries(
                each.contender.name,
                tuple(
                    pages.CurvePoint(
                        point.request_rate, pages.Estimate(summary[field]), summary["saturation"]
                    )
                    for point in each.curve
                    if (summary := point.outcome.summary) and summary[field] is not None
                ),
            )
            for each in comparison.compared
            if each.curve
        ),
        limit=limits.get(field.partition("_")[2]) if field.startswith("p99") else None,
        has_knee=True,
    )
