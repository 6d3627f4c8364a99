"""A trace file as arrays of arrival times and lengths, with every row accounted for."""

from __future__ import annotations

import csv
import sys
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from llmsim.errors import Problem, TraceError
from llmsim.files.traces.faults import CELL_ERRORS, recognised, row_fault
from llmsim.files.traces.formats import Format, Ticks
from llmsim.files.traces.labels import Labels, read_labels, with_hash_tokens, with_sessions
from llmsim.files.traces.rows import Rows, open_text, rows_of
from llmsim.spec.lengths import MAX_TOKENS

CHUNK = 65536
MAX_PROBLEMS = 20

IntArray = npt.NDArray[np.int64]
TimestampUnit = Literal["s", "ms"]


@dataclass(frozen=True)
class Trace:
    """The requests of a trace that can be offered.

    Attributes:
        source: How the user named the file.
        format: What it is written in.
        arrival_s: Seconds from the first row read. shape (num_requests,); None where it holds lengths only.
        input_tokens, output_tokens: At least 1 each. shape (num_requests,)
        class_names: The class of each request; None where the file has none.
        skipped: Rows that cannot be offered, counted by reason.
        labels: ``session_id``, ``hash_ids``, ``hash_tokens`` and ``model`` of each request, where the file has them.
    """

    source: str
    format: Format
    arrival_s: npt.NDArray[np.float64] | None
    input_tokens: IntArray
    output_tokens: IntArray
    class_names: list[str] | None
    skipped: dict[str, int]
    labels: Labels = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.input_tokens)

    @property
    def duration_s(self) -> float:
        """Time from the first request to the last; 0 without times."""
        return float(self.arrival_s[-1] - self.arrival_s[0]) if self.arrival_s is not None else 0.0


@dataclass(frozen=True)
class _Columns:
    """Some rows, by column. ``lines`` is each row's line in the file."""

    lines: IntArray
    ticks: Ticks | None
    inputs: IntArray
    outputs: IntArray
    class_names: list[str] | None
    labels: Labels


def read_trace(
    path: Path | str,
    *,
    limit: int | None = None,
    timestamp_unit: TimestampUnit | None = None,
    source: str | None = None,
) -> Trace:
    """The trace at ``path``, in the order of the file.

    Args:
        path: CSV or JSONL, also ``.gz``; the format is recognised by the names of the columns.
        limit: Stop after so many rows that can be offered.
        timestamp_unit: Unit of ``timestamp`` in JSONL, where the format's own is wrong.
        source: Its name in messages.

    Raises:
        TraceError: With up to 20 problems, each with its line.
    """
    source = source or str(path)
    with open_text(Path(path), source) as file:
        try:
            rows = rows_of(file, source)
            form = recognised(rows, source)
            columns = _read(rows, form, source, limit)
        except (csv.Error, OSError, EOFError, zlib.error) as error:
            raise TraceError(Problem(source, f"cannot be read: {error}")) from None
        except UnicodeDecodeError as error:
            raise TraceError(Problem(source, f"is not UTF-8 text (byte {error.start} of a block)")) from None
    return _offered(columns, form, _ticks_per_s(form, timestamp_unit, source), source, limit)


def _ticks_per_s(form: Format, unit: TimestampUnit | None, source: str) -> float:
    if unit is None:
        return form.ticks_per_s
    if form.time != "timestamp":
        raise TraceError(
            Problem(source, f"timestamp_unit is for JSONL with `timestamp`; {form.name} has its own unit")
        )
    return {"s": 1.0, "ms": 1e3}[unit]


def _read(rows: Rows, form: Format, source: str, limit: int | None) -> _Columns:
    """All rows, or as many as ``limit`` needs. Raises TraceError with every problem found."""
    parts: list[_Columns] = []
    problems: list[Problem] = []
    first_line, offered = rows.first_line, 0
    raws = rows.raw()
    while chunk := list(islice(raws, CHUNK)):
        part, faults = _part(rows, form, chunk, first_line)
        parts.append(part)
        problems += [Problem(f"{source}:{line}", fault) for line, fault in faults]
        first_line += len(chunk)
        offered += int(np.count_nonzero((part.inputs > 0) & (part.outputs > 0)))
        if len(problems) >= MAX_PROBLEMS or (limit is not None and offered >= limit):
            break
    if not any(len(part.lines) for part in parts) and not problems:
        raise TraceError(Problem(source, "has a header but no rows"))
    columns = _joined(parts)
    problems += _order_problems(columns, form, source)
    if problems:
        raise TraceError(_capped(problems, source))
    return columns


def _part(
    rows: Rows, form: Format, chunk: list[Any], first_line: int
) -> tuple[_Columns, list[tuple[int, str]]]:
    """The good rows of ``chunk`` by column, and (line, fault) of each bad one; blank ones are neither."""
    lines = np.arange(first_line, first_line + len(chunk))
    try:
        return _columns(rows, form, chunk, lines), []
    except CELL_ERRORS:
        pass
    checked = [(position, row_fault(rows, form, raw)) for position, raw in enumerate(chunk) if raw]
    good = [position for position, fault in checked if not fault]
    faults = [(first_line + position, fault) for position, fault in checked if fault]
    return _columns(rows, form, [chunk[position] for position in good], lines[good]), faults


def _columns(rows: Rows, form: Format, raws: Sequence[Any], lines: IntArray) -> _Columns:
    """``raws`` by column. Raises one of CELL_ERRORS when any row is not as it should be."""
    records = rows.records(raws)
    ticks = form.read_times(rows.cells(records, form.time)) if form.time else None
    inputs, outputs = (
        np.array(list(map(rows.whole, rows.cells(records, name))), dtype=np.int64)
        for name in (form.input, form.output)
    )
    times_fit = ticks is None or _within(ticks, sys.float_info.max)
    if not (times_fit and _within(inputs, MAX_TOKENS) and _within(outputs, MAX_TOKENS)):
        raise ValueError("out of range")
    has_classes = form.class_name in rows.columns
    class_names = [str(name) for name in rows.cells(records, form.class_name or "")] if has_classes else None
    return _Columns(lines, ticks, inputs, outputs, class_names, read_labels(rows, form, records))


def _within(values: Ticks, most: float) -> bool:
    """Whether all values are from 0 to ``most``; nan is not."""
    return values.size == 0 or bool(values.min() >= 0 and values.max() <= most)


def _joined(parts: Sequence[_Columns]) -> _Columns:
    ticks = [part.ticks for part in parts if part.ticks is not None]
    names = [name for part in parts for name in part.class_names or ()]
    return _Columns(
        np.concatenate([part.lines for part in parts]),
        np.concatenate(ticks) if ticks else None,
        np.concatenate([part.inputs for part in parts]),
        np.concatenate([part.outputs for part in parts]),
        names or None,
        {name: [value for part in parts for value in part.labels[name]] for name in parts[0].labels},
    )


def _order_problems(columns: _Columns, form: Format, source: str) -> Iterator[Problem]:
    if columns.ticks is None:
        return
    for row in np.flatnonzero(np.diff(columns.ticks) < 0):
        line, before = columns.lines[row + 1], columns.lines[row]
        message = f"earlier than line {before}; sort the file by {form.time}"
        yield Problem(f"{source}:{line}", f"{form.time}: {message}")


def _capped(problems: list[Problem], source: str) -> list[Problem]:
    if len(problems) <= MAX_PROBLEMS:
        return problems
    more = Problem(source, f"more problems than these {MAX_PROBLEMS}; mend them first")
    return [*problems[:MAX_PROBLEMS], more]


def _offered(columns: _Columns, form: Format, ticks_per_s: float, source: str, limit: int | None) -> Trace:
    """The rows that can be offered; the others counted. Raises TraceError when none is left."""
    empty, silent = columns.inputs == 0, columns.outputs == 0
    kept = np.flatnonzero(~(empty | silent))
    if not len(kept):
        raise TraceError(
            Problem(source, f"no row can be offered: {len(empty)} rows have no input or output tokens")
        )
    if limit is not None:
        kept = kept[:limit]
        empty, silent = empty[: kept[-1] + 1], silent[: kept[-1] + 1]
    counts = {"no input tokens": int(empty.sum()), form.no_output: int((silent & ~empty).sum())}
    ticks, labels = columns.ticks, with_hash_tokens(with_sessions(columns.labels), form)
    return Trace(
        source,
        form,
        None if ticks is None else (ticks[kept] - ticks[0]) / ticks_per_s,
        columns.inputs[kept],
        columns.outputs[kept],
        None if columns.class_names is None else [columns.class_names[row] for row in kept],
        {reason: count for reason, count in counts.items() if count},
        {name: [values[row] for row in kept] for name, values in labels.items()},
    )
