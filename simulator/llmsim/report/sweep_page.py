"""``report.html`` of a sweep."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import llmsim
from llmsim.files.scenario_file import LoadedScenario
from llmsim.files.scenario_text import resolved_yaml, scenario_sha256
from llmsim.measure.slo import REQUEST_METRICS, has_targets, targets_missed
from llmsim.planning.axes import Axis
from llmsim.planning.outcome import Outcome
from llmsim.planning.pareto import rates
from llmsim.planning.replicate import estimate
from llmsim.planning.settings_text import in_words, value_text
from llmsim.planning.sweep import Swept, by_setting
from llmsim.report import pages
from llmsim.report.assumptions import base_assumptions
from llmsim.report.facts import Fact
from llmsim.report.format import dollars
from llmsim.report.pages.parts import Saturation
from llmsim.report.sweep import notes
from llmsim.spec.targets import Slo

SHOWN = (
    "mean_ttft_ms", "p99_ttft_ms", "mean_tpot_ms", "p99_tpot_ms", "p99_e2el_ms", "slo_attainment",
    "request_throughput", "output_throughput", "usd_per_million_output_tokens", "tokens_per_s_per_gpu",
    "tokens_per_s_per_user",
)  # fmt: skip
"""Columns of the table, where anything has a value for them."""
DRAWN = ("mean_ttft_ms", "p99_ttft_ms", "mean_tpot_ms", "p99_tpot_ms", "slo_attainment", "output_throughput")
FRONTS = (
    ("usd_per_million_output_tokens", "slo_attainment"),
    ("tokens_per_s_per_user", "tokens_per_s_per_gpu"),
)
RATES = ("usd_per_hour", "tokens_per_s_per_gpu", "tokens_per_s_per_user")
"""Figures of a point that are no fields of a summary."""
AS_WRITTEN = {"scenario": "as written"}
"""The one setting of a sweep over seeds alone."""
WORST: tuple[Saturation, ...] = ("overloaded", "backlogged", "stable")


@dataclass(frozen=True)
class Answer:
    """What a page says beyond the points of its sweep, where they were run to answer a question.

    Attributes:
        headline: The verdict; how many settings meet the targets unless given.
        notes: Those that come first.
        mark: Where the answer lies on the curves.
        fronts: Pairs of figures to draw against each other.
    """

    headline: pages.Headline | None = None
    notes: Sequence[str] = ()
    mark: pages.Mark | None = None
    fronts: Sequence[tuple[str, str]] = FRONTS


NO_ANSWER = Answer()


def sweep_html(
    loaded: LoadedScenario, axes: Sequence[Axis], outcomes: Sequence[Outcome], answer: Answer = NO_ANSWER
) -> str:
    """The page: what kept up and what it cost, every point, curves, a heat map and fronts.

    Args:
        loaded: The scenario before anything is varied.
        axes: What was varied over listed values.
        outcomes: Every run, those of one setting one after the other.
        answer: What the points answer.
    """
    swept = [each if each.settings else replace(each, settings=AS_WRITTEN) for each in by_setting(outcomes)]
    slo = loaded.scenario.slo
    points = tuple(_point(each) for each in swept)
    known = {key for point in points for key in point.estimates}
    shown = dict.fromkeys([*SHOWN, *(key for front in answer.fronts for key in front)])
    metrics = tuple(pages.METRICS[key] for key in shown if key in known)
    keys = dict.fromkeys(key for each in swept for key in each.settings)
    return pages.sweep_page(
        pages.SweepPage(
            head=_head(loaded, swept, outcomes, answer),
            axes=tuple(_axis(key, axes, swept) for key in keys),
            metrics=metrics,
            points=points,
            limits=_limits(slo),
            curve_metrics=DRAWN,
            trade_offs=tuple(
                pages.TradeOff(x, y) for x, y in answer.fronts if {x, y} <= known and len(points) > 1
            ),
            mark=answer.mark,
            scenario=resolved_yaml(loaded.scenario),
        )
    )


def _head(
    loaded: LoadedScenario, swept: Sequence[Swept], outcomes: Sequence[Outcome], answer: Answer
) -> pages.Head:
    varied = ", ".join(dict.fromkeys(key for each in swept for key in each.settings))
    seeds = sorted({outcome.seed for outcome in outcomes})
    over = f"seeds {seeds[0]} to {seeds[-1]}" if len(seeds) > 1 else f"seed {seeds[0]}"
    return pages.Head(
        title=loaded.scenario.name,
        subtitle=f"{len(swept):,} settings of {varied}; {over}",
        headline=answer.headline or _headline(loaded.scenario.slo, swept),
        assumptions=(Fact("Varied", varied), *base_assumptions(loaded)),
        notes=(*answer.notes, *(note.removeprefix("Note: ") for note in notes(outcomes))),
        version=llmsim.__version__,
        sha256=scenario_sha256(loaded.scenario),
    )


def _headline(slo: Slo, swept: Sequence[Swept]) -> pages.Headline:
    """How many settings kept up and met their targets, and which of those is the cheapest."""
    failed = sum(not each.together.groups for each in swept)
    overloaded = sum(each.together.overloaded for each in swept)
    said = f"Of {len(swept):,} settings {overloaded:,} are overloaded"
    said += f" and {failed:,} could not be run." if failed else "."
    if not has_targets(slo):
        return pages.Headline(f"{len(swept):,} settings", f"{said} The scenario sets no latency target.")
    meeting = [each for each in swept if _meets(each, slo)]
    word = f"{len(meeting):,} of {len(swept):,} meet the targets"
    priced = [each for each in meeting if "usd_per_million_output_tokens" in each.together.estimates]
    if not priced:
        return pages.Headline(word, said, "good" if meeting else "bad")
    best = min(priced, key=lambda each: each.together.estimates["usd_per_million_output_tokens"].mean)
    cost = dollars(best.together.estimates["usd_per_million_output_tokens"].mean)
    cheapest = Fact("Cheapest of them", f"{in_words(best.settings)}: {cost} per million output tokens")
    return pages.Headline(word, said, "good", (cheapest,))


def _meets(each: Swept, slo: Slo) -> bool:
    """Whether every seed met every target and kept up."""
    summaries = [outcome.summary for outcome in each.outcomes]
    return not each.together.overloaded and all(
        summary is not None and not targets_missed(summary, slo) for summary in summaries
    )


def _axis(key: str, axes: Sequence[Axis], swept: Sequence[Swept]) -> pages.SweepAxis:
    """A key and its values, as the axis lists them, or in the order of the settings that have them."""
    listed = next((axis.values for axis in axes if axis.key == key), None)
    values = listed or [each.settings[key] for each in swept if key in each.settings]
    return pages.SweepAxis(key, tuple(dict.fromkeys(_plain(value) for value in values)))


def _plain(value: Any) -> float | int | str | bool | None:
    return value if isinstance(value, float | int | str | bool) or value is None else value_text(value)


def _point(each: Swept) -> pages.SweepPoint:
    problems = dict.fromkeys(outcome.problem for outcome in each.outcomes if outcome.problem)
    words = {outcome.summary["saturation"] for outcome in each.outcomes if outcome.summary}
    return pages.SweepPoint(
        settings={key: _plain(value) for key, value in each.settings.items()},
        estimates=_estimates(each),
        replications=len(each.together.seeds),
        saturation=next((word for word in WORST if word in words), None),
        problem=" ".join(problems),
    )


def _estimates(each: Swept) -> dict[str, pages.Estimate]:
    """Of every summary field, and of :data:`RATES`; nothing for mixed seeds."""
    if len(each.together.groups) != 1:
        return {}
    found = dict(each.together.estimates)
    runs = [rates(outcome.summary) for outcome in each.outcomes if outcome.summary]
    for key in RATES:
        values = [run[key] for run in runs if run[key] is not None]
        if runs and len(values) == len(runs):
            found[key] = estimate(key, [float(value) for value in values if value is not None])
    return {key: pages.Estimate(one.mean, *(one.ends or (None, None))) for key, one in found.items()}


def _limits(slo: Slo) -> dict[str, float]:
    """Targets as lines in plots: of a latency at its percentile, of attainment."""
    found = {f"p99_{metric}": getattr(slo, metric) for metric in REQUEST_METRICS}
    limits = {key: float(limit) for key, limit in found.items() if limit is not None}
    return limits | ({"slo_attainment": slo.percentile} if limits else {})
