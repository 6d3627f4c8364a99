"""A trace file's rows, whatever it is written in: CSV with a header line, or one JSON object a line."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Iterator, Sequence
from itertools import chain
from operator import index
from pathlib import Path
from typing import IO, Any, ClassVar, Protocol

from llmsim.errors import Problem, TraceError


class Rows(Protocol):
    """Rows of a file, read raw and made into records when they are needed.

    Attributes:
        kind: ``csv`` or ``jsonl``.
        columns: The names in the header, or of the first object.
        first_line: Line number of the first row.
    """

    kind: ClassVar[str]
    columns: list[str]
    first_line: int

    def raw(self) -> Iterator[Any]:
        """The rows as they stand, blank ones included."""

    def records(self, raws: Sequence[Any]) -> list[Any]:
        """Rows by column. Raises ValueError when one is broken; the message says how."""

    def cell(self, record: Any, column: str) -> Any:
        """What a record holds under ``column``. Raises LookupError when it has no such column."""

    def cells(self, records: Sequence[Any], column: str) -> list[Any]:
        """The same of all records. Raises LookupError."""

    def whole(self, cell: Any) -> int:
        """``cell`` as a whole number. Raises ValueError or TypeError when it is none."""


class CsvRows:
    """Rows of a comma-separated file."""

    kind: ClassVar[str] = "csv"
    whole = staticmethod(int)

    def __init__(self, lines: Iterator[str], first_line: int) -> None:
        self._reader = csv.reader(lines)
        self.columns = [name.strip() for name in next(self._reader)]
        twice = sorted({name for name in self.columns if self.columns.count(name) > 1})
        if twice:
            raise ValueError(f"column {' and '.join(map(repr, twice))} is there twice; keep one")
        self.first_line = first_line + 1
        self._position = {name: position for position, name in enumerate(self.columns)}

    def raw(self) -> Iterator[list[str]]:
        """As :meth:`Rows.raw`."""
        return self._reader

    def records(self, raws: Sequence[list[str]]) -> list[list[str]]:
        """As :meth:`Rows.records`."""
        width = len(self.columns)
        for row in raws:
            if len(row) != width:
                raise ValueError(f"{len(row)} cells where the header has {width}")
        return list(raws)

    def cell(self, record: list[str], column: str) -> str:
        """As :meth:`Rows.cell`."""
        return record[self._position[column]]

    def cells(self, records: Sequence[list[str]], column: str) -> list[str]:
        """As :meth:`Rows.cells`."""
        position = self._position[column]
        return [record[position] for record in records]


class JsonRows:
    """Rows of a JSONL file."""

    kind: ClassVar[str] = "jsonl"
    whole = staticmethod(index)

    def __init__(self, lines: Iterator[str], first_line: int) -> None:
        first = next(lines)
        self.first_line = first_line
        self._lines = chain([first], lines)
        self.columns = list(self._record(first))

    def raw(self) -> Iterator[str]:
        """As :meth:`Rows.raw`."""
        return (line.strip() for line in self._lines)

    def records(self, raws: Sequence[str]) -> list[dict[str, Any]]:
        """As :meth:`Rows.records`."""
        return list(map(self._record, raws))

    @staticmethod
    def _record(line: str) -> dict[str, Any]:
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"not JSON ({error}); is the line cut off?") from None
        if not isinstance(record, dict):
            raise ValueError("not a JSON object")
        return record

    def cell(self, record: dict[str, Any], column: str) -> Any:
        """As :meth:`Rows.cell`."""
        return record[column]

    def cells(self, records: Sequence[dict[str, Any]], column: str) -> list[Any]:
        """As :meth:`Rows.cells`."""
        return [record[column] for record in records]


def open_text(path: Path, source: str) -> IO[str]:
    """The file at ``path``, unpacked when its name ends in ``.gz``.

    Raises:
        TraceError: It is not there or cannot be opened.
    """
    try:
        if path.suffix == ".gz":
            return gzip.open(path, "rt", encoding="utf-8-sig", newline="")
        return path.open(encoding="utf-8-sig", newline="")
    except FileNotFoundError:
        raise TraceError(Problem(source, "no such trace file")) from None
    except OSError as error:
        raise TraceError(Problem(source, f"cannot be read: {error.strerror}")) from None


def rows_of(file: IO[str], source: str) -> Rows:
    """The rows of an open file; blank lines before the first are passed over.

    Raises:
        TraceError: The file is empty, or its first line shows that it is neither CSV nor JSONL.
    """
    number, line = next(((n, line) for n, line in enumerate(file, start=1) if line.strip()), (0, ""))
    if not line:
        raise TraceError(Problem(source, "the file is empty"))
    lines = chain([line], file)
    where = f"{source}:{number}"
    if line.lstrip().startswith("["):
        raise TraceError(
            Problem(where, "a JSON array; a trace is JSONL (one object a line, with lengths) or CSV")
        )
    try:
        return JsonRows(lines, number) if line.lstrip().startswith("{") else CsvRows(lines, number)
    except ValueError as error:
        raise TraceError(Problem(where, str(error))) from None
