"""The commands and their options. Everything slow is imported by the command that needs it."""

# ruff: noqa: PLC0415  so that `llmsim --help` is instant

from __future__ import annotations

import signal
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from typer.core import TyperGroup

INTERRUPTED = 130
"""Exit code after Ctrl-C: 128 + SIGINT."""


class _Commands(TyperGroup):
    """Ends with the shell's exit code for Ctrl-C, wherever a command is when it comes."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:  # the reader (``| head``) has gone, and that is no error
            raise typer.Exit from None
        except KeyboardInterrupt:
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # the program is ending already
            typer.echo("Interrupted.", err=True)
            raise typer.Exit(INTERRUPTED) from None


app = typer.Typer(
    cls=_Commands,
    help="Simulate LLM serving: which accelerators, how many, at what cost, for a workload and its targets.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
trace = typer.Typer(help="Look into a workload trace, or turn one format into another.", no_args_is_help=True)
app.add_typer(trace, name="trace")

ScenarioFile = Annotated[
    Path, typer.Argument(metavar="SCENARIO", help="A scenario file, or a name of `llmsim list scenarios`.")
]
Sets = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change a key: fleet.replicas=2. Repeatable."),
]
Goodput = Annotated[
    list[str] | None,
    typer.Option(metavar="METRIC:MS", help="Targets as in vLLM: --goodput ttft:200 tpot:50."),
]
Seed = Annotated[
    int | None, typer.Option(metavar="N", help="Seed of every random stream.", show_default=False)
]
Vary = Annotated[
    list[str] | None,
    typer.Option(metavar="KEY=A,B,C", help="Values of a key: engine.scheduler=orca,vllm. Repeatable."),
]
Replications = Annotated[
    int | None,
    typer.Option(
        min=1, metavar="N", help="Runs of every setting, each with a seed of its own.", show_default=False
    ),
]
On = Annotated[str, typer.Option(metavar="WHERE", help="Who runs: pool, here, ray or ray://HOST:PORT.")]
Workers = Annotated[
    int | None,
    typer.Option(min=1, metavar="N", help="Processes; as many as CPUs by default.", show_default=False),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, alone on standard output.")]
Plugins = Annotated[
    list[Path] | None,
    typer.Option("--plugin", metavar="FILE.py", help="Run a Python file that registers plug-ins."),
]


def _load_plugins(files: list[Path] | None) -> None:
    from llmsim.plugins import load_plugin_file

    for file in files or ():
        load_plugin_file(file)


def _show_version(wanted: bool) -> None:
    if wanted:
        import llmsim

        typer.echo(f"llmsim {llmsim.__version__}")
        raise typer.Exit


@app.callback()
def _common(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


@app.command()
def run(
    scenario: ScenarioFile,
    *,
    sets: Sets = None,
    seed: Seed = None,
    goodput: Goodput = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Where results go; results/NAME-SHA8 by default.", show_default=False
        ),
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="Exit with 1 when a target is missed.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress, no report.")] = False,
    json: AsJson = False,
    plugin: Plugins = None,
) -> None:
    """Simulate once, print the report, write the results."""
    from llmsim.files.scenario_file import load_scenario

    _load_plugins(plugin)
    loaded = load_scenario(scenario, sets or (), seed=seed, goodput=goodput or ())

    from llmsim.cli.run import Output, run_scenario

    raise typer.Exit(run_scenario(loaded, Output(directory=out, json=json, quiet=quiet), check=check))


@app.command()
def sweep(
    scenario: ScenarioFile,
    *,
    over: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=START:STOP:STEP",
            help="Values of a key: a range with its stop, or KEY=a,b,c. Several make a grid. Repeatable.",
        ),
    ] = None,
    vary: Vary = None,
    replications: Replications = None,
    on: On = "pool",
    workers: Workers = None,
    sets: Sets = None,
    seed: Seed = None,
    goodput: Goodput = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Where results are kept; results/NAME-sweep-SHA8 by default.",
            show_default=False,
        ),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress, no table.")] = False,
    json: AsJson = False,
    plugin: Plugins = None,
) -> None:
    """A grid or list of settings, many runs, resumable. Exits with 2 when a point failed."""
    from llmsim.cli.sweep import Grid, Where, run_sweep
    from llmsim.plan.points import Base

    _load_plugins(plugin)
    base = Base(scenario, tuple(sets or ()), seed, tuple(goodput or ()))
    where = Where(on, workers, tuple(plugin or ()), out, json, quiet)
    raise typer.Exit(run_sweep(base, Grid(over or (), vary or (), replications), where))


@app.command()
def roofline(
    scenario: ScenarioFile,
    *,
    batch: Annotated[int, typer.Option(min=0, metavar="B", help="Sequences that decode.")] = 1,
    context: Annotated[int, typer.Option(min=0, metavar="C", help="Tokens each of them has cached.")] = 1024,
    prefill: Annotated[
        int, typer.Option(min=0, metavar="P", help="New prompt tokens of one more sequence.")
    ] = 0,
    sets: Sets = None,
    json: AsJson = False,
    plugin: Plugins = None,
) -> None:
    """The op table of one iteration: FLOPs, bytes by class, bound, share of time."""
    if batch + prefill == 0:
        raise typer.BadParameter("an iteration needs sequences: give --batch or --prefill")
    from llmsim.cli.roofline import Iteration, print_roofline
    from llmsim.files.scenario_file import load_scenario

    _load_plugins(plugin)
    loaded = load_scenario(scenario, sets or ())
    print_roofline(loaded, Iteration(batch, context, prefill), as_json=json)


@app.command()
def calibrate(
    files: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="FILES",
            help="Results of `vllm bench serve --save-result`, or CSV rows as for `llmsim validate`.",
        ),
    ] = None,
    *,
    scenario: Annotated[
        Path | None, typer.Option(metavar="SCENARIO", help="The scenario that describes the measured server.")
    ] = None,
    kernels: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Kernel timings instead, as measure_gpu.py writes them."),
    ] = None,
    accelerator: Annotated[
        str | None, typer.Option(metavar="NAME", help="The accelerator that the kernels ran on.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="What is written; NAME.overlay.yaml by default.")
    ] = None,
    fit: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Fit this coefficient only. Repeatable.")
    ] = None,
    sets: Sets = None,
    json: AsJson = False,
    plugin: Plugins = None,
) -> None:
    """Fit efficiencies and overheads to measurements."""
    _load_plugins(plugin)
    if kernels is not None:
        if files or scenario or not accelerator:
            raise typer.BadParameter(
                "--kernels goes with --accelerator NAME, and without FILES or --scenario"
            )
        from llmsim.cli.calibrate import calibrate_kernels

        calibrate_kernels(kernels, accelerator, out, as_json=json)
        return
    if not files or scenario is None:
        raise typer.BadParameter("give FILES of measured runs and --scenario SCENARIO, or --kernels DIR")
    from llmsim.cli.calibrate import calibrate_runs
    from llmsim.files.scenario_file import load_scenario

    calibrate_runs(files, load_scenario(scenario, sets or ()), out, only=fit or (), as_json=json)


@app.command()
def validate(
    runs: Annotated[
        Path,
        typer.Argument(
            metavar="RUNS",
            help="A CSV of measured runs, results of `vllm bench serve --save-result`, or a directory of such files.",
        ),
    ],
    *,
    sets: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="COLUMN=VALUE",
            help="A column of every run, as result files do not say the server: gpu=h100-sxm, tensor_parallel=2, "
            "model=qwen3-14b, dtype=fp8, engine_version=0.15.1. Repeatable.",
        ),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="The first N runs only.", show_default=False)
    ] = None,
    workers: Workers = None,
    quiet: Annotated[
        bool, typer.Option("--quiet", help="No report; problems and the exit code only.")
    ] = False,
    json: AsJson = False,
) -> None:
    """Simulate measured runs and print the error per metric."""
    from llmsim.cli.validate import print_validation

    context = {}
    for text in sets or ():
        name, equals, value = text.partition("=")
        if not equals:
            raise typer.BadParameter(f"--set {text}: write COLUMN=VALUE")
        context[name] = value
    code = print_validation(
        runs, context=context, limit=limit, workers=workers, json_wanted=json, quiet=quiet
    )
    raise typer.Exit(code)


@app.command(name="list")
def list_kind(
    kind: Annotated[
        str, typer.Argument(metavar="KIND", help="What to list; leave out for the kinds there are.")
    ] = "",
    json: AsJson = False,
    plugin: Plugins = None,
) -> None:
    """Accelerators, models, schedulers, routers and so on, with their sources."""
    from llmsim.cli.listing import list_entries

    _load_plugins(plugin)
    list_entries(kind, as_json=json)


@app.command()
def schema(
    section: Annotated[str, typer.Argument(metavar="[SECTION]", help="A part of it, such as engine.")] = "",
    json: Annotated[bool, typer.Option("--json", help="Print the JSON Schema, for editors.")] = False,
    plugin: Plugins = None,
) -> None:
    """Every scenario key with its type, unit, default and meaning."""
    from llmsim.cli.schema import print_schema

    _load_plugins(plugin)
    print_schema(section, as_json=json)


TraceFile = Annotated[Path, typer.Argument(metavar="TRACE", help="A trace: CSV or JSONL, also .gz.")]
TimestampUnit = Annotated[
    Literal["s", "ms"] | None,
    typer.Option(help="Unit of `timestamp` in JSONL, where the format's own is wrong.", show_default=False),
]


@trace.command()
def info(file: TraceFile, *, timestamp_unit: TimestampUnit = None, json: AsJson = False) -> None:
    """What a trace holds: format, rate, burstiness, lengths, rows left out and why."""
    from llmsim.cli.trace import print_info

    print_info(file, timestamp_unit, as_json=json)


@trace.command()
def convert(
    file: TraceFile,
    target: Annotated[Path, typer.Argument(metavar="TARGET", help="A .csv or .jsonl file, also .gz.")],
    *,
    timestamp_unit: TimestampUnit = None,
    json: AsJson = False,
) -> None:
    """Write a trace in the simulator's own format."""
    from llmsim.cli.trace import convert as convert_file

    convert_file(file, target, timestamp_unit, as_json=json)
