"""``llmsim compare``: scenarios side by side, with the same seeds."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from llmsim.cli.console import show
from llmsim.cli.points_bar import PointsBar
from llmsim.cli.run import nothing_left_on_error
from llmsim.cli.sweep import Where
from llmsim.errors import OutputError, Problem, ScenarioError, UserError
from llmsim.files.catalog import expanded
from llmsim.files.scenario_text import scenario_sha256
from llmsim.measure.slo import has_targets, targets_missed
from llmsim.planning.axes import read_axes
from llmsim.planning.compare import Comparison, Effort, compare
from llmsim.planning.contenders import Contender, contenders
from llmsim.planning.points import Base
from llmsim.planning.precision import read_precision, rule_of
from llmsim.planning.workers import open_workers
from llmsim.report.assumptions import first_moment
from llmsim.report.compare import compare_text
from llmsim.report.compare_files import compare_files, compare_json
from llmsim.report.sweep import failures
from llmsim.report.whole_files import HINT, as_json, prepare, write_all

FINE, MISSED, SOME_FAILED = 0, 1, 2
REPLICATIONS = 5
"""Unless told."""
FILE = "summary.json"


@dataclass(frozen=True)
class Trials:
    """How much is run, as the command line says it."""

    replications: int | None = None
    precision: str | None = None
    curves: bool = True


def run_compare(
    bases: Sequence[Base], vary: Sequence[str], trials: Trials, where: Where, *, check: bool
) -> int:
    """Runs a comparison and says what came of it; returns the exit code: 2 when a run failed."""
    precision = None if trials.precision is None else read_precision(trials.precision)
    rule = rule_of(precision, trials.replications)
    compared = contenders(bases, read_axes((), vary))
    if check:
        _refuse_without_targets(compared)
    _refuse_unbuildable(compared)
    seed = compared[0].loaded.scenario.simulation.seed
    effort = Effort(seed, trials.replications or REPLICATIONS, rule, trials.curves)
    name, sha256 = compared[0].loaded.scenario.name, _sha256(compared, seed)
    directory = expanded(where.out or Path("results") / f"{name}-compare-{sha256[:8]}")
    with nothing_left_on_error(directory):
        with open_workers(where.on, where.workers, where.plugins) as run:
            _prepare(directory, compared)
            with PointsBar(quiet=where.quiet, what="runs") as bar:
                comparison = compare(compared, effort, run, bar)
        write_all({directory / name: fill for name, fill in compare_files(comparison).items()})
    _print(comparison, where)
    if not where.quiet:
        print(f"results: {directory}", file=sys.stderr)
    missed = _missed(comparison) if check else []
    for sentence in missed:
        print(f"target missed: {sentence}", file=sys.stderr)
    failed = any(outcome.problem for outcome in comparison.outcomes)
    return SOME_FAILED if failed else MISSED if missed else FINE


def _refuse_without_targets(compared: Sequence[Contender]) -> None:
    slos = [each.loaded.scenario.slo for each in compared]
    if not any(has_targets(slo) or slo.usd_per_million_output_tokens is not None for slo in slos):
        raise UserError("--check: there are no targets to check", hint="add `slo:`, or --goodput ttft:500")


def _refuse_unbuildable(compared: Sequence[Contender]) -> None:
    """Nothing can be compared with a fleet that cannot be built: said before anything is run."""
    problems, hint = [], None
    for each in compared:
        try:
            first_moment(each.loaded)
        except UserError as error:
            problems += [Problem(each.name, str(problem)) for problem in error.problems]
            hint = hint or error.hint
        except Exception:  # a plug-in's, say: told with the runs it breaks
            continue
    if problems:
        raise ScenarioError(problems, hint=hint)


def _sha256(compared: Sequence[Contender], seed: int) -> str:
    """What identifies the comparison."""
    scenarios = [scenario_sha256(each.loaded.scenario) for each in compared]
    return hashlib.sha256(json.dumps([seed, scenarios]).encode()).hexdigest()


def _prepare(directory: Path, compared: Sequence[Contender]) -> None:
    """The directory can be written, and holds nothing but results of this comparison."""
    if not prepare(directory, FILE, "comparison's"):
        return
    ours = [scenario_sha256(each.loaded.scenario) for each in compared]
    try:
        held = json.loads((directory / FILE).read_text(encoding="utf-8"))["scenarios"]
        theirs = [each["scenario_sha256"] for each in held]
    except (OSError, ValueError, KeyError, TypeError):
        theirs = []
    if ours != theirs:
        raise OutputError(f"{directory}: holds the results of something else", hint=HINT)


def _print(comparison: Comparison, where: Where) -> None:
    """The report, or with --json the figures alone, on standard output; failures on standard error."""
    if where.json:
        print(as_json(compare_json(comparison)), end="")
    elif not where.quiet:
        show(compare_text(comparison), 140)
    for sentence in failures(comparison.outcomes):
        print(sentence, file=sys.stderr)


def _missed(comparison: Comparison) -> list[str]:
    """Every target that any replication of any scenario missed."""
    return [
        f"{each.contender.name}, seed {outcome.seed}: {sentence}"
        for each in comparison.compared
        for outcome in each.outcomes
        if outcome.summary
        for sentence in targets_missed(outcome.summary, each.contender.loaded.scenario.slo)
    ]
