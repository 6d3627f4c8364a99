"""A run's results as files, each whole or not there at all, and the same bytes for the same run."""

from __future__ import annotations

import gzip
import io
import json
import os
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from llmsim import plugins
from llmsim.errors import OutputError
from llmsim.files.scenario_file import LoadedScenario
from llmsim.files.scenario_text import resolved_yaml
from llmsim.measure.records import RunRecord
from llmsim.report.exports.base import Export, FinishedRun
from llmsim.report.html import page
from llmsim.report.tables import Columns, request_columns, step_columns
from llmsim.report.timeline import timeline

PARTIAL = ".partial"
HINT = "choose another directory with --out"

Fill = Callable[[IO[bytes]], object]


def summary_json(summary: Mapping[str, Any]) -> str:
    """The summary as JSON: its own order, floats so that they read back exactly, one key a line."""
    return json.dumps(summary, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def prepare_directory(out: Path, sha256: str) -> None:
    """``out`` exists, can be written, and is empty or holds results of scenario ``sha256``.

    Raises:
        OutputError: It cannot be made or written, or holds something else.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out):
            pass
        others = [path.name for path in out.iterdir() if not path.name.endswith(PARTIAL)]
    except FileExistsError:
        raise OutputError(f"{out}: cannot be written: it is a file, not a directory", hint=HINT) from None
    except (OSError, UnicodeEncodeError) as error:
        raise OutputError(f"{out}: cannot be written: {_reason(error)}", hint=HINT) from None
    if not others:
        return
    if "summary.json" not in others:
        raise OutputError(
            f"{out}: not empty, and not a results directory (holds {sorted(others)[0]})", hint=HINT
        )
    if _scenario_of(out / "summary.json") != sha256:
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
    table = record.table
    suffix, write_table = ("parquet", _parquet) if find_spec("pyarrow") else ("csv.gz", _csv)
    files: dict[str, Fill] = {
        "summary.json": _text(summary_json(summary)),
        "scenario.yaml": _text(resolved),
        f"requests.{suffix}": lambda file: write_table(request_columns(table, loaded.scenario.slo), file),
        f"steps.{suffix}": lambda file: write_table(step_columns(record), file),
        "report.html": _text(page(summary, record, loaded, resolved, table)),
        "timeline.json.gz": lambda file: _gzip(timeline(record), file),
        "run_info.json": _text(summary_json(run_info)),
    }
    run = FinishedRun(record, summary, loaded)
    for name in exports:
        export: Export = plugins.EXPORTS.get(name)()
        files[export.file_name] = _texts(export, run)
    return _write({directory / name: fill for name, fill in files.items()})


def _write(files: Mapping[Path, Fill]) -> list[Path]:
    """Every path holds what its ``fill`` writes; when one cannot be written, all are as they were before."""
    partials = {path: path.with_name(path.name + PARTIAL) for path in files}
    path = next(iter(files))
    try:
        for path, fill in files.items():
            with partials[path].open("wb") as file:
                fill(file)
        for path, partial in partials.items():
            os.replace(partial, path)
    except BaseException as error:
        for partial in partials.values():
            with suppress(OSError):
                partial.unlink()
        if not isinstance(error, OSError):
            raise
        raise OutputError(f"{path}: cannot be written: {_reason(error)}", hint=HINT) from None
    return list(files)


def _reason(error: OSError | UnicodeEncodeError) -> str:
    return getattr(error, "strerror", None) or str(error)


def _text(content: str) -> Fill:
    return lambda file: file.write(content.encode())


def _zipped(file: IO[bytes]) -> gzip.GzipFile:
    """A gzip stream into ``file`` whose header says neither when nor under what name."""
    return gzip.GzipFile(filename="", mode="wb", compresslevel=6, fileobj=file, mtime=0)


def _texts(export: Export, run: FinishedRun) -> Fill:
    return lambda file: file.writelines(piece.encode() for piece in export.pieces(run))


def _gzip(pieces: Iterable[str], file: IO[bytes]) -> None:
    with _zipped(file) as zipped, io.TextIOWrapper(zipped, encoding="utf-8") as text:
        text.writelines(pieces)


def _parquet(columns: Columns, file: IO[bytes]) -> None:
    import pyarrow  # noqa: PLC0415  an extra, and slow to import
    import pyarrow.parquet  # noqa: PLC0415  as above

    table = pyarrow.Table.from_arrays(list(map(_arrow, columns.values())), names=list(columns))
    pyarrow.parquet.write_table(table, file, compression="zstd")


def _arrow(values: npt.NDArray[Any]) -> Any:
    """``values`` as an Arrow array, nan as null. From its buffers: ``pyarrow.array`` would import pandas."""
    import pyarrow  # noqa: PLC0415  as above

    if values.dtype.kind == "O":
        texts = [text.encode() for text in values]
        ends = np.cumsum([0, *map(len, texts)], dtype=np.int32)
        buffers = [pyarrow.py_buffer(ends), pyarrow.py_buffer(b"".join(texts))]
        return pyarrow.StringArray.from_buffers(len(texts), *buffers)
    there = _bits(~np.isnan(values)) if values.dtype.kind == "f" else None
    cells = _bits(values) if values.dtype.kind == "b" else np.ascontiguousarray(values)
    buffers = [there if there is None else pyarrow.py_buffer(there), pyarrow.py_buffer(cells)]
    return pyarrow.Array.from_buffers(pyarrow.from_numpy_dtype(values.dtype), len(values), buffers)


def _bits(flags: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """A bit per flag, as Arrow packs them."""
    return np.packbits(flags, bitorder="little")


def _csv(columns: Columns, file: IO[bytes]) -> None:
    import pandas  # noqa: PLC0415  0.8 s that only this table needs

    with _zipped(file) as zipped:
        pandas.DataFrame(columns).to_csv(zipped, index=False, lineterminator="\n")
