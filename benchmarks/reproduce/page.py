"""What a reproduction is, and docs/reproductions.md as text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One published figure beside ours.

    Attributes:
        what: What is measured.
        theirs: The published figure, with its unit.
        ours: Ours, in the same unit.
        difference: How far off, or another word on it; empty where it says itself.
        met: Whether it is within the limit that the row names.
    """

    what: str
    theirs: str
    ours: str
    difference: str
    met: bool


@dataclass(frozen=True)
class Reproduction:
    """One paper's figures.

    Attributes:
        title: The system.
        source: Where the figures were published.
        setting: What was simulated, in sentences.
        rows: The figures.
        remarks: Why they differ, and what was not modelled, in sentences.
    """

    title: str
    source: str
    setting: str
    rows: Sequence[Row]
    remarks: Sequence[str]


def relative(what: str, theirs: float, ours: float, *, within: float, unit: str = "", digits: int = 2) -> Row:
    """A row about two numbers; it is met where they differ by at most the share ``within`` of the published one."""
    error = ours / theirs - 1
    suffix = f" {unit}" if unit else ""
    places = 0 if within >= 0.01 else 1
    return Row(
        what,
        f"{theirs:,.{digits}f}{suffix}",
        f"{ours:,.{digits}f}{suffix}",
        f"{error:+.{places}%} (limit {within:.{places}%})",
        abs(error) <= within,
    )


def page(head: str, reproductions: Sequence[Reproduction]) -> str:
    """The page in Markdown."""
    return "\n".join([head, *(_section(each) for each in reproductions)])


def _section(each: Reproduction) -> str:
    lines = [f"## {each.title}", "", each.setting, "", f"Source: {each.source}", ""]
    lines += ["| | published | here | difference | |", "|---|---|---|---|---|"]
    for row in each.rows:
        verdict = "met" if row.met else "**missed**"
        lines.append(f"| {row.what} | {row.theirs} | {row.ours} | {row.difference} | {verdict} |")
    lines += ["", *(f"- {remark}" for remark in each.remarks), ""]
    return "\n".join(lines)
