"""Pages about several runs: fill a dataclass of plain numbers, get one HTML file that loads nothing.

``compare_page(ComparePage(…))``, ``sweep_page(SweepPage(…))`` and ``plan_page(PlanPage(…))``; what the
three share is in :mod:`llmsim.report.pages.parts`.
"""

from llmsim.report.pages.compare import compare_page
from llmsim.report.pages.compare_data import ComparedSetting, ComparePage, Difference
from llmsim.report.pages.metrics import METRICS
from llmsim.report.pages.parts import (
    Curve,
    CurvePoint,
    CurveSeries,
    Estimate,
    Head,
    Headline,
    Mark,
    Metric,
    Setting,
    TradeOff,
)
from llmsim.report.pages.plan import plan_page
from llmsim.report.pages.plan_data import Candidate, PlanPage, Pruned
from llmsim.report.pages.sweep import sweep_page
from llmsim.report.pages.sweep_data import SweepAxis, SweepPage, SweepPoint

__all__ = [
    "METRICS", "Candidate", "ComparePage", "ComparedSetting", "Curve", "CurvePoint", "CurveSeries", "Difference",
    "Estimate", "Head", "Headline", "Mark", "Metric", "PlanPage", "Pruned", "Setting", "SweepAxis", "SweepPage",
    "SweepPoint", "TradeOff", "compare_page", "plan_page", "sweep_page",
]  # fmt: skip
