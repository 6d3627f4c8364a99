"""Text as a terminal, a pipe and a file all take it well."""

from __future__ import annotations

import os
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.segment import Segment

WIDTH = 100


@dataclass(frozen=True)
class Trimmed:
    """What it shows, as wide as the terminal or a pipe's COLUMNS, and without spaces at line ends.

    Attributes:
        content: What to show.
        most: Columns at most.
    """

    content: RenderableType
    most: int = WIDTH

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width = min(self.most, options.max_width)
        columns = os.environ.get("COLUMNS", "")
        if not console.is_terminal and columns.isdecimal() and int(columns):
            width = min(width, int(columns))
        for line in console.render_lines(self.content, options.update(width=width), pad=False):
            yield from _trimmed(line)
            yield Segment.line()


def _trimmed(line: list[Segment]) -> list[Segment]:
    """``line`` without the spaces at its end."""
    kept = list(line)
    while kept and not kept[-1].text.rstrip():
        kept.pop()
    return [*kept[:-1], kept[-1]._replace(text=kept[-1].text.rstrip())] if kept else []
