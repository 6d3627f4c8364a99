"""A progress bar for runs long enough to want one."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

PATIENCE_S = 1.0
"""Runs shorter than this show nothing."""


class Bar:
    """A bar that is gone when its context ends, however that ends."""

    _bar: Progress

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar.live.is_started:
            self._bar.stop()


class ProgressBar(Bar):
    """Tells how far a simulation is, on standard error; silent where that is no terminal.

    Use as a context; call it with simulated seconds, requests finished, and requests in all or None.
    """

    def __init__(self, *, quiet: bool) -> None:
        self._show = not quiet and sys.stderr.isatty()
        self._start_s = time.monotonic()
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        self._task = self._bar.add_task("simulating", total=None)

    def __call__(self, sim_s: float, finished: int, total: int | None) -> None:
        """Show that ``finished`` of ``total`` requests are done at simulated time ``sim_s``."""
        if not self._show or time.monotonic() - self._start_s < PATIENCE_S:
            return
        self._bar.start()
        description = f"{finished:,} requests, {sim_s:,.0f} s simulated"
        self._bar.update(self._task, completed=finished, total=total, description=description)
