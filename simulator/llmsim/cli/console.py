"""The console that tables are printed on."""

from __future__ import annotations

import os
import sys

from rich import console

from llmsim.report.trimmed import Trimmed


class Console(console.Console):
    """Standard output; goes on in silence, instead of ending the program, when its reader has gone."""

    def on_broken_pipe(self) -> None:
        """``| head`` has seen enough: the rest goes nowhere."""
        self.quiet = True
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def show(content: console.RenderableType, piped_width: int = 120) -> None:
    """Print ``content`` as wide as the terminal, or ``piped_width`` columns into a pipe or a file."""
    is_terminal = sys.stdout.isatty()
    shown = Console(width=None if is_terminal else piped_width)
    shown.print(Trimmed(content, shown.width))
