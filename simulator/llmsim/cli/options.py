"""Arguments and options that several commands share, so that each means and says the same everywhere."""

# ruff: noqa: PLC0415  so that `llmsim --help` is instant

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

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
Precision = Annotated[
    str | None,
    typer.Option(
        metavar="SHARE",
        help="Replicate until the means are known to 5%; --replications is then the most.",
        show_default=False,
    ),
]
On = Annotated[str, typer.Option(metavar="WHERE", help="Who runs: pool, here, ray or ray://HOST:PORT.")]
Workers = Annotated[
    int | None,
    typer.Option(min=1, metavar="N", help="Processes; as many as CPUs by default.", show_default=False),
]
Out = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="Where results go; a directory of the scenario's own in results/ by default.",
        show_default=False,
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress, no report.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, alone on standard output.")]
Plugins = Annotated[
    list[Path] | None,
    typer.Option("--plugin", metavar="FILE.py", help="Run a Python file that registers plug-ins."),
]
Exports = Annotated[
    list[str] | None,
    typer.Option(
        "--export",
        metavar="FORMAT",
        help="Write the results for other tools too: vllm-bench, aiperf, llm-d. Repeatable, or separated by commas.",
    ),
]
TraceFile = Annotated[Path, typer.Argument(metavar="TRACE", help="A trace: CSV or JSONL, also .gz.")]
TimestampUnit = Annotated[
    Literal["s", "ms"] | None,
    typer.Option(help="Unit of `timestamp` in JSONL, where the format's own is wrong.", show_default=False),
]


def load_plugins(files: list[Path] | None) -> None:
    """Register what ``--plugin`` files hold, before anything is looked up by name."""
    from llmsim.plugins import load_plugin_file

    for file in files or ():
        load_plugin_file(file)


_NOT_FOR = {
    "fleet": (("--over", "--resolution"), "they go with --find limit; --vary says what may be chosen"),
    "limit": (("--vary", "--max-replicas", "--precision"), "it asks about one fleet, which --set may change"),
    "pareto": (
        ("--over", "--resolution", "--max-replicas", "--precision", "--check"),
        "it runs every setting of --vary, --replications times, and refuses none",
    ),
}
"""What a question does not look at, and what it does instead."""


def refuse_options_of_others(find: str, given: list[str]) -> None:
    """An option that would change nothing is a mistake. Raises typer.BadParameter."""
    names, instead = _NOT_FOR[find]
    wrong = [name for name in given if name in names]
    if wrong:
        raise typer.BadParameter(f"{' and '.join(wrong)}: not for --find {find}; {instead}")
