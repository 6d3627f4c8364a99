"""The page of ``llmsim compare``."""

from __future__ import annotations

from html import escape

from llmsim.report.pages.compare_data import ComparedSetting, ComparePage, Difference
from llmsim.report.pages.frame import estimate_cell, page, scrolling
from llmsim.report.pages.lines import cdf_plot, curve_plot
from llmsim.report.pages.parts import Metric, estimate_of
from llmsim.report.pages.scatter import differences_plot
from llmsim.report.pages.words import difference_in_words, relative_in_words
from llmsim.report.pieces import scenario_text
from llmsim.report.plots import ABOUT

LATENCIES = tuple(ABOUT)


def compare_page(data: ComparePage) -> str:
    """The page as HTML; everything in ``data`` is text and numbers, and escaped."""
    cdfs = [
        cdf_plot(
            metric,
            {
                setting.name: setting.quantiles[metric]
                for setting in data.settings
                if metric in setting.quantiles
            },
            data.levels,
            data.limits_ms.get(metric),
            f"cdf-{metric.removesuffix('_ms')}",
        )
        for metric in LATENCIES
    ]
    curves = [curve_plot(curve, f"curve-{index}") for index, curve in enumerate(data.curves)]
    differences = differences_plot(data.settings, data.metrics, data.confidence, "differences")
    scenarios = "".join(
        scenario_text(f"Scenario of {setting.name}, fully resolved", setting.scenario)
        for setting in data.settings
        if setting.scenario
    )
    plots = [("Differences", [differences]), ("Latency distributions", cdfs), ("Latency by rate", curves)]
    return page(data.head, _table(data), plots, scenarios)


def _table(data: ComparePage) -> str:
    heads = "".join(
        f'<th scope="col">{escape(setting.name)}{_flag(setting)}</th>' for setting in data.settings
    )
    rows = "".join(_row(data, metric) for metric in data.metrics)
    about = (
        f"Mean over {data.replications} replications with its {100 * data.confidence:g}% interval; under it the "
        f"difference to {data.settings[0].name}, paired by seed."
        if data.replications > 1
        else f"One run each, so no intervals; under each figure the difference to {data.settings[0].name}."
    )
    table = (
        f'<table class="numbers compared"><thead><tr><th scope="col">Metric</th>{heads}</tr></thead>'
        f"<tbody>{rows}</tbody></table>"
    )
    return f'<h2 id="table">Every metric</h2><p class="about">{escape(about)}</p>{scrolling("Every metric", table)}'


def _flag(setting: ComparedSetting) -> str:
    """That a setting did not keep up, in words."""
    text = setting.saturation_note or ("" if setting.saturation in (None, "stable") else setting.saturation)
    return f'<small class="bad">{escape(text)}</small>' if text else ""


def _row(data: ComparePage, metric: Metric) -> str:
    cells = "".join(
        estimate_cell(
            estimate_of(setting.estimates, metric),
            metric,
            _difference(setting.differences.get(metric.key), metric),
        )
        for setting in data.settings
    )
    return f'<tr><th scope="row">{escape(metric.name)}</th>{cells}</tr>'


def _difference(difference: Difference | None, metric: Metric) -> str:
    if difference is None or difference.absolute.value is None:
        return ""
    shown = difference.relative.value is not None
    text = (
        relative_in_words(difference.relative)
        if shown
        else difference_in_words(difference.absolute, metric.unit)
    )
    word = f' <b class="{difference.tone}">{escape(difference.word)}</b>' if difference.word else ""
    return f"<small>{escape(text)}{word}</small>"
