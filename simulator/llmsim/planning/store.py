"""Outcomes in one file that survives anything: a rerun finds what is there and does what is missing."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmsim.errors import OutputError
from llmsim.planning.outcome import Outcome
from llmsim.planning.points import Point

FILE = "sweep.sqlite"
HINT = "choose another directory with --out, or remove this one"

_TABLES = """
CREATE TABLE IF NOT EXISTS manifest (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS outcomes (
    sha256 TEXT PRIMARY KEY,  -- of the resolved scenario, its seed included
    body TEXT NOT NULL,       -- JSON: summary, curves, problem
    digest TEXT NOT NULL      -- SHA-256 of body: a row that was damaged is run again
) WITHOUT ROWID;
"""


@contextmanager
def open_store(directory: Path, manifest: Mapping[str, str]) -> Iterator[Store]:
    """The store of ``directory``, made when there is none; one program at a time may hold it.

    Args:
        directory: Is there already.
        manifest: What every outcome in it depends on besides its scenario: key to value.

    Raises:
        OutputError: The store belongs to another manifest, is held by another program, or is no store.
    """
    path = directory / FILE
    with _explained(path):
        connection = sqlite3.connect(path, timeout=0.0, isolation_level=None)
        try:
            # Exclusive: a second sweep must not run what this one is running. The system lets go of
            # it however the program ends; a transaction that was under way is rolled back.
            connection.execute("PRAGMA locking_mode = EXCLUSIVE")
            connection.execute("BEGIN EXCLUSIVE")
            for statement in _TABLES.split(";\n"):
                connection.execute(statement)
            _agree(path, connection, manifest)
            connection.execute("COMMIT")
            yield Store(path, connection)
        finally:
            connection.close()


def _agree(path: Path, connection: sqlite3.Connection, manifest: Mapping[str, str]) -> None:
    """A new store takes the manifest; an old one must have the same."""
    held = dict(connection.execute("SELECT key, value FROM manifest"))
    if not held:
        connection.executemany("INSERT INTO manifest VALUES (?, ?)", manifest.items())
    for key, value in manifest.items():
        if held and held.get(key) != value:
            had = held.get(key) or "none"
            raise OutputError(f"{path}: made with another {key} ({had}; now {value or 'none'})", hint=HINT)


@dataclass(frozen=True)
class Store:
    """Outcomes by the hash of their scenario."""

    path: Path
    connection: sqlite3.Connection

    def find(self, points: Iterable[Point]) -> dict[int, Outcome]:
        """Position to outcome of the points that are there, whole."""
        found = {}
        with _explained(self.path):
            for index, point in enumerate(points):
                body = point.sha256 and self._body(point.sha256)
                if body:
                    found[index] = Outcome(point.settings, point.seed, point.sha256, **json.loads(body))
        return found

    def count(self) -> int:
        """Number of outcomes it holds."""
        with _explained(self.path):
            (number,) = self.connection.execute("SELECT COUNT(*) FROM outcomes").fetchone()
        return int(number)

    def _body(self, sha256: str) -> str | None:
        query = "SELECT body, digest FROM outcomes WHERE sha256 = ?"
        row = self.connection.execute(query, (sha256,)).fetchone()
        return row[0] if row and _digest(row[0]) == row[1] else None

    def add(self, outcome: Outcome) -> None:
        """Keep an outcome for good: when this returns it is on the disk, and before, nothing of it is.

        Outcomes that another try might change are not kept.
        """
        if not outcome.is_final or not outcome.sha256:
            return
        body = json.dumps(_body_of(outcome), allow_nan=False)
        with _explained(self.path):
            self.connection.execute(
                "INSERT OR REPLACE INTO outcomes VALUES (?, ?, ?)", (outcome.sha256, body, _digest(body))
            )


def _body_of(outcome: Outcome) -> dict[str, Any]:
    return {"summary": outcome.summary, "curves": outcome.curves, "problem": outcome.problem}


def _digest(body: str) -> str:
    return hashlib.sha256(body.encode()).hexdigest()


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """SQLite's errors in words that say what to do."""
    try:
        yield
    except sqlite3.Error as error:
        text = str(error)
        if "locked" in text:
            raise OutputError(f"{path}: another sweep is writing to it", hint="wait for it") from None
        if "full" in text or "disk I/O" in text:
            message = f"{path}: cannot be written: {text}; what was finished is kept"
            raise OutputError(
                message, hint="make room and run the same again: only the rest is run"
            ) from None
        raise OutputError(f"{path}: {text}", hint=HINT) from None
