"""Pieces of HTML that pages share. Text goes in as text and is escaped here."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from llmsim.report.facts import Fact


def notes_list(notes: Iterable[str]) -> str:
    """What a reader has to know before trusting a figure; '' when there is nothing."""
    items = "".join(f"<li>{escape(note)}</li>" for note in notes)
    return f"<h2>Notes</h2><ul>{items}</ul>" if items else ""


def facts_table(rows: Iterable[Fact]) -> str:
    """Label, value and source, a row each."""
    body = "".join(
        f'<tr><th scope="row">{escape(label)}</th><td>{escape(value)}{_source(source)}</td></tr>'
        for label, value, source in rows
    )
    return f'<table class="facts"><tbody>{body}</tbody></table>'


def scenario_text(summary: str, text: str) -> str:
    """A scenario in full, folded."""
    return f"<details><summary>{escape(summary)}</summary><pre>{escape(text)}</pre></details>"


def _source(text: str) -> str:
    return f' <span class="source">{escape(text)}</span>' if text else ""
