"""The commands that simulate: run, compare, sweep, plan."""

# ruff: noqa: PLC0415  so that `llmsim --help` is instant

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from llmsim.cli.bench_flags import takes_bench_flags
from llmsim.cli.options import (
    AsJson,
    Exports,
    Goodput,
    On,
    Out,
    Plugins,
    Precision,
    Quiet,
    Replications,
    ScenarioFile,
    Seed,
    Sets,
    Vary,
    Workers,
    load_plugins,
    refuse_options_of_others,
)
from llmsim.spec.bench import BenchFlags

NOT_FOR = {
    "fleet": ("--over", "--resolution"),
    "limit": ("--max-replicas", "--precision", "--vary"),
    "pareto": ("--over", "--resolution", "--max-replicas", "--precision", "--check"),
}
"""What each question of ``llmsim plan`` has no use for: refused, as it would be taken to count."""


@takes_bench_flags
def run(
    scenario: ScenarioFile,
    *,
    bench: BenchFlags,
    sets: Sets = None,
    seed: Seed = None,
    goodput: Goodput = None,
    out: Out = None,
    check: Annotated[bool, typer.Option("--check", help="Exit with 1 when a target is missed.")] = False,
    quiet: Quiet = False,
    json: AsJson = False,
    export: Exports = None,
    plugin: Plugins = None,
) -> None:
    """Simulate once, print the report, write the results."""
    from llmsim.files.scenario_file import load_scenario

    load_plugins(plugin)
    loaded = load_scenario(scenario, sets or (), seed=seed, goodput=goodput or (), bench=bench)

    from llmsim.cli.run import Output, run_scenario
    from llmsim.report.exports.base import read_formats

    output = Output(directory=out, json=json, quiet=quiet, exports=read_formats(export or ()))
    raise typer.Exit(run_scenario(loaded, output, check=check))


@takes_bench_flags
def compare(
    scenarios: Annotated[
        list[Path],
        typer.Argument(metavar="SCENARIO...", help="Scenario files or names; the first is the baseline."),
    ],
    *,
    bench: BenchFlags,
    vary: Vary = None,
    replications: Replications = None,
    precision: Precision = None,
    curves: Annotated[
        bool, typer.Option(help="Run half to one and a half times the request rate as well.")
    ] = True,
    on: On = "pool",
    workers: Workers = None,
    sets: Sets = None,
    seed: Seed = None,
    goodput: Goodput = None,
    out: Out = None,
    check: Annotated[
        bool, typer.Option("--check", help="Exit with 1 when any replication misses a target.")
    ] = False,
    quiet: Quiet = False,
    json: AsJson = False,
    plugin: Plugins = None,
) -> None:
    """The same requests and seeds on several scenarios or settings, paired, with intervals."""
    from llmsim.cli.compare import Trials, run_compare
    from llmsim.cli.sweep import Where
    from llmsim.planning.points import Base

    load_plugins(plugin)
    bases = [Base(path, tuple(sets or ()), seed, tuple(goodput or ()), bench) for path in scenarios]
    trials = Trials(replications, precision, curves)
    where = Where(on, workers, tuple(plugin or ()), out, json, quiet)
    raise typer.Exit(run_compare(bases, vary or (), trials, where, check=check))


@takes_bench_flags
def sweep(
    scenario: ScenarioFile,
    *,
    bench: BenchFlags,
    over: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=START:STOP:STEP",
            help="Values of a key: a range with its stop, or KEY=a,b,c. Several make a grid. Repeatable.",
        ),
    ] = None,
    vary: Vary = None,
    replications: Replications = None,
    precision: Precision = None,
    on: On = "pool",
    workers: Workers = None,
    sets: Sets = None,
    seed: Seed = None,
    goodput: Goodput = None,
    out: Out = None,
    quiet: Quiet = False,
    json: AsJson = False,
    plugin: Plugins = None,
) -> None:
    """A grid or list of settings, many runs, resumable. Exits with 2 when a point failed."""
    from llmsim.cli.sweep import Where, run_sweep
    from llmsim.planning.grid import Wanted
    from llmsim.planning.points import Base
    from llmsim.planning.precision import read_precision

    load_plugins(plugin)
    base = Base(scenario, tuple(sets or ()), seed, tuple(goodput or ()), bench)
    where = Where(on, workers, tuple(plugin or ()), out, json, quiet)
    share = None if precision is None else read_precision(precision)
    wanted = Wanted(over or (), vary or (), replications, share)
    raise typer.Exit(run_sweep(base, wanted, where))


@takes_bench_flags
def plan(
    scenario: ScenarioFile,
    *,
    bench: BenchFlags,
    find: Annotated[
        Literal["fleet", "limit", "pareto"],
        typer.Option(
            help="fleet: the cheapest that meets the targets. limit: the highest rate or concurrency that this fleet "
            "takes within them. pareto: what nothing in the space beats on both of cost and attainment, or of "
            "tokens/s/GPU and tokens/s/user."
        ),
    ] = "fleet",
    vary: Vary = None,
    over: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=START:STOP:STEP",
            help="limit: what to turn up, within which range; by default the workload's rate or concurrency.",
            show_default=False,
        ),
    ] = None,
    resolution: Annotated[
        str | None,
        typer.Option(
            metavar="SHARE",
            help="limit: the largest step, as a share of it; 2% by default.",
            show_default=False,
        ),
    ] = None,
    max_replicas: Annotated[
        int | None,
        typer.Option(metavar="N", help="The most replicas of a fleet; 16 by default.", show_default=False),
    ] = None,
    replications: Replications = None,
    precision: Precision = None,
    on: On = "pool",
    workers: Workers = None,
    sets: Sets = None,
    seed: Seed = None,
    goodput: Goodput = None,
    out: Out = None,
    check: Annotated[
        bool,
        typer.Option(
            "--check",
            help="Exit with 1 when no fleet meets the targets, or the limit is below the scenario's load.",
        ),
    ] = False,
    quiet: Quiet = False,
    json: AsJson = False,
    plugin: Plugins = None,
) -> None:
    """The cheapest fleet that meets the targets, of all that --vary allows; or the highest load a fleet takes."""
    given = {
        "--vary": vary,
        "--over": over,
        "--resolution": resolution,
        "--max-replicas": max_replicas,
        "--precision": precision,
        "--check": check or None,
    }
    refuse_options_of_others(find, [name for name, value in given.items() if value is not None])
    from llmsim.cli.plan import find_fleet, find_pareto
    from llmsim.cli.sweep import Where
    from llmsim.planning.points import Base
    from llmsim.planning.precision import read_precision
    from llmsim.planning.question import Question

    load_plugins(plugin)
    base = Base(scenario, tuple(sets or ()), seed, tuple(goodput or ()), bench)
    where = Where(on, workers, tuple(plugin or ()), out, json, quiet)
    if find == "limit":
        from llmsim.cli.limit import Range, find_and_tell

        asked = Range(tuple(over or ()), resolution, replications)
        raise typer.Exit(find_and_tell(base, asked, where, check=check))
    share = None if precision is None else read_precision(precision)
    question = Question(tuple(vary or ()), max_replicas, replications, share)
    if find == "pareto":
        raise typer.Exit(find_pareto(base, question, where))
    raise typer.Exit(find_fleet(base, question, where, check=check))
