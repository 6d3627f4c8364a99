"""The rows of an availability trace: how many there are from a time on, or who comes and goes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal

from llmsim.errors import Problem, TraceError
from llmsim.files.spot.events import CapacityEvent

MAX_PROBLEMS = 20


@dataclass(frozen=True)
class Level:
    """``instances`` of ``zone`` from ``time_s`` on; ``where`` is the file and line that say so."""

    where: str
    time_s: float
    zone: str
    instances: int


@dataclass(frozen=True)
class Change:
    """A named instance that comes or goes."""

    where: str
    time_s: float
    kind: Literal["add", "remove"]
    instance: str
    zone: str = ""


@dataclass
class Rows:
    """What a file says, before it is known to make sense.

    Attributes:
        format: What it is written in, in words.
        levels: Step functions, by trace name where the file has several ("" where it has one).
        changes: Named instances.
        end_s: Where the trace says it ends; None where it does not.
        problems: Rows that could not be read.
    """

    format: str
    levels: dict[str, list[Level]] = field(default_factory=dict)
    changes: list[Change] = field(default_factory=list)
    end_s: float | None = None
    problems: list[Problem] = field(default_factory=list)

    def add_level(self, trace: str, level: Level) -> None:
        """Keep one more row of the step function ``trace``."""
        self.levels.setdefault(trace, []).append(level)


def _backwards(rows: Iterable[Level | Change]) -> Iterator[Problem]:
    """Rows whose time is before that of the row before them."""
    last_s, last_where = float("-inf"), ""
    for row in rows:
        if row.time_s < last_s:
            line = last_where.rpartition(":")[2]
            message = f"{row.time_s:g} s is earlier than {last_s:g} s on line {line}; sort the rows by time"
            yield Problem(row.where, message)
        last_s, last_where = row.time_s, row.where


def level_events(rows: list[Level]) -> list[CapacityEvent]:
    """What changes from row to row, zone by zone; nothing is there before the first row.

    Raises:
        TraceError: A count below 0, or times that go backwards.
    """
    problems = [
        Problem(row.where, f"{row.instances} instances; a count is 0 or more")
        for row in rows
        if row.instances < 0
    ]
    raise_all([*problems, *_backwards(rows)])
    events, last = [], dict.fromkeys((row.zone for row in rows), 0)
    for row in rows:
        more = row.instances - last[row.zone]
        last[row.zone] = row.instances
        if more:
            events.append(
                CapacityEvent(row.time_s, "add" if more > 0 else "remove", row.zone, count=abs(more))
            )
    return events


def change_events(rows: list[Change]) -> list[CapacityEvent]:
    """The same of named instances.

    Raises:
        TraceError: A removal of an instance that is not there, an addition of one that is, or times that
            go backwards.
    """
    held: set[str] = set()
    problems = []
    for row in rows:
        if row.kind == "add" and row.instance in held:
            problems.append(Problem(row.where, f"'{row.instance}' is added, but it is there already"))
        elif row.kind == "remove" and row.instance not in held:
            problems.append(Problem(row.where, f"'{row.instance}' is removed, but it is not there"))
        (held.add if row.kind == "add" else held.discard)(row.instance)
    raise_all([*problems, *_backwards(rows)])
    return [CapacityEvent(row.time_s, row.kind, row.zone, row.instance) for row in rows]


def raise_all(problems: list[Problem]) -> None:
    """Raise one TraceError with the first problems; nothing when there is none."""
    if problems:
        raise TraceError(problems[:MAX_PROBLEMS])
