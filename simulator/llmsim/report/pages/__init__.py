"""Pages about several runs: fill a dataclass of plain numbers, get one HTML file that loads nothing.

``compare_page(ComparePage(…))``, ``sweep_page(SweepPage(…))`` and ``plan_page(PlanPage(…))``; what the
three share is in :mod:`llmsim.report.pages.parts`.
"""
