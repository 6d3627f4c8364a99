"""An availability trace from a file, checked and cut to the run."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from llmsim.errors import Problem, TraceError
from llmsim.files.spot.events import CapacityEvent, CapacityTrace, from_start, merged
from llmsim.files.spot.formats import parse
from llmsim.files.spot.rows import Change, Level, Rows, change_events, level_events, raise_all
from llmsim.files.traces.rows import open_text
from llmsim.registry import nearest


def read_capacity(
    path: Path | str,
    *,
    names: Sequence[str] = (),
    time_scale: float = 1.0,
    start_s: float = 0.0,
    source: str | None = None,
) -> CapacityTrace:
    """The availability trace at ``path``; its form is recognised by its content (``formats.KNOWN``).

    Args:
        path: The file, also ``.gz``.
        names: Which traces of a file that holds several; each becomes a zone of that name.
        time_scale: Simulated seconds in one of the trace's.
        start_s: Where to begin, in the trace's seconds; what is there then is there at 0 s.
        source: Its name in messages.

    Raises:
        TraceError: It cannot be read, makes no sense, or never has capacity; with the lines.
    """
    source = source or str(path)
    text = read_text(path, source)
    rows = parse(text, source, Path(path).name.partition(".")[0])
    raise_all(rows.problems)
    events, end_s = _events(rows, _chosen(rows, names, source))
    initial, later = from_start(events, start_s, time_scale)
    end = max(0.0, (end_s - start_s) * time_scale)
    trace = CapacityTrace(source, rows.format, initial, later, end)
    if not trace.has_capacity:
        after = f" after start_s {start_s:g}" if start_s else ""
        message = f"no capacity in the whole trace{after}: a pool would never have an instance"
        raise TraceError(Problem(source, message))
    return trace


def read_text(path: Path | str, source: str) -> str:
    """The text of a file, unpacked when its name ends in ``.gz``. Raises TraceError."""
    try:
        with open_text(Path(path), source) as file:
            return file.read()
    except UnicodeDecodeError as error:
        raise TraceError(Problem(source, f"is not UTF-8 text (byte {error.start})")) from None
    except (OSError, EOFError) as error:
        raise TraceError(Problem(source, f"cannot be read: {error}")) from None


def _chosen(rows: Rows, names: Sequence[str], source: str) -> list[list[Level]]:
    """The step functions asked for; none where the file names instances instead."""
    known = [name for name in rows.levels if name]
    if names and not known:
        raise TraceError(Problem(source, f"has no traces by name, so it has no '{names[0]}'; remove `name`"))
    unknown = [name for name in names if name not in rows.levels]
    if unknown:
        raise TraceError([Problem(source, f"has no trace '{n}'; {nearest(n, known)}") for n in unknown])
    if len(known) > 1 and not names:
        listed = ", ".join(known[:3])
        raise TraceError(Problem(source, f"holds {len(known)} traces ({listed} …); choose with `name`"))
    return [rows.levels[name] for name in (names or rows.levels)]


def _events(rows: Rows, levels: list[list[Level]]) -> tuple[list[CapacityEvent], float]:
    """All events in order of time, and when the trace ends."""
    all_rows: list[Level | Change] = [*rows.changes, *(row for part in levels for row in part)]
    raise_all(
        [
            Problem(row.where, f"{row.time_s:g} s; a time is a number of seconds, 0 or more")
            for row in all_rows
            if not (math.isfinite(row.time_s) and row.time_s >= 0)
        ]
    )
    events = list(merged([change_events(rows.changes), *map(level_events, levels)]))
    return events, max([rows.end_s or 0.0, *(row.time_s for row in all_rows)])
