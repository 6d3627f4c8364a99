"""What is wrong with a trace: an unknown header, or a row that cannot be read."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from llmsim.errors import Problem, TraceError
from llmsim.files.traces.formats import Format, formats_of, recognise, utc_dates
from llmsim.files.traces.labels import label_columns, read_label
from llmsim.files.traces.rows import Rows
from llmsim.spec.lengths import MAX_TOKENS

CELL_ERRORS = (ValueError, TypeError, LookupError, OverflowError, AttributeError)
"""What reading a bad cell may raise."""


def recognised(rows: Rows, source: str) -> Format:
    """The format of ``rows``. Raises TraceError naming the columns found and those known."""
    form = recognise(rows.columns, rows.kind)
    if form is not None:
        return form
    known = formats_of(rows.kind)
    closest = max(known, key=lambda each: (len(set(each.columns) & set(rows.columns)), -len(each.columns)))
    missing = [column for column in closest.columns if column not in rows.columns]
    message = f"no trace format known has the columns {', '.join(rows.columns)}"
    if len(missing) < len(closest.columns):
        message += f"; {closest.title} also needs {', '.join(missing)}"
    if len(rows.columns) == 1 and re.search(r"[;\t|]", rows.columns[0]):
        message += "; separate cells by commas"
    line = rows.first_line - (rows.kind == "csv")
    columns = "; ".join(f"{each.name} ({', '.join(each.columns)})" for each in known)
    raise TraceError(
        Problem(f"{source}:{line}", message), hint=f"{rows.kind.upper()} traces known: {columns}"
    )


def row_fault(rows: Rows, form: Format, raw: Any) -> str | None:
    """What is wrong with one row; None when nothing is. Pure query."""
    try:
        (record,) = rows.records([raw])
    except ValueError as error:
        return str(error)
    labels = label_columns(rows, form)
    for column in (form.time, form.input, form.output, *labels):
        if column is None:
            continue
        try:
            cell = rows.cell(record, column)
        except LookupError:
            return f"no '{column}'"
        if column in labels:
            fault = _label_fault(column, cell)
        else:
            fault = _time_fault(form, cell) if column == form.time else _token_fault(rows, cell)
        if fault:
            shown = repr(cell)
            return f"{column}: {fault} (got {shown if len(shown) <= 60 else shown[:57] + '...'})"
    return None


def _time_fault(form: Format, cell: Any) -> str | None:
    wanted = (
        "a date and time in UTC like 2023-11-16 18:15:46.68" if form.read_times is utc_dates else "a number"
    )
    try:
        (tick,) = form.read_times([cell])
    except CELL_ERRORS:
        return f"should be {wanted}"
    if not np.isfinite(tick) or (tick < 0 and form.read_times is utc_dates):
        return f"should be {wanted}"
    return "is negative" if tick < 0 else None


_LABELS = {
    "hash_ids": "a list of whole numbers",
    "hash_tokens": "a whole number of tokens",
    "segments": "a list of [number, tokens]",
}
"""What is in the cells of labels that are no names."""


def _label_fault(column: str, cell: Any) -> str | None:
    try:
        read_label(column, cell)
    except CELL_ERRORS:
        return f"should be {_LABELS.get(column, 'a name')}"
    return None


def _token_fault(rows: Rows, cell: Any) -> str | None:
    try:
        count = rows.whole(cell)
    except CELL_ERRORS:
        return "should be a whole number of tokens"
    if count < 0:
        return "is negative"
    return f"is more than {MAX_TOKENS:,}" if count > MAX_TOKENS else None
