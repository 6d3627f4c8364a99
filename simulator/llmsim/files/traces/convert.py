"""Writes a trace in the simulator's own format."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from llmsim.errors import OutputError, Problem
from llmsim.files.traces.read import TimestampUnit, Trace, read_trace


def convert_trace(
    source: Path | str, target: Path | str, *, timestamp_unit: TimestampUnit | None = None
) -> Trace:
    """The trace at ``source``, after writing it to ``target`` in the simulator's own format.

    Args:
        source: A trace of any format known.
        target: ``.csv`` or ``.jsonl``, also with ``.gz``. An existing file is replaced.
        timestamp_unit: As in :func:`read_trace`.

    Raises:
        TraceError: The source cannot be read.
        OutputError: The target cannot be written.
    """
    target = Path(target)
    suffixes = [suffix for suffix in target.suffixes if suffix != ".gz"]
    suffix = suffixes[-1] if suffixes else ""
    if suffix not in (".csv", ".jsonl"):
        raise OutputError(Problem(str(target), "name a .csv or .jsonl file, or one of these with .gz"))
    trace = read_trace(source, timestamp_unit=timestamp_unit)
    columns, rows = _rows(trace, with_lists=suffix == ".jsonl")
    text = io.StringIO()
    if suffix == ".csv":
        csv.writer(text, lineterminator="\n").writerows([columns, *rows])
    else:
        text.writelines(f"{json.dumps(dict(zip(columns, row, strict=True)))}\n" for row in rows)
    _write(target, text.getvalue())
    return trace


HASHES = ("hash_ids", "hash_tokens", "segments")
"""Labels that a file without lists does not have."""


def _rows(trace: Trace, *, with_lists: bool) -> tuple[list[str], Iterator[tuple[Any, ...]]]:
    """The names of the columns written, and the rows; a CSV cannot hold lists."""
    columns: dict[str, Any] = {
        "arrival_s": None if trace.arrival_s is None else trace.arrival_s.tolist(),
        "input_tokens": trace.input_tokens.tolist(),
        "output_tokens": trace.output_tokens.tolist(),
        "class": trace.class_names,
    }
    columns |= {name: cells for name, cells in trace.labels.items() if with_lists or name not in HASHES}
    given = {name: cells for name, cells in columns.items() if cells is not None}
    return list(given), zip(*given.values(), strict=True)


def _write(target: Path, text: str) -> None:
    """``text`` into ``target``; the same text always makes the same bytes."""
    data = text.encode()
    if target.suffix == ".gz":
        packed = io.BytesIO()
        with gzip.GzipFile(fileobj=packed, mode="wb", filename="", mtime=0) as file:
            file.write(data)
        data = packed.getvalue()
    partial = target.with_name(f"{target.name}.partial")
    try:
        partial.write_bytes(data)
        partial.replace(target)
    except BaseException as error:
        with suppress(OSError):
            partial.unlink()
        if not isinstance(error, OSError):
            raise
        raise OutputError(Problem(str(target), f"cannot be written: {error.strerror}")) from None
