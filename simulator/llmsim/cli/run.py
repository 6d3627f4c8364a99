"""``llmsim run``: simulate, print, write."""

from __future__ import annotations

import platform
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

import llmsim
from llmsim.api import Result, run
from llmsim.cli.progress import ProgressBar
from llmsim.files.scenario_file import LoadedScenario, scenario_sha256
from llmsim.measure.slo import targets_missed
from llmsim.report.table import render
from llmsim.report.write import prepare_directory, summary_json, write_results

FINE, MISSED, INTERRUPTED = 0, 1, 130


@dataclass(frozen=True)
class Output:
    """Where a run's answers go: files to ``directory``, a report or ``json`` to standard output."""

    directory: Path | None
    json: bool
    quiet: bool


def run_scenario(loaded: LoadedScenario, output: Output, *, check: bool) -> int:
    """Runs ``loaded`` and says what came of it; returns the exit code.

    An interrupted run is written as far as it got, marked as partial.
    """
    sha256 = scenario_sha256(loaded.scenario)
    directory = output.directory or Path("results") / f"{loaded.scenario.name}-{sha256[:8]}"
    with _nothing_left_on_error(directory):
        prepare_directory(directory, sha256)
        result, run_info = _timed(loaded, quiet=output.quiet)
    interrupted = result.record.interrupted
    write_results(directory, result.record, result.summary, loaded, run_info)
    _print(result, output)
    if not output.quiet:
        print(f"results: {directory}{' (partial: interrupted)' if interrupted else ''}", file=sys.stderr)
    missed = targets_missed(result.summary, loaded.scenario.slo) if check else []
    for sentence in missed:
        print(f"target missed: {sentence}", file=sys.stderr)
    return INTERRUPTED if interrupted else MISSED if missed else FINE


def _timed(loaded: LoadedScenario, *, quiet: bool) -> tuple[Result, dict[str, Any]]:
    """The run, and what depends on the machine that ran it."""
    wall_s, cpu_s = time.perf_counter(), time.process_time()
    with ProgressBar(quiet=quiet) as progress:
        result = run(loaded, progress)
    wall_s, cpu_s = time.perf_counter() - wall_s, time.process_time() - cpu_s
    return result, {
        "version": llmsim.__version__,
        "interrupted": result.record.interrupted,
        "wall_s": wall_s,
        "cpu_s": cpu_s,
        "events": result.record.events,
        "events_per_cpu_s": result.record.events / cpu_s,
        "requests_per_cpu_s": len(result.record.requests) / cpu_s,
        "python": platform.python_version(),
        "platform": platform.platform(),
    }


@contextmanager
def _nothing_left_on_error(directory: Path) -> Iterator[None]:
    """Directories made for results that never came are removed again."""
    made = [folder for folder in (directory, *directory.parents) if not folder.exists()]
    try:
        yield
    except BaseException:
        for folder in made:
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()
        raise


def _print(result: Result, output: Output) -> None:
    """The report, or with --json the summary alone, on standard output."""
    if output.json:
        print(summary_json(result.summary), end="")
    elif not output.quiet:
        width = None if sys.stdout.isatty() else 100
        Console(width=width).print(render(result.summary, result.record, result.loaded))
