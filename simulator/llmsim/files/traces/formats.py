"""The trace formats known, each told by the names of its columns."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Ticks = npt.NDArray[np.int64 | np.float64]
"""Times as the file counts them: whole where it has them whole, so that differences are exact."""


def numbers(cells: Sequence[Any]) -> Ticks:
    """Times that are plain numbers, as they are. Raises ValueError at the first that is not."""
    return np.array(list(map(float, cells)))


def whole_numbers(cells: Sequence[Any]) -> Ticks:
    """Times that are whole numbers, exactly. Raises ValueError at the first that is not."""
    return np.array(list(map(int, cells)), dtype=np.int64)


def utc_dates(cells: Sequence[Any]) -> Ticks:
    """ISO dates in UTC, with or without its mark, in nanoseconds since 1970. Raises ValueError as above."""
    bare = [cell.removesuffix("+00:00").removesuffix("Z") for cell in cells]
    signs = "".join(bare)
    if "+" in signs or signs.count("-") > 2 * len(bare):  # more than the two within a date
        raise ValueError("not in UTC")
    return np.array(bare, dtype="datetime64[ns]").astype(np.int64)


@dataclass(frozen=True)
class Format:
    """One way to write a request trace.

    Attributes:
        name: What reports call it.
        title: What it is and where it comes from.
        kind: ``csv`` with a header line, or ``jsonl``; None for either.
        input, output: Columns of prompt and output tokens.
        time: Column of the arrival time; None where the file holds lengths only.
        read_times: Cells of ``time`` to ticks.
        ticks_per_s: Ticks in a second.
        marks: Columns that tell it from another format with the same three.
        class_name: Column of the request's class, which may be absent.
        labels: Further columns that may be absent (``labels.py``).
        hash_tokens: Tokens that each of its ``hash_ids`` stands for, where it has them.
        no_output: Why a row without output tokens cannot be offered.
        note: What a reader should know of it.
    """

    name: str
    title: str
    kind: str | None
    input: str
    output: str
    time: str | None = None
    read_times: Callable[[Sequence[Any]], Ticks] = numbers
    ticks_per_s: float = 1.0
    marks: tuple[str, ...] = ()
    class_name: str | None = None
    labels: tuple[str, ...] = ("session_id", "hash_ids")
    hash_tokens: int = 512
    no_output: str = "no output tokens"
    note: str = ""

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns it must have."""
        return (*((self.time,) if self.time else ()), self.input, self.output, *self.marks)


_OWN_LABELS = ("session_id", "hash_ids", "hash_tokens", "segments", "model")

FORMATS: tuple[Format, ...] = (
    Format(
        "azure-2025", "Azure LMM inference trace 2025 (ModServe, SoCC'25)",
        "csv", "ContextTokens", "GeneratedTokens", "TIMESTAMP", utc_dates, 1e9, ("NumImages",),
        note="NumImages is not used: only ContextTokens count",
    ),
    Format(
        "apex", "APEX+",
        "csv", "ContextTokens", "GeneratedTokens", "StartTimeOffset_ns", whole_numbers, 1e9,
    ),
    Format(
        "azure", "Azure LLM inference trace 2023 or 2024 (Splitwise, ISCA'24; DynamoLLM, HPCA'25)",
        "csv", "ContextTokens", "GeneratedTokens", "TIMESTAMP", utc_dates, 1e9,
    ),
    Format(
        "burstgpt", "BurstGPT 1 to 3 (arXiv 2401.17644)",
        "csv", "Request tokens", "Response tokens", "Timestamp",
        no_output="failed when recorded (0 response tokens)",
    ),
    Format("vidur", "Vidur", "csv", "num_prefill_tokens", "num_decode_tokens", "arrived_at"),
    Format("vidur-lengths", "Vidur, lengths only", "csv", "num_prefill_tokens", "num_decode_tokens"),
    Format(
        "bailian", "Qwen Bailian (timestamp in s)",
        "jsonl", "input_length", "output_length", "timestamp", marks=("chat_id",),
        labels=("chat_id", "parent_chat_id", "hash_ids"), hash_tokens=16,
    ),
    Format(
        "mooncake", "Mooncake (FAST'25) or vLLM timed trace (timestamp in ms)",
        "jsonl", "input_length", "output_length", "timestamp", ticks_per_s=1e3,
    ),
    Format("lengths", "ShareGPT-style lengths", "jsonl", "input_length", "output_length"),
    Format(
        "llmsim", "llmsim", None, "input_tokens", "output_tokens", "arrival_s",
        class_name="class", labels=_OWN_LABELS,
    ),
    Format(
        "llmsim-lengths", "llmsim, no times", None, "input_tokens", "output_tokens",
        class_name="class", labels=_OWN_LABELS,
    ),
)  # fmt: skip
"""Every format known; the first whose columns are all there is taken."""


def formats_of(kind: str) -> list[Format]:
    """The formats that a ``csv`` or a ``jsonl`` file may be. Pure query."""
    return [form for form in FORMATS if form.kind in (kind, None)]


def recognise(columns: Collection[str], kind: str) -> Format | None:
    """The format of a ``csv`` or ``jsonl`` file with these columns; None if unknown. Pure query."""
    return next((form for form in formats_of(kind) if set(form.columns) <= set(columns)), None)
