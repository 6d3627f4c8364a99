"""Measured server runs: rows of a runs file, or results of ``vllm bench serve --save-result``.

Columns are explained in the runs files' own README: milliseconds, tokens per second, one row per run.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llmsim.calibrate.runs_check import problems_of
from llmsim.errors import Problem, RunsError

REQUIRED = ("id", "gpu", "model", "engine", "arrival", "input_mean", "output_mean")
"""Columns a runs file must have; a cell may be empty, and the row is then named as not expressible."""

TEXTS = (
    "id", "source", "gpu", "model", "dtype", "kv_dtype", "engine", "engine_version", "prefix_caching",
    "chunked_prefill", "arrival", "input_dist", "output_dist", "regime", "notes",
)  # fmt: skip
"""Columns of words; every other one holds numbers."""

STATISTICS = {"mean": "mean", "p50": "p50", "p90": "p90", "p99": "p99", "unspecified": "mean"}

METRICS = {
    **{
        f"{column}_ms_{statistic}": f"{prefix}_{name}_ms"
        for column, name in (("ttft", "ttft"), ("tpot", "tpot"), ("itl", "itl"), ("e2e", "e2el"))
        for statistic, prefix in STATISTICS.items()
    },
    "output_tokens_per_s": "output_throughput",
    "total_tokens_per_s": "total_token_throughput",
    "requests_per_s": "request_throughput",
}
"""Metric columns, and the field of a run's summary that answers each."""


@dataclass(frozen=True)
class MeasuredRun:
    """One run of a real server.

    Attributes:
        where: File and line, for messages.
        texts: Cells of words; "" where empty.
        numbers: Cells of numbers that are not empty.
        metrics: What was measured, by metric column.
    """

    where: str
    texts: Mapping[str, str]
    numbers: Mapping[str, float] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """What the file calls it."""
        return self.texts["id"]

    def text(self, column: str) -> str:
        """A cell of words, "" where there is none. Pure query."""
        return self.texts.get(column, "")

    def number(self, column: str) -> float | None:
        """A cell's number, None where there is none. Pure query."""
        return self.numbers.get(column)

    def count(self, column: str) -> int | None:
        """A cell's number as a whole one. Pure query."""
        value = self.numbers.get(column)
        return None if value is None else round(value)


def read_runs(path: Path, context: Mapping[str, str] | None = None) -> list[MeasuredRun]:
    """The runs in a CSV file, in a result file of ``vllm bench serve``, or in a directory of result files.

    Args:
        path: The file or directory.
        context: Cells that result files lack: ``gpu``, ``engine_version``, ``tensor_parallel`` …

    Raises:
        RunsError: It cannot be read, columns are missing, or values are impossible; with every problem.
    """
    if path.is_dir():
        files = sorted(path.glob("*.json"))
        if not files:
            raise RunsError(Problem(str(path), "no .json file in this directory"))
        return [run for file in files for run in _checked(_from_json(file, context or {}))]
    if path.suffix == ".json":
        return _checked(_from_json(path, context or {}))
    return _checked(_from_csv(path))


def _checked(runs: list[MeasuredRun]) -> list[MeasuredRun]:
    problems = [
        problem for run in runs for problem in problems_of(run.where, run.id, run.numbers, run.metrics)
    ]
    if problems:
        raise RunsError(
            problems, hint="times are in milliseconds, rates per second; see `llmsim validate --help`"
        )
    return runs


def _text_of(path: Path) -> str:
    try:
        return path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise RunsError(Problem(str(path), f"cannot be read: {' '.join(str(error).split())}")) from None


def _from_csv(path: Path) -> list[MeasuredRun]:
    lines = [(i, line) for i, line in enumerate(_text_of(path).splitlines(), 1) if line[:1] != "#"]
    rows = csv.reader(line for _, line in lines)
    header = next(rows, [])
    missing = [name for name in REQUIRED if name not in header]
    if missing:
        raise RunsError(Problem(str(path), f"lacks the columns {', '.join(missing)}"))
    if not any(name in header for name in METRICS):
        raise RunsError(Problem(str(path), f"has no measured metric; there are {', '.join(METRICS)}"))
    runs: list[MeasuredRun] = []
    problems: list[Problem] = []
    for cells in rows:
        where = f"{path}:{lines[rows.line_num - 1][0]}"
        if len(cells) == len(header):
            runs.append(_row(where, dict(zip(header, cells, strict=True)), problems))
        elif any(cells):
            problems.append(Problem(where, f"{len(cells)} cells under {len(header)} columns"))
    if problems:
        raise RunsError(problems)
    if not runs:
        raise RunsError(Problem(str(path), "has no row"))
    return runs


def _row(where: str, cells: Mapping[str, str], problems: list[Problem]) -> MeasuredRun:
    texts = {name: cells.get(name, "").strip() for name in TEXTS}
    values: dict[str, float] = {}
    for name, cell in cells.items():
        if name in TEXTS or not cell.strip():
            continue
        try:
            values[name] = float(cell)
        except ValueError:
            problems.append(Problem(where, f"{texts['id']}: {name} is '{cell}', not a number"))
    metrics = {name: value for name, value in values.items() if name in METRICS}
    numbers = {name: value for name, value in values.items() if name not in METRICS}
    return MeasuredRun(where, texts, numbers, metrics)


BENCH_METRICS = {
    **{
        f"{column}_ms_{statistic}": f"{prefix}_{name}_ms"
        for column, name in (("ttft", "ttft"), ("tpot", "tpot"), ("itl", "itl"), ("e2e", "e2el"))
        for statistic, prefix in (("mean", "mean"), ("p50", "median"), ("p90", "p90"), ("p99", "p99"))
    },
    "output_tokens_per_s": "output_throughput",
    "total_tokens_per_s": "total_token_throughput",
    "requests_per_s": "request_throughput",
}
"""Metric columns, and the key of a ``vllm bench serve`` result that holds each."""


def _from_json(path: Path, context: Mapping[str, str]) -> list[MeasuredRun]:
    """Runs of a result file: one object, or a list of them."""
    try:
        content = json.loads(_text_of(path))
    except json.JSONDecodeError as error:
        raise RunsError(Problem(f"{path}:{error.lineno}", f"is not JSON: {error.msg}")) from None
    items = content if isinstance(content, list) else [content]
    return [_bench_run(path, index, item, context) for index, item in enumerate(items)]


def _bench_run(path: Path, index: int, item: Any, context: Mapping[str, str]) -> MeasuredRun:
    where = str(path) if not index else f"{path} [{index}]"
    needed = ("model_id", "completed", "total_input_tokens", "total_output_tokens", "duration")
    absent = [key for key in needed if not isinstance(item, dict) or key not in item]
    if absent:
        raise RunsError(Problem(where, f"is no result of `vllm bench serve`: it lacks {', '.join(absent)}"))
    if not item["completed"]:
        raise RunsError(Problem(where, "no request completed"))
    numbers = dict(_bench_numbers(item))
    metrics = {
        name: float(item[key])
        for name, key in BENCH_METRICS.items()
        if isinstance(item.get(key), int | float)
    }
    own = {
        "id": path.stem if not index else f"{path.stem}-{index}",
        "source": path.name,
        "model": str(item["model_id"]),
        "engine": "vllm",
        "arrival": _bench_arrival(item),
    }
    texts = own | {name: text for name, text in context.items() if name in TEXTS}
    numbers |= {name: float(text) for name, text in context.items() if name not in TEXTS}
    return MeasuredRun(where, texts, numbers, metrics)


def _bench_arrival(item: Mapping[str, Any]) -> str:
    if item.get("max_concurrency"):
        return "closed"
    return "burst" if item.get("request_rate") in (None, "inf") else "poisson"


def _bench_numbers(item: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    done = item["completed"]
    yield "num_requests", float(item.get("num_prompts") or done)
    yield "input_mean", item["total_input_tokens"] / done
    yield "output_mean", item["total_output_tokens"] / done
    if item.get("max_concurrency"):
        yield "concurrency", float(item["max_concurrency"])
    elif item.get("request_rate") not in (None, "inf"):
        yield "request_rate", float(item["request_rate"])
    if item.get("burstiness") is not None:
        yield "burstiness", float(item["burstiness"])
    for name, key in (("input", "input_lens"), ("output", "output_lens")):
        lengths = item.get(key)
        if lengths:
            mean = sum(lengths) / len(lengths)
            yield f"{name}_std", (sum((n - mean) ** 2 for n in lengths) / len(lengths)) ** 0.5
