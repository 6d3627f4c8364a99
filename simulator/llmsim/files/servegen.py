"""Client populations in ServeGen's form: each client's rate, gaps and lengths over a day.

The file is JSON: ``{"q": [...], "categories": {NAME: {"clients": [client, ...]}}}``, and a client is
``{"client": NAME, "trace": [row, ...], "lengths": {SECOND: {"input_tokens": [...], "output_tokens": [...]}}}``.
A row is [start in s, requests per s, CV, "Gamma" or "Weibull" or "", shape, scale in s]; the last one is as long as the
one before. Lengths are those at the quantiles ``q``, from a second of the day on. ServeGen itself (Xiang et al., NSDI
2026) has the same numbers in one CSV and one JSON file for each client.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, Field, ValidationError

from llmsim.errors import Problem, TraceError
from llmsim.registry import nearest
from llmsim.spec.lengths import MAX_TOKENS

Floats = npt.NDArray[np.float64]
MAX_PROBLEMS = 20

NotNegative = Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)]
Gaps = Literal["Gamma", "Weibull", ""]


@dataclass(frozen=True)
class ClientTrace:
    """One client over a day.

    Attributes:
        name: As the file calls it.
        edges_s: Where its windows begin, and the end. shape (num_windows + 1,)
        rates: Requests per second. shape (num_windows,)
        gaps: Distribution of the gaps in each window and its shape; exponential where the file has none.
        levels: Quantiles from 0 to 1. shape (num_levels,)
        starts_s: From when on lengths hold. shape (num_tables,)
        inputs, outputs: Tokens at the levels. shape (num_tables, num_levels)
    """

    name: str
    edges_s: Floats
    rates: Floats
    gaps: list[tuple[Gaps, float]]
    levels: Floats
    starts_s: Floats
    inputs: Floats
    outputs: Floats

    @property
    def mean_rate(self) -> float:
        """Requests per second over the day."""
        return float(np.diff(self.edges_s) @ self.rates / self.edges_s[-1])


class _Lengths(BaseModel):
    input_tokens: list[Annotated[float, Field(ge=0, le=MAX_TOKENS)]]
    output_tokens: list[Annotated[float, Field(ge=0, le=MAX_TOKENS)]]


class _Client(BaseModel):
    client: str
    trace: Annotated[
        list[tuple[NotNegative, NotNegative, float | None, Gaps, float | None, float | None]],
        Field(min_length=2),
    ]
    lengths: Annotated[dict[str, _Lengths], Field(min_length=1)]


class _Category(BaseModel):
    clients: Annotated[list[_Client], Field(min_length=1)]


def read_clients(path: Path, source: str, category: str | None) -> list[ClientTrace]:
    """The clients of one category, those with most requests first; who never sends one is left out.

    Args:
        path: The file.
        source: Its name in messages.
        category: One of the file's; None where it has one only.

    Raises:
        TraceError: It cannot be read; with up to 20 problems, each with its place.
    """
    document = _document(path, source)
    categories = document["categories"]
    if category is None and len(categories) > 1:
        names = ", ".join(categories)
        raise TraceError(
            Problem(
                source, f"holds several categories; name one: {{file: {source}, category: NAME}} of {names}"
            )
        )
    name = category or next(iter(categories), "")
    if name not in categories:
        raise TraceError(Problem(source, f"no category '{name}'; {nearest(name, categories)}"))
    try:
        found = _Category.model_validate(categories[name]).clients
    except ValidationError as error:
        raise TraceError(_problems(error, f"{source}: categories.{name}")) from None
    levels = np.array(document["q"], dtype=np.float64)
    problems = [problem for client in found for problem in _faults(client, len(levels), source)]
    if problems:
        raise TraceError(problems[:MAX_PROBLEMS])
    clients = [_trace(client, levels) for client in found]
    busy = sorted((client for client in clients if client.rates.any()), key=lambda one: -one.mean_rate)
    if not busy:
        raise TraceError(Problem(source, f"no client of '{name}' ever sends a request"))
    return busy


def _document(path: Path, source: str) -> dict[str, Any]:
    """The file's content. Raises TraceError."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise TraceError(Problem(source, "no such file of clients")) from None
    except (OSError, ValueError, RecursionError) as error:
        raise TraceError(Problem(source, f"cannot be read as JSON: {error}")) from None
    if not isinstance(document, dict) or not isinstance(document.get("categories"), dict):
        raise TraceError(Problem(source, "holds no `categories` of clients, as ServeGen's form has them"))
    if not _are_levels(document.get("q")):
        raise TraceError(Problem(source, "`q` should be the quantiles of the lengths, rising from 0 to 1"))
    return document


def _are_levels(found: object) -> bool:
    if not isinstance(found, list) or not all(isinstance(one, int | float) for one in found):
        return False
    return len(found) > 1 and found[0] == 0 and found[-1] == 1 and sorted(found) == found


def _problems(error: ValidationError, where: str) -> list[Problem]:
    return [
        Problem(f"{where}.{'.'.join(map(str, one['loc']))}", one["msg"])
        for one in error.errors()[:MAX_PROBLEMS]
    ]


def _faults(client: _Client, num_levels: int, source: str) -> list[Problem]:
    """What is wrong with a client whose cells are all right."""
    where, times = f"{source}: client {client.client}", [row[0] for row in client.trace]
    faults = []
    if times[0] != 0 or any(after <= before for before, after in pairwise(times)):
        faults.append("the times of its trace should rise from 0")
    if any(row[3] and not (row[4] or 0) > 0 for row in client.trace):
        faults.append("a distribution of gaps needs a shape above 0")
    for start, table in client.lengths.items():
        if not start.replace(".", "", 1).isdecimal():
            faults.append(f"lengths.{start}: should be a second of the day")
        for key in ("input_tokens", "output_tokens"):
            values = getattr(table, key)
            if len(values) != num_levels or sorted(values) != values:
                faults.append(
                    f"lengths.{start}.{key}: should be {num_levels} values, one for each of `q`, never falling"
                )
    return [Problem(where, fault) for fault in faults]


def _trace(client: _Client, levels: Floats) -> ClientTrace:
    times = [row[0] for row in client.trace]
    tables = sorted(
        ((float(start), table) for start, table in client.lengths.items()), key=lambda one: one[0]
    )
    return ClientTrace(
        client.client,
        np.array([*times, 2 * times[-1] - times[-2]]),
        np.array([row[1] for row in client.trace]),
        [(row[3], row[4] or 1.0) for row in client.trace],
        levels,
        np.array([start for start, _ in tables]),
        np.array([table.input_tokens for _, table in tables], dtype=np.float64),
        np.array([table.output_tokens for _, table in tables], dtype=np.float64),
    )
