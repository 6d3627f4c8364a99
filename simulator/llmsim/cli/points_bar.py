"""How far many runs are: a bar on a terminal, a line now and then in a log."""

from __future__ import annotations

import sys
import time

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from llmsim.cli.progress import Bar

LOG_EVERY_S = 10.0
"""Between two lines where standard error is no terminal."""


class PointsBar(Bar):
    """Tells on standard error how many points are done, how fast, and how long the rest will take.

    Use as a context; call it with points finished and points in all.
    """

    def __init__(self, *, quiet: bool, what: str = "points") -> None:
        self._quiet = quiet
        self._what = what
        self._start_s = self._told_s = time.monotonic()
        self._first: int | None = None
        self._bar = Progress(
            TextColumn(f"{what} {{task.description}}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        self._task = self._bar.add_task("", total=None)

    def __call__(self, done: int, total: int) -> None:
        """Show that ``done`` of ``total`` are finished."""
        now_s = time.monotonic()
        self._first = done - 1 if self._first is None else self._first
        rate = (done - self._first) / max(now_s - self._start_s, 1e-9)
        if self._quiet:
            return
        if sys.stderr.isatty():
            self._bar.start()
            self._bar.update(self._task, completed=done, total=total, description=f"{rate:.1f}/s")
        elif now_s - self._told_s >= LOG_EVERY_S:
            self._told_s = now_s
            left_s = (total - done) / rate
            message = f"{done:,} of {total:,} {self._what}, {rate:.2f} a second, about {left_s:,.0f} s left"
            print(message, file=sys.stderr, flush=True)
