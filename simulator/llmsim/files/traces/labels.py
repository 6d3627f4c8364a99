"""What a trace may say of a request beside its length: session, hashed prompt blocks and their size, model."""

from __future__ import annotations

from collections.abc import Sequence
from operator import index
from typing import Any

from llmsim.files.traces.formats import Format
from llmsim.files.traces.rows import Rows

Labels = dict[str, list[Any]]
"""Label to its value for each row."""

LISTS = ("hash_ids", "segments")
"""Labels that a CSV cannot hold."""

CHAT, PARENT = "chat_id", "parent_chat_id"
"""Bailian's turns: each has an id, and names the turn it follows (-1 or nothing for the first)."""


def label_columns(rows: Rows, form: Format) -> list[str]:
    """The columns of ``rows`` that hold labels. Lists cannot be in a CSV. Pure query."""
    return [
        name for name in form.labels if name in rows.columns and (name not in LISTS or rows.kind == "jsonl")
    ]


def read_label(name: str, cell: Any) -> Any:
    """The value in one cell. Raises ValueError or TypeError when it is none."""
    if name == "hash_ids":
        if not isinstance(cell, list):
            raise TypeError("not a list")
        return tuple(map(index, cell))
    if name == "segments":
        pairs = tuple((index(part), index(tokens)) for part, tokens in cell)
        if any(tokens < 1 for _, tokens in pairs):
            raise ValueError("not a length")
        return pairs
    if name == "hash_tokens":
        if (tokens := int(cell)) < 1:
            raise ValueError("not a size")
        return tokens
    if isinstance(cell, list | dict):
        raise TypeError("not a name")
    return "" if cell is None else str(cell)


def read_labels(rows: Rows, form: Format, records: Sequence[Any]) -> Labels:
    """The labels of some rows. Raises LookupError, ValueError or TypeError when a cell is missing or bad."""
    return {
        name: [read_label(name, cell) for cell in rows.cells(records, name)]
        for name in label_columns(rows, form)
    }


def with_hash_tokens(labels: Labels, form: Format) -> Labels:
    """``labels`` with what each hash stands for, where that is not the usual :attr:`Format.hash_tokens`."""
    if "hash_ids" not in labels or form.hash_tokens == Format.hash_tokens:
        return labels
    return labels | {"hash_tokens": [form.hash_tokens] * len(labels["hash_ids"])}


def with_sessions(labels: Labels) -> Labels:
    """``labels`` with chats as sessions: a turn belongs to the session of the turn it follows."""
    if CHAT not in labels:
        return labels
    sessions: dict[str, str] = {}
    parents = labels.get(PARENT, [""] * len(labels[CHAT]))
    for chat, parent in zip(labels[CHAT], parents, strict=True):
        sessions[chat] = sessions.get(parent, chat)
    kept = {name: values for name, values in labels.items() if name not in (CHAT, PARENT)}
    return kept | {"session_id": [sessions[chat] for chat in labels[CHAT]]}
