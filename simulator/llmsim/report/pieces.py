"""Pieces of HTML that pages share. Text goes in as text and is escaped here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape
from typing import Any

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


def figure(plot: Mapping[str, Any], has_samples: bool = True, name: str = "") -> str:
    """A plot's frame, which the script fills, with its numbers to unfold; or it says that there is nothing to draw.

    Args:
        plot: ``id``, ``title`` and ``caption``; ``of``, what there are no samples of.
        has_samples: Whether there is anything to draw.
        name: Class of the frame.
    """
    host = f'<div class="host{"" if has_samples else " empty"}" id="plot-{plot["id"]}">'
    inside = "" if has_samples else f"<p>No samples: the run has no {escape(plot['of'])}.</p>"
    numbers = NUMBERS if has_samples else ""
    return (
        f'<figure class="{name}"><header><h3>{escape(plot["title"])}</h3><div class="legend"></div></header>'
        f"{host}{inside}</div><figcaption>{escape(plot['caption'])}</figcaption>{numbers}</figure>"
    )


NUMBERS = '<details class="as-table"><summary>Numbers as a table</summary></details>'


def about_time(data: Mapping[str, Any]) -> str:
    """What the panels over time show, in words.

    Args:
        data: Of :func:`llmsim.report.plots.over_time`.
    """
    if not data["times"]:
        return "The run took no time: there is nothing to show."
    shaded = " The steady state is shaded." if data["time"]["band"] else ""
    happened = " and ".join(event["name"] for event in data["time"]["events"])
    marked = f" A triangle is an instance {happened}." if happened else ""
    return f"Averages over equal intervals of simulated time, all replicas together.{shaded}{marked}"


def _source(text: str) -> str:
    return f' <span class="source">{escape(text)}</span>' if text else ""
