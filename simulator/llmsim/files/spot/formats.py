"""The forms an availability trace may have, each told by its content."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable
from typing import Any

from llmsim.errors import Problem, TraceError
from llmsim.files.spot.rows import Change, Level, Rows

KNOWN = (
    "CSV with the columns t_s and instances (and zone, or trace), CSV with t_s, event and instance (and zone), "
    "headless CSV of milliseconds,add|remove,node, SkyPilot's JSON {metadata: {gap_seconds}, data: […]}, "
    'or SpotServe\'s lines [ms, "add"|"remove"|"DONE", {"nodes": […]}]'
)
KINDS = ("add", "remove")
Lines = list[tuple[int, str]]
"""(line number, text) of every line that is neither blank nor a comment."""


def parse(text: str, source: str, zone: str) -> Rows:
    """The rows of ``text``, in whichever form it is.

    Args:
        text: The file's content.
        source: Its name in messages.
        zone: What a step function without zones is the capacity of.

    Raises:
        TraceError: Nothing in it, or no known form.
    """
    lines = [(n, line) for n, line in enumerate(text.splitlines(), start=1) if line.strip()]
    lines = [(n, line) for n, line in lines if not line.lstrip().startswith("#")]
    if not lines:
        raise TraceError(Problem(source, "the file is empty"))
    number, first = lines[0]
    if first.lstrip().startswith("{"):
        return _skypilot(text, source, zone)
    if first.lstrip().startswith("["):
        return _spotserve(lines, source)
    header = [cell.strip() for cell in next(csv.reader([first]))]
    form = _csv_form(header)
    if form is None:
        message = f"no availability trace known has the columns {', '.join(header)}"
        raise TraceError(Problem(f"{source}:{number}", message), hint=f"known: {KNOWN}")
    return form(lines, source, zone)


def _csv_form(header: list[str]) -> Callable[[Lines, str, str], Rows] | None:
    columns = set(header)
    if {"t_s", "event", "instance"} <= columns:
        return _csv_changes
    if {"t_s", "instances"} <= columns:
        return _csv_levels
    return _bare_changes if len(header) == 3 and header[1] in KINDS else None


def _skypilot(text: str, source: str, zone: str) -> Rows:
    """skypilot-org/spot-traces (Wu et al., NSDI 2024): instances at every ``gap_seconds``."""
    try:
        content = json.loads(text)
        gap_s = float(content["metadata"]["gap_seconds"])
        data = content["data"]
    except (ValueError, KeyError, TypeError) as error:
        message = f"not SkyPilot's form, {{metadata: {{gap_seconds: …}}, data: […]}}: {_said(error)}"
        raise TraceError(Problem(source, message)) from None
    if not (isinstance(data, list) and gap_s > 0):
        raise TraceError(Problem(source, f"gap_seconds is {gap_s:g} and data a {type(data).__name__}"))
    rows = Rows("SkyPilot spot trace", end_s=gap_s * len(data))
    for position, count in enumerate(data):
        where = f"{source}: data[{position}]"
        if isinstance(count, int):  # true and false are 1 and 0
            rows.add_level("", Level(where, position * gap_s, zone, int(count)))
        else:
            rows.problems.append(Problem(where, f"{count!r} is not a whole number"))
    return rows


def _spotserve(lines: Lines, source: str) -> Rows:
    """SpotServe's artifact (Miao et al., ASPLOS 2024): ``[ms, "add"|"remove"|"DONE", {"nodes": […]}]``."""
    rows = Rows("SpotServe trace")

    def read(where: str, line: str) -> None:
        time_ms, kind, rest = json.loads(line)
        if kind == "DONE":
            rows.end_s = time_ms / 1e3
            return
        rows.changes += [Change(where, time_ms / 1e3, _kind(kind), _name(node)) for node in rest["nodes"]]

    _each(rows, lines, source, read)
    return rows


def _bare_changes(lines: Lines, source: str, _zone: str) -> Rows:
    """The longer recording beside it: ``ms,add|remove,node`` without a header."""
    rows = Rows("node changes in milliseconds")

    def read(where: str, line: str) -> None:
        time_ms, kind, node = (cell.strip() for cell in line.split(","))
        rows.changes.append(Change(where, float(time_ms) / 1e3, _kind(kind), _name(node)))

    _each(rows, lines, source, read)
    return rows


def _csv_changes(lines: Lines, source: str, _zone: str) -> Rows:
    """llmsim's own form of named instances."""
    rows = Rows("llmsim instance changes")

    def read(where: str, record: dict[str, str]) -> None:
        change = Change(
            where,
            float(record["t_s"]),
            _kind(record["event"]),
            _name(record["instance"]),
            record.get("zone", ""),
        )
        rows.changes.append(change)

    _each(rows, _records(rows, lines, source), source, read)
    return rows


def _csv_levels(lines: Lines, source: str, zone: str) -> Rows:
    """llmsim's own form of counts; with a column ``trace``, several step functions in one file."""
    rows = Rows("llmsim instance counts")

    def read(where: str, record: dict[str, str]) -> None:
        trace = record.get("trace", "")
        level = Level(
            where, float(record["t_s"]), record.get("zone", trace or zone), int(record["instances"])
        )
        rows.add_level(trace, level)

    _each(rows, _records(rows, lines, source), source, read)
    return rows


def _records(rows: Rows, lines: Lines, source: str) -> list[tuple[int, dict[str, str]]]:
    """Each line after the header, by column."""
    header, *body = [(n, [cell.strip() for cell in next(csv.reader([line]))]) for n, line in lines]
    rows.problems += [
        Problem(f"{source}:{n}", f"{len(cells)} cells where the header has {len(header[1])}")
        for n, cells in body
        if len(cells) != len(header[1])
    ]
    return [
        (n, dict(zip(header[1], cells, strict=True))) for n, cells in body if len(cells) == len(header[1])
    ]


def _each(
    rows: Rows, items: Iterable[tuple[int, Any]], source: str, read: Callable[[str, Any], None]
) -> None:
    """``read(where, item)`` of every line; what it cannot read is a problem of that line."""
    for number, item in items:
        where = f"{source}:{number}"
        try:
            read(where, item)
        except (ValueError, KeyError, TypeError) as error:
            rows.problems.append(Problem(where, f"cannot be read: {_said(error)}"))


def _kind(text: str) -> Any:
    if text not in KINDS:
        raise ValueError(f"'{text}' is neither add nor remove")
    return text


def _name(node: Any) -> str:
    if not isinstance(node, str) or not node:
        raise ValueError(f"{node!r} is not an instance's name")
    return node


def _said(error: Exception) -> str:
    return f"{error.args[0]!r} is missing" if isinstance(error, KeyError) else str(error)
