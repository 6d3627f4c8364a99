"""``llmsim plan``: which fleet to take."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from llmsim.cli.console import show
from llmsim.cli.points_bar import PointsBar
from llmsim.cli.sweep import Where
from llmsim.errors import UserError
from llmsim.files.catalog import expanded
from llmsim.files.scenario_file import LoadedScenario
from llmsim.files.scenario_text import scenario_sha256
from llmsim.measure.slo import has_targets
from llmsim.plan.axes import read_axes
from llmsim.plan.fleet import size_fleet
from llmsim.plan.fleet_trial import Rules
from llmsim.plan.outcome import Outcome
from llmsim.plan.pareto import Measured, measure
from llmsim.plan.points import Base, Setting, points
from llmsim.plan.precision import read_precision
from llmsim.plan.replay import is_replay
from llmsim.plan.space import Space, make_space
from llmsim.plan.sweep import run_points
from llmsim.plan.workers import available_cpus, open_workers
from llmsim.report.pareto import pareto_json, pareto_table
from llmsim.report.plan import fleet_files, fleet_json, fleet_table
from llmsim.report.plan_page import plan_html
from llmsim.report.sweep_page import sweep_html
from llmsim.report.whole_files import Fill, as_json, prepare, text, write_all
from llmsim.spec.plan import Plan

FINE, NONE_FOUND = 0, 1
FILE = "plan.json"


@dataclass(frozen=True)
class Question:
    """What is asked, as the command line says it; what it leaves out the scenario's ``plan:`` section says."""

    vary: Sequence[str] = ()
    max_replicas: int | None = None
    replications: int | None = None
    precision: str | None = None

    def section(self, loaded: LoadedScenario) -> Plan:
        """The ``plan:`` section of ``loaded`` with what the command line says instead. Raises UserError."""
        given = {
            "max_replicas": self.max_replicas,
            "replications": self.replications,
            "precision": None if self.precision is None else read_precision(self.precision),
        }
        section = loaded.scenario.plan or Plan()
        return section.model_copy(update={key: value for key, value in given.items() if value is not None})


def find_fleet(base: Base, question: Question, where: Where, *, check: bool) -> int:
    """Sizes a fleet and says what came of it; returns the exit code: with ``check`` 1 when there is none."""
    loaded, section, space = _asked(base, question)
    slo = loaded.scenario.slo
    if not has_targets(slo) and slo.usd_per_million_output_tokens is None:
        raise UserError(
            "there are no targets, so nothing to plan for", hint="add `slo:`, or --goodput ttft:500 tpot:50"
        )
    directory = _directory(loaded, where, FILE)
    rules = Rules(
        slo,
        loaded.scenario.simulation.seed,
        section.replications,
        section.precision,
        all(is_replay(one.at(1)) for one in space.candidates if one.loaded),
    )
    width = where.workers or (1 if where.on == "here" else available_cpus())
    with open_workers(where.on, where.workers, where.plugins) as run:
        answer = size_fleet(space, rules, run, width=width, tell=_Telling(quiet=where.quiet))
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
    loaded, section, space = _asked(base, question)
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
    directory = _directory(loaded, where, "pareto.json")
    planned = points(settings, loaded.scenario.simulation.seed, section.replications)
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


def _asked(base: Base, question: Question) -> tuple[LoadedScenario, Plan, Space]:
    loaded = base.load()
    section = question.section(loaded)
    axes = read_axes((), question.vary, section.vary, "plan.vary")
    return loaded, section, make_space(base, axes, section.max_replicas)


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
        print(f"{done:,} runs in {now_s - self._start_s:,.0f} s; {said}", file=sys.stderr, flush=True)
