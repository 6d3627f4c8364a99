"""``report.html`` of a limit: the answer, and every load that was tried."""

from __future__ import annotations

from llmsim.planning.axes import Axis
from llmsim.planning.limit.answer import Limit
from llmsim.report import pages
from llmsim.report.facts import Fact
from llmsim.report.limit import facts_of, notes, verdict
from llmsim.report.sweep_page import sweep_html


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
    outcomes = [outcome for probe in limit.tried for outcome in probe.outcomes]
    return sweep_html(limit.given, [loads], outcomes, headline, tuple(notes(limit)))
