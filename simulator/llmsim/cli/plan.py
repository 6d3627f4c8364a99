"""``llmsim plan``: which fleet to take."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from llmsim.cli.console import show
from llmsim.cli.points_bar import PointsBar
from llmsim.cli.run import nothing_left_on_error
from llmsim.cli.search_log import SearchLog
from llmsim.cli.sweep import Where
from llmsim.errors import UserError
from llmsim.files.catalog import expanded
from llmsim.files.scenario_file import LoadedScenario
from llmsim.files.scenario_text import scenario_sha256
from llmsim.planning.fleet import size_fleet
from llmsim.planning.outcome import Outcome
from llmsim.planning.pareto import Measured, measure
from llmsim.planning.points import Base, Setting, points
from llmsim.planning.question import Asked, Question
from llmsim.planning.sweep import run_points
from llmsim.planning.workers import open_workers, width_of
from llmsim.report.pareto import pareto_json, pareto_table
from llmsim.report.plan import fleet_files, fleet_json, fleet_table
from llmsim.report.plan_page import plan_html
from llmsim.report.sweep_page import sweep_html
from llmsim.report.whole_files import Fill, as_json, prepare, text, write_all

FINE, NONE_FOUND = 0, 1
FILE = "plan.json"


def find_fleet(base: Base, question: Question, where: Where, *, check: bool) -> int:
    """Sizes a fleet and says what came of it; returns the exit code: with ``check`` 1 when there is none."""
    asked = Asked.of(base, question)
    loaded, rules = asked.loaded, asked.rules()
    with _directory(loaded, where, FILE) as directory:
        with open_workers(where.on, where.workers, where.plugins) as run:
            width = width_of(where.on, where.workers)
            answer = size_fleet(asked.space, rules, run, width=width, tell=SearchLog(quiet=where.quiet))
        files = fleet_files(answer, loaded) | {"report.html": text(plan_html(answer, loaded))}
        write_all({directory / name: fill for name, fill in files.items()})
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
    loaded, section, space = asked.loaded, asked.section, asked.space
    settings = [
        Setting(
            one.values, one.at(one.loaded.scenario.fleet[0].replicas) if one.loaded else None, one.problem
        )
        for one in space.candidates
    ]
    if len(settings) < 2:
        raise UserError(
            "a front needs more than one setting",
            hint="--vary workload.arrival.max_concurrency=1,4,16,64 or a `plan:` section",
        )
    planned = points(settings, loaded.scenario.simulation.seed, section.replications)
    with _directory(loaded, where, "pareto.json") as directory:
        with open_workers(where.on, where.workers, where.plugins) as run, PointsBar(quiet=where.quiet) as bar:
            outcomes = run_points(planned, run, progress=bar)
        groups = [
            outcomes[at : at + section.replications] for at in range(0, len(outcomes), section.replications)
        ]
        measured = [_measured(group, loaded) for group in groups]
        failed = [group[0] for group, one in zip(groups, measured, strict=True) if one is None]
        known = [one for one in measured if one is not None]
        if not known:
            raise UserError(f"every setting failed; the first with: {failed[0].problem}")
        data = pareto_json(known, failed)
        html = sweep_html(loaded, space.axes, outcomes)
        files: dict[Path, Fill] = {
            directory / "pareto.json": text(as_json(data)),
            directory / "report.html": text(html),
        }
        write_all(files)
    if where.json:
        print(as_json(data), end="")
    elif not where.quiet:
        show(pareto_table(known, failed))
    if not where.quiet:
        print(f"results: {directory}", file=sys.stderr)
    return FINE


def _measured(outcomes: Sequence[Outcome], loaded: LoadedScenario) -> Measured | None:
    return measure(outcomes, loaded.scenario.slo)


@contextmanager
def _directory(loaded: LoadedScenario, where: Where, mark: str) -> Iterator[Path]:
    """Where results go, ready to be written to; gone again where none came."""
    sha256 = scenario_sha256(loaded.scenario)
    kind = mark.removesuffix(".json")
    directory = expanded(where.out or Path("results") / f"{loaded.scenario.name}-{kind}-{sha256[:8]}")
    with nothing_left_on_error(directory):
        prepare(directory, mark, f"{kind}'s")
        yield directory
