"""A run's results as files, each whole or not there at all, and the same bytes for the same run."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from llmsim import plugins
from llmsim.errors import OutputError
from llmsim.files.scenario_file import LoadedScenario
from llmsim.files.scenario_text import resolved_yaml
from llmsim.measure.records import RunRecord
from llmsim.report.exports.base import Export, FinishedRun
from llmsim.report.html import page
from llmsim.report.tables import request_columns, step_columns
from llmsim.report.timeline import timeline
from llmsim.report.whole_files import HINT, Fill, as_json, prepare, table, text, write_all, zipped


def prepare_directory(out: Path, sha256: str) -> None:
    """``out`` exists, can be written, and is empty or holds results of scenario ``sha256``.

    Raises:
        OutputError: It cannot be made or written, or holds something else.
    """
    if prepare(out, "summary.json", "results") and _scenario_of(out / "summary.json") != sha256:
        raise OutputError(f"{out}: holds the results of another scenario", hint=HINT)


def _scenario_of(path: Path) -> object:
    try:
        return json.loads(path.read_text(encoding="utf-8"))["scenario_sha256"]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def write_results(
    directory: Path,
    record: RunRecord,
    summary: Mapping[str, Any],
    loaded: LoadedScenario,
    run_info: Mapping[str, Any],
    exports: Sequence[str] = (),
) -> list[Path]:
    """Every file of interface.md's "Results directory"; returns their paths.

    Args:
        directory: Made ready by :func:`prepare_directory`.
        record: What the run left behind.
        summary: Its summary.
        loaded: The scenario and where it was read from.
        run_info: What depends on the machine; the only file that differs between equal runs.
        exports: Formats of other tools to write as well.

    Raises:
        OutputError: A file could not be written (disk full, no permission).
    """
    resolved = resolved_yaml(loaded.scenario)
    requests = record.table
    files: dict[str, Fill] = {
        "summary.json": text(as_json(summary)),
        "scenario.yaml": text(resolved),
        **table("requests", request_columns(requests, loaded.scenario.slo)),
        **table("steps", step_columns(record)),
        "report.html": text(page(summary, record, loaded, resolved, requests)),
        "timeline.json.gz": lambda file: _gzip(timeline(record), file),
        "run_info.json": text(as_json(run_info)),
    }
    run = FinishedRun(record, summary, loaded)
    for name in exports:
        export: Export = plugins.EXPORTS.get(name)()
        files[export.file_name] = _texts(export, run)
    return write_all({directory / name: fill for name, fill in files.items()})


def _texts(export: Export, run: FinishedRun) -> Fill:
    return lambda file: file.writelines(piece.encode() for piece in export.pieces(run))


def _gzip(pieces: Iterable[str], file: IO[bytes]) -> None:
    with zipped(file) as stream, io.TextIOWrapper(stream, encoding="utf-8") as written:
        written.writelines(pieces)
