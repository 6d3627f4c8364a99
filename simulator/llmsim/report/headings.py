"""Headings of columns that are named after scenario keys."""

from __future__ import annotations

WIDTH = 10
"""Columns that a heading takes without being broken."""


def heading(key: str) -> str:
    """The last part of a key, long ones in lines that end at underscores: ``tensor_``, ``parallel_``, ``size``."""
    lines = [""]
    for piece in key.rpartition(".")[2].replace("_", "_ ").split():
        if lines[-1] and len(lines[-1] + piece) > WIDTH:
            lines.append("")
        lines[-1] += piece
    return "\n".join(lines)
