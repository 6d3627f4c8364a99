"""What many runs answer, for those who ask from Python: a comparison, a sweep, a plan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from html import escape
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console, RenderableType

from llmsim.files.scenario_file import LoadedScenario
from llmsim.planning.compare import Comparison
from llmsim.planning.fleet_answer import FleetAnswer
from llmsim.planning.grid import Grid
from llmsim.planning.outcome import Outcome
from llmsim.planning.sweep import by_setting
from llmsim.report.compare import compare_text
from llmsim.report.compare_files import compare_files
from llmsim.report.compare_words import verdicts
from llmsim.report.plan import fleet_files, fleet_json, fleet_table
from llmsim.report.plan_words import cost_of, settings_of
from llmsim.report.sweep import failures, point_columns, sweep_table
from llmsim.report.sweep_files import sweep_files
from llmsim.report.trimmed import Trimmed
from llmsim.report.whole_files import Fill, prepare, write_all

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, repr=False)
class SweepResult:
    """A sweep: every setting with every seed.

    Attributes:
        grid: What was asked.
        outcomes: One per run, in grid order, each with its ``summary``, or the ``problem`` it failed with.
    """

    grid: Grid
    outcomes: Sequence[Outcome]

    @cached_property
    def runs(self) -> pd.DataFrame:
        """One row a run: the keys varied, ``seed``, and every figure of the summary."""
        return _frame(point_columns(self.outcomes))

    @cached_property
    def estimates(self) -> pd.DataFrame:
        """One row a setting and figure: keys varied, ``field``, ``mean`` over seeds, ``low``, ``high`` (95%), ``n``.

        Seeds of which some are overloaded have none: ``runs`` has theirs.
        """
        return _frame(
            {
                **each.settings,
                "field": field,
                "mean": found.mean,
                **dict(zip(("low", "high"), found.ends or (None, None), strict=True)),
                "n": found.count,
            }
            for each in by_setting(self.outcomes)
            for field, found in each.together.estimates.items()
        )

    def save(self, directory: Path | str) -> Path:
        """Write list, table, scenario and ``report.html`` to ``directory``, which it returns."""
        return _saved(
            Path(directory), sweep_files(self.grid.loaded, self.grid.axes, self.outcomes), "sweep.json"
        )

    def _repr_html_(self) -> str:
        return as_html(sweep_table(self.outcomes))

    def __repr__(self) -> str:
        failed = len(failures(self.outcomes))
        told = f", {failed} failed" if failed else ""
        return (
            f"<SweepResult {self.grid.loaded.scenario.name}: {len(self.grid.settings)} settings, "
            f"{len(self.outcomes)} runs{told}>"
        )


@dataclass(frozen=True, repr=False)
class CompareResult:
    """Scenarios side by side.

    Attributes:
        comparison: Everything that was run, and the differences.
    """

    comparison: Comparison

    @property
    def verdicts(self) -> list[str]:
        """A sentence for each scenario but the first: what is shown to differ, in words."""
        return verdicts(self.comparison)

    @cached_property
    def differences(self) -> pd.DataFrame:
        """A row a scenario and figure: ``change`` against the first, its interval ``low`` to ``high``, pairs ``n``."""
        return _frame(
            {
                "scenario": each.contender.name,
                "field": field,
                "change": found.change,
                "low": found.interval.low if found.interval else None,
                "high": found.interval.high if found.interval else None,
                "n": found.count,
            }
            for each in self.comparison.compared[1:]
            for field, found in each.differences.items()
        )

    @cached_property
    def runs(self) -> pd.DataFrame:
        """One row a run: ``scenario``, ``seed``, and every figure of the summary."""
        return _frame(point_columns(self.comparison.outcomes))

    def save(self, directory: Path | str) -> Path:
        """Write what ``llmsim compare`` writes to ``directory``, which it returns."""
        return _saved(Path(directory), compare_files(self.comparison), "summary.json")

    def _repr_html_(self) -> str:
        return as_html(compare_text(self.comparison))

    def __repr__(self) -> str:
        return f"<CompareResult {'; '.join(sentence.strip() for sentence in self.verdicts)}>"


@dataclass(frozen=True, repr=False)
class PlanResult:
    """The cheapest fleet that meets the targets, and what it was chosen from.

    Attributes:
        answer: The search: what passed, what was simulated, what was pruned and why.
        loaded: The scenario that was asked about.
    """

    answer: FleetAnswer
    loaded: LoadedScenario

    @property
    def winner(self) -> LoadedScenario | None:
        """The scenario of the cheapest fleet, ready to run; None where nothing meets the targets."""
        return self.answer.winning_scenario

    @cached_property
    def as_dict(self) -> dict[str, Any]:
        """The fields of ``plan.json``."""
        return fleet_json(self.answer)

    def save(self, directory: Path | str) -> Path:
        """Write what ``llmsim plan`` writes to ``directory``, which it returns."""
        return _saved(Path(directory), fleet_files(self.answer, self.loaded), "plan.json")

    def _repr_html_(self) -> str:
        return as_html(fleet_table(self.answer, self.loaded))

    def __repr__(self) -> str:
        found = self.answer.winner
        best = f"{cost_of(found)} for {settings_of(self.answer, found)}" if found else "no fleet"
        runs = self.answer.runs
        return f"<PlanResult {self.loaded.scenario.name}: {best}, {runs} run{'s' * (runs != 1)}>"


NOTEBOOK_COLUMNS = 150


def as_html(report: RenderableType) -> str:
    """What a notebook shows of a study: the report that the command line prints, in columns."""
    shown = StringIO()
    Console(file=shown, width=NOTEBOOK_COLUMNS).print(Trimmed(report, NOTEBOOK_COLUMNS))
    return f'<pre style="white-space: pre; overflow-x: auto">{escape(shown.getvalue())}</pre>'


def _saved(directory: Path, files: Mapping[str, Fill], mark: str) -> Path:
    prepare(directory, mark, "results")
    write_all({directory / name: fill for name, fill in files.items()})
    return directory


def _frame(rows: Any) -> pd.DataFrame:
    import pandas as pd  # noqa: PLC0415  slow to import, and not needed by those who want figures only

    return pd.DataFrame(rows if isinstance(rows, Mapping) else list(rows))
