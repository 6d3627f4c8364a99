"""The page of ``llmsim plan``."""

from __future__ import annotations

from html import escape

from llmsim.report.pages.frame import estimate_cell, metric_heads, page, scrolling
from llmsim.report.pages.lines import curve_plot
from llmsim.report.pages.parts import estimate_of
from llmsim.report.pages.plan_data import Candidate, PlanPage, Pruned
from llmsim.report.pages.scatter import Alternative, scatter_plot
from llmsim.report.pieces import scenario_text

MEETS = {True: "meets all", False: "misses", None: "undecided"}
TONES = {True: "good", False: "bad", None: ""}


def plan_page(data: PlanPage) -> str:
    """The page as HTML; everything in ``data`` is text and numbers, and escaped."""
    alternatives = [Alternative(one.name, one.estimates, one.saturation) for one in data.candidates]
    fronts = [
        scatter_plot(trade_off, data.metrics, alternatives, data.limits, f"front-{index}")
        for index, trade_off in enumerate(data.trade_offs)
    ]
    curves = [curve_plot(curve, f"curve-{index}") for index, curve in enumerate(data.curves)]
    scenarios = "".join(scenario_text(f"Scenario: {one.name}", one.text) for one in data.scenarios)
    plots = [("Trade-offs", fronts), ("Curves", curves)]
    return page(data.head, _table(data) + _pruned(data), plots, scenarios, data.over_time)


def _table(data: PlanPage) -> str:
    rows = "".join(_row(data, rank, one) for rank, one in enumerate(data.candidates, start=1))
    table = (
        '<table class="numbers sortable ranked"><thead><tr><th scope="col">Rank</th><th scope="col">Fleet</th>'
        f'<th scope="col" class="word">Targets</th>{metric_heads(data.metrics)}'
        '<th scope="col" class="word">Bottleneck</th>'
        f'<th scope="col">Runs</th></tr></thead><tbody>{rows}</tbody></table>'
    )
    about = f"Means over replications with their {100 * data.confidence:g}% intervals. A heading sorts by its column."
    num_open = sum(not one.replications for one in data.candidates)
    title = f"Ranked: {len(data.candidates) - num_open:,} simulated" + f", {num_open:,} not" * bool(num_open)
    return f'<h2 id="table">{title}</h2><p class="about">{about}</p>' + scrolling(
        "Ranked fleets", table, is_tall=len(data.candidates) > 15
    )


def _row(data: PlanPage, rank: int, one: Candidate) -> str:
    verdict = f'<b class="{TONES[one.meets]}">{MEETS[one.meets]}</b><small>{escape(one.why)}</small>'
    cells = "".join(estimate_cell(estimate_of(one.estimates, metric), metric) for metric in data.metrics)
    load = (
        f'<small class="bad">{one.saturation}</small>'
        if one.saturation in ("backlogged", "overloaded")
        else ""
    )
    return (
        f'<tr><td>{rank}</td><th scope="row">{escape(one.name)}</th><td class="word">{verdict}</td>{cells}'
        f'<td class="word">{escape(one.bottleneck)}{load}</td><td>{one.replications}</td></tr>'
    )


def _pruned(data: PlanPage) -> str:
    if not data.pruned:
        return ""
    rows = "".join(map(_pruned_row, data.pruned))
    number = sum(each.count for each in data.pruned)
    table = (
        '<table class="facts pruned"><thead><tr><th scope="col">Why</th><th scope="col">How many</th>'
        f'<th scope="col">For instance</th></tr></thead><tbody>{rows}</tbody></table>'
    )
    return f'<h2 id="pruned">Left out before any simulation: {number:,}</h2>{scrolling("Left out", table)}'


def _pruned_row(each: Pruned) -> str:
    source = f' <span class="source">{escape(each.source)}</span>' if each.source else ""
    examples = "".join(f"<li>{escape(example)}</li>" for example in each.examples)
    return (
        f'<tr><th scope="row">{escape(each.reason)}{source}</th><td>{each.count:,}</td>'
        f"<td>{f'<ul>{examples}</ul>' if examples else ''}</td></tr>"
    )
