"""The console that tables are printed on."""

from __future__ import annotations

import os
import sys

from rich import console


class Console(console.Console):
    """Standard output; goes on in silence, instead of ending the program, when its reader has gone."""

    def on_broken_pipe(self) -> None:
        """``| head`` has seen enough: the rest goes nowhere."""
        self.quiet = True
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
