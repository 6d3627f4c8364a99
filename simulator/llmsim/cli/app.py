"""The program and its commands, in the order of ``llmsim --help``."""

# ruff: noqa: PLC0415  so that `llmsim --help` is instant

from __future__ import annotations

from typing import Annotated

import typer

from llmsim.cli.asking import compare, plan, run, sweep
from llmsim.cli.group import Commands
from llmsim.cli.looking import calibrate, convert, info, list_kind, roofline, schema, validate

app = typer.Typer(
    cls=Commands,
    help="Simulate LLM serving: which accelerators, how many, at what cost, for a workload and its targets.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
trace = typer.Typer(help="Look into a workload trace, or turn one format into another.", no_args_is_help=True)
app.add_typer(trace, name="trace")

for command in (run, compare, sweep, plan, roofline, calibrate, validate):
    app.command()(command)
app.command(name="list")(list_kind)
app.command()(schema)
trace.command()(info)
trace.command()(convert)


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
