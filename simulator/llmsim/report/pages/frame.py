"""What pages about several runs have in common as HTML: head, figures, tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from llmsim.report.pages.parts import Estimate, Head, Headline, Metric
from llmsim.report.pages.words import in_words, interval_in_words
from llmsim.report.pieces import about_time, facts_table, figure, notes_list
from llmsim.report.shell import shell

SCRIPTS = (
    "ticks.js",
    "chart.js",
    "lines.js",
    "heat.js",
    "bars.js",
    "points.js",
    "plot.js",
    "numbers.js",
    "times.js",
    "pages.js",
)
TONES = {"good": "met", "bad": "missed", "plain": ""}
Plot = Mapping[str, Any]


def page(
    head: Head,
    table: str,
    plots: Sequence[tuple[str, Sequence[Plot | None]]],
    after: str,
    over_time: Mapping[str, Any] | None = None,
) -> str:
    """A whole page: verdict, notes, assumptions, ``table``, a section for each group of plots, ``after``.

    Args:
        head: Title, verdict, assumptions, notes.
        table: HTML between the assumptions and the plots.
        plots: Heading of a section to its plots; None for one that has nothing to draw.
        after: HTML below the plots.
        over_time: Panels of one run, of :func:`llmsim.report.plots.over_time`, below the plots.
    """
    drawn = [(title, [plot for plot in group if plot is not None]) for title, group in plots]
    sections = "".join(_section(title, group) for title, group in drawn if group)
    how_to = HOW_TO if sections else ""
    assumptions = (
        f'<h2 id="assumptions">Assumptions</h2>{facts_table(head.assumptions)}' if head.assumptions else ""
    )
    times = _over_time(over_time or {})
    parts = (
        _verdict(head.headline),
        notes_list(head.notes),
        assumptions,
        table,
        how_to,
        sections,
        times,
        after,
    )
    return shell(
        title=head.title,
        subtitle=head.subtitle,
        body="".join(parts),
        version=head.version,
        sha256=head.sha256,
        data={"plots": [_data(plot) for _, group in drawn for plot in group], **(over_time or {})},
        scripts=SCRIPTS,
        styles=("page.css", "pages.css"),
    )


HOW_TO = (
    '<p class="soft how-to">Point at a plot, or focus it and use the arrow keys, to read it.</p>'
    "<noscript><p>The plots and their tables need JavaScript; every figure in the table above stands without it."
    "</p></noscript>"
)


def _data(plot: Plot) -> dict[str, Any]:
    """What the script needs: the caption is in the page."""
    return {key: value for key, value in plot.items() if key != "caption"}


def _verdict(headline: Headline) -> str:
    facts = "".join(
        f"<p><b>{escape(label)}</b> {escape(value)}"
        + (f' <span class="source">{escape(source)}</span>' if source else "")
        + "</p>"
        for label, value, source in headline.facts
    )
    return (
        f'<section class="verdict {TONES[headline.tone]}" aria-label="Verdict">'
        f'<p class="word">{escape(headline.word)}</p><p>{escape(headline.sentence)}</p>{facts}</section>'
    )


def _section(title: str, plots: Sequence[Plot]) -> str:
    kinds = {plot["kind"] for plot in plots}
    layout = "three" if len(plots) > 2 and kinds == {"lines"} else "two" if len(plots) > 1 else "one"
    figures = "".join(figure(plot, name=plot["kind"]) for plot in plots)
    return f'<h2>{escape(title)}</h2><div class="panels {layout}">{figures}</div>'


def _over_time(over_time: Mapping[str, Any]) -> str:
    """The panels over time of one run of the winner; '' without any."""
    if not over_time.get("times"):
        return ""
    panels = "".join(figure(panel) for panel in over_time["times"])
    return (
        f'<h2 id="time">The winner over time</h2><p class="about">{escape(about_time(over_time))}</p>'
        f'<div class="panels wide">{panels}</div>'
    )


def estimate_cell(estimate: Estimate, metric: Metric, extra: str = "") -> str:
    """A cell with a value, its interval under it, and what sorts it. ``extra`` is HTML."""
    interval = interval_in_words(estimate, metric.unit)
    under = f"<small>{escape(interval)}</small>" if interval else ""
    key = "" if estimate.value is None else f' data-v="{estimate.value:.6g}"'
    return f"<td{key}>{escape(in_words(estimate.value, metric.unit))}{under}{extra}</td>"


def metric_heads(metrics: Sequence[Metric]) -> str:
    """Column headings, one per metric."""
    return "".join(f'<th scope="col">{escape(metric.name)}</th>' for metric in metrics)


def scrolling(label: str, table: str, *, is_tall: bool = False) -> str:
    """A table that scrolls inside its own box, which keys can reach."""
    tall = " tall" if is_tall else ""
    return f'<div class="scroll{tall}" tabindex="0" role="region" aria-label="{escape(label)}">{table}</div>'
