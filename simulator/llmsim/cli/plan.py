"""``llmsim plan``: which fleet to take."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from llmsim.cli.console import show
from llmsim.cli.points_bar import PointsBar
from llmsim.cli.sweep import Where
from llmsim.files.catalog import expanded
from llmsim.files.scenario_file import LoadedScenario
from llmsim.files.scenario_text import scenario_sha256
from llmsim.planning.fleet import size_fleet
from llmsim.planning.pareto import settings_of_space, weigh
from llmsim.planning.points import Base
from llmsim.planning.question import Asked, Question
from llmsim.planning.workers import open_workers, width_of
from llmsim.report.pareto import pareto_files, pareto_json, pareto_table
from llmsim.report.plan import WINNER, fleet_files, fleet_json, fleet_table
from llmsim.report.whole_files import as_json, prepare, write_all

FINE, NONE_FOUND = 0, 1
FILE = "plan.json"


def find_fleet(base: Base, question: Question, where: Where, *, check: bool) -> int:
    """Sizes a fleet and says what came of it; returns the exit code: with ``check`` 1 when there is none."""
    asked = Asked.of(base, question)
    loaded, rules = asked.loaded, asked.rules()
    directory = _directory(loaded, where, FILE)
    with open_workers(where.on, where.workers, where.plugins) as run:
        width = width_of(where.on, where.workers)
        answer = size_fleet(asked.space, rules, run, width=width, tell=_Telling(quiet=where.quiet))
    files = fleet_files(answer, loaded)
    write_all({directory / name: fill for name, fill in files.items()})
    if WINNER not in files:  # nor one of an earlier question
        (directory / WINNER).unlink(missing_ok=True)
    if where.json:
        print(as_json(fleet_json(answer)), end="")
    elif not where.quiet:
        show(fleet_table(answer, loaded))
    if not where.quiet:
        print(f"results: {directory}", file=sys.stderr)
    return NONE_FOUND if check and answer.winner is None else FINE


def find_pareto(base: Base, question: Question, where: Where) -> int:
    """Runs everything in the space and prints what nothing beats; returns the exit code."""
    asked = Asked.of(base, question)
    settings = settings_of_space(asked.space)
    directory = _directory(asked.loaded, where, "pareto.json")
    with open_workers(where.on, where.workers, where.plugins) as run, PointsBar(quiet=where.quiet) as bar:
        weighed = weigh(settings, asked.section.replications, asked.loaded, run, bar)
    files = pareto_files(weighed, asked.space.axes, asked.loaded)
    write_all({directory / name: fill for name, fill in files.items()})
    if where.json:
        print(as_json(pareto_json(weighed)), end="")
    elif not where.quiet:
        show(pareto_table(weighed))
    if not where.quiet:
        print(f"results: {directory}", file=sys.stderr)
    return FINE


def _directory(loaded: LoadedScenario, where: Where, mark: str) -> Path:
    """Where results go, ready to be written to."""
    sha256 = scenario_sha256(loaded.scenario)
    kind = mark.removesuffix(".json")
    directory = expanded(where.out or Path("results") / f"{loaded.scenario.name}-{kind}-{sha256[:8]}")
    prepare(directory, mark, f"{kind}'s")
    return directory


LOG_EVERY_S = 5.0
"""Between two lines of a search: how much is left, nobody knows."""


class _Telling:
    """Progress of a search on standard error: runs made now and then, and every better fleet as it is found."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._start_s = self._told_s = time.monotonic()

    def __call__(self, done: int, planned: int, news: str) -> None:
        """Show it."""
        now_s = time.monotonic()
        if self._quiet or not (news or now_s - self._told_s >= LOG_EVERY_S):
            return
        self._told_s = now_s
        said = f"best so far: {news}" if news else f"{planned - done} under way"
        print(
            f"{done:,} run{'s' * (done != 1)} in {now_s - self._start_s:,.0f} s; {said}",
            file=sys.stderr,
            flush=True,
        )
