"""The commands that look, measure and convert."""

# ruff: noqa: PLC0415  so that `llmsim --help` is instant

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from llmsim.cli.options import (
    AsJson,
    Plugins,
    ScenarioFile,
    Sets,
    TimestampUnit,
    TraceFile,
    Workers,
    load_plugins,
)


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

    load_plugins(plugin)
    loaded = load_scenario(scenario, sets or ())
    print_roofline(loaded, Iteration(batch, context, prefill), as_json=json)


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
    load_plugins(plugin)
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


def list_kind(
    kind: Annotated[
        str, typer.Argument(metavar="KIND", help="What to list; leave out for the kinds there are.")
    ] = "",
    json: AsJson = False,
    plugin: Plugins = None,
) -> None:
    """Accelerators, models, schedulers, routers and so on, with their sources."""
    from llmsim.cli.listing import list_entries

    load_plugins(plugin)
    list_entries(kind, as_json=json)


def schema(
    section: Annotated[str, typer.Argument(metavar="[SECTION]", help="A part of it, such as engine.")] = "",
    json: Annotated[bool, typer.Option("--json", help="Print the JSON Schema, for editors.")] = False,
    plugin: Plugins = None,
) -> None:
    """Every scenario key with its type, unit, default and meaning."""
    from llmsim.cli.schema import print_schema

    load_plugins(plugin)
    print_schema(section, as_json=json)


def info(file: TraceFile, *, timestamp_unit: TimestampUnit = None, json: AsJson = False) -> None:
    """What a trace holds: format, rate, burstiness, lengths, rows left out and why."""
    from llmsim.cli.trace import print_info

    print_info(file, timestamp_unit, as_json=json)


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
