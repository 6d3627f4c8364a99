"""What a sweep's directory holds beside its store."""

from __future__ import annotations

from collections.abc import Sequence

from llmsim.files.scenario_file import LoadedScenario
from llmsim.files.scenario_text import resolved_yaml
from llmsim.planning.axes import Axis
from llmsim.planning.outcome import Outcome
from llmsim.report.sweep import point_columns, sweep_json
from llmsim.report.sweep_page import sweep_html
from llmsim.report.whole_files import Fill, as_json, table, text


def sweep_files(loaded: LoadedScenario, axes: Sequence[Axis], outcomes: Sequence[Outcome]) -> dict[str, Fill]:
    """Name to content: the runs as a list and as a table, the scenario before it is varied, and the page."""
    return {
        "sweep.json": text(as_json(sweep_json(outcomes))),
        **table("points", point_columns(outcomes)),
        "scenario.yaml": text(resolved_yaml(loaded.scenario)),
        "report.html": text(sweep_html(loaded, axes, outcomes)),
    }
