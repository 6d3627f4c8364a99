"""``llmsim run``: simulate, print, write."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from llmsim.api import Result, answer, simulate_timed
from llmsim.cli.console import Console
from llmsim.cli.progress import ProgressBar
from llmsim.errors import UserError
from llmsim.files.catalog import expanded
from llmsim.files.scenario_file import LoadedScenario
from llmsim.files.scenario_text import scenario_sha256
from llmsim.measure.slo import has_targets, targets_missed
from llmsim.report.table import render
from llmsim.report.whole_files import as_json
from llmsim.report.write import prepare_directory, write_results

FINE, MISSED, INTERRUPTED = 0, 1, 130


@dataclass(frozen=True)
class Output:
    """Where a run's answers go: files to ``directory``, a report or ``json`` to standard output.

    Attributes:
        directory: None is the usual one.
        json: The summary alone on standard output.
        quiet: Neither progress nor report.
        exports: Formats of other tools that are written too.
    """

    directory: Path | None
    json: bool
    quiet: bool
    exports: Sequence[str] = ()


def run_scenario(loaded: LoadedScenario, output: Output, *, check: bool) -> int:
    """Runs ``loaded`` and says what came of it; returns the exit code.

    An interrupted run is written as far as it got, marked as partial.
    """
    slo = loaded.scenario.slo
    if check and not has_targets(slo) and slo.usd_per_million_output_tokens is None:
        raise UserError("--check: there are no targets to check", hint="add `slo:`, or --goodput ttft:500")
    sha256 = scenario_sha256(loaded.scenario)
    directory = expanded(output.directory or Path("results") / f"{loaded.scenario.name}-{sha256[:8]}")
    with nothing_left_on_error(directory):
        prepare_directory(directory, sha256)
        with ProgressBar(quiet=output.quiet) as progress:
            record, run_info = simulate_timed(loaded, progress)
        with _finishing(record.interrupted) as late:
            result = answer(loaded, record, run_info)
            write_results(directory, record, result.summary, loaded, run_info, output.exports)
    interrupted = record.interrupted or bool(late)
    with suppress(BrokenPipeError):
        _print(result, output)
    if not output.quiet:
        for sentence in dict.fromkeys(
            f"{replica.pool}: tensor_parallel_size auto takes {replica.plan_choice}"
            for replica in record.replicas
            if replica.plan_choice
        ):
            print(sentence, file=sys.stderr)
        print(
            f"results: {directory}{' (partial: interrupted)' if record.interrupted else ''}", file=sys.stderr
        )
    missed = targets_missed(result.summary, loaded.scenario.slo) if check else []
    for sentence in missed:
        print(f"target missed: {sentence}", file=sys.stderr)
    return INTERRUPTED if interrupted else MISSED if missed else FINE


@contextmanager
def _finishing(interrupted: bool) -> Iterator[list[int]]:
    """The first Ctrl-C of a run waits until its results are written; the next gives them up.

    Args:
        interrupted: The first one has come already, and ended the simulation.

    Yields:
        The signals that have come meanwhile.
    """
    late: list[int] = []

    def note(signum: int, frame: object) -> None:
        if interrupted or late:
            raise KeyboardInterrupt
        late.append(signum)

    handler = signal.signal(signal.SIGINT, note)
    try:
        yield late
    finally:
        signal.signal(signal.SIGINT, handler)


@contextmanager
def nothing_left_on_error(directory: Path) -> Iterator[None]:
    """Directories made for results that never came are removed again."""
    made = [folder for folder in (directory, *directory.parents) if not os.path.exists(folder)]
    try:
        yield
    except BaseException:
        for folder in made:
            if os.path.isdir(folder) and not any(folder.iterdir()):
                folder.rmdir()
        raise


def _print(result: Result, output: Output) -> None:
    """The report, or with --json the summary alone, on standard output."""
    if output.json:
        print(as_json(result.summary), end="")
    elif not output.quiet:
        width = None if sys.stdout.isatty() else 100
        Console(width=width).print(render(result.summary, result.record, result.loaded))
