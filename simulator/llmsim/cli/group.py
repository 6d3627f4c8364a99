"""All commands together: what holds wherever one of them is."""

from __future__ import annotations

import signal
from typing import Any

import typer
from typer.core import TyperGroup

INTERRUPTED = 130
"""Exit code after Ctrl-C: 128 + SIGINT."""


class Commands(TyperGroup):
    """Ends with the shell's exit code for Ctrl-C, wherever a command is when it comes."""

    def invoke(self, ctx: Any) -> Any:
        """Runs a command; a reader that has gone is no error."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:  # the reader (``| head``) has gone, and that is no error
            raise typer.Exit from None
        except KeyboardInterrupt:
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # the program is ending already
            typer.echo("Interrupted.", err=True)
            raise typer.Exit(INTERRUPTED) from None
