"""``report.html`` of a limit: the answer, and every load that was tried."""

from __future__ import annotations

from dataclasses import replace

from llmsim.planning.axes import Axis
from llmsim.planning.limit.answer import Limit
from llmsim.report import pages
from llmsim.report.facts import Fact
from llmsim.report.limit import facts_of, notes, verdict
from llmsim.report.sweep_page import Answer, sweep_html


def limit_html(limit: Limit) -> str:
    """The page: verdict, notes, assumptions, loads with their intervals, curves with the targets."""
    sentence = verdict(limit)
    headline = pages.Headline(
        "Limit",
        sentence[:1].upper() + sentence[1:],
        "good" if limit.holds else "bad",
        tuple(Fact(label, value) for label, value in facts_of(limit)),
    )
    loads = Axis(limit.dial.key, tuple(probe.value for probe in limit.tried))
    outcomes = [
        replace(outcome, settings={limit.dial.key: probe.value})  # longer runs are no axis of their own
        for probe in limit.tried
        for outcome in probe.outcomes
    ]
    at = limit.at.value if limit.at else None
    mark = pages.Mark(float(at), "limit") if isinstance(at, int | float) else None
    return sweep_html(limit.given, [loads], outcomes, Answer(headline, tuple(notes(limit)), mark))
