"""Measured server runs: rows of a runs file, or results of ``vllm bench serve --save-result``.

Columns are explained in the runs files' own README: milliseconds, tokens per second, one row per run.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from pathlib import Path

from llmsim.calibrate.runs_bench import bench_cells, results_in
from llmsim.calibrate.runs_check import problems_of
from llmsim.errors import Problem, RunsError
from llmsim.registry import nearest

REQUIRED = ("id", "gpu", "model", "engine", "arrival", "input_mean", "output_mean")
"""Columns a runs file must have; a cell may be empty, and the row is then named as not expressible."""

TEXTS = (
    "id", "source", "gpu", "model", "dtype", "kv_dtype", "engine", "engine_version", "prefix_caching",
    "chunked_prefill", "arrival", "input_dist", "output_dist", "regime", "notes",
)  # fmt: skip
"""Columns of words."""

NUMBERS = (
    "num_gpus", "tensor_parallel", "pipeline_parallel", "expert_parallel", "data_parallel",
    "max_num_batched_tokens", "max_num_seqs", "gpu_memory_utilization", "num_kv_blocks", "block_size",
    "max_model_len", "request_rate", "burstiness", "concurrency", "num_requests", "duration_s",
    *(f"{side}_{of}" for side in ("input", "output") for of in ("mean", "std", "min", "max")),
    "cached_input_mean",
)  # fmt: skip
"""Columns of numbers that say what was run."""

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

COLUMNS = (*TEXTS, *NUMBERS, *METRICS)
"""All columns that are read; a file may have others."""


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
    """The runs in a CSV file, in a result file of ``vllm bench serve``, or in a directory of such files.

    Args:
        path: The file or directory.
        context: Cells that hold for every run, whatever the file says: ``gpu``, ``engine_version``,
            ``tensor_parallel`` …; result files lack these.

    Raises:
        RunsError: It cannot be read, columns are missing, or values are impossible; with every problem.
    """
    problems: list[Problem] = []
    given = dict(_context(context or {}, problems))
    files = [path]
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.suffix in (".json", ".jsonl", ".csv"))
        if not files:
            problems.append(Problem(str(path), "no .json, .jsonl or .csv file in this directory"))
    runs: list[MeasuredRun] = []
    for file in () if problems else files:
        runs += _read(file, given, problems)
    runs = _told_apart(runs)
    impossible = [p for run in runs for p in problems_of(run.where, run.id, run.numbers, run.metrics)]
    if impossible and not problems:
        hint = "times are in milliseconds, rates per second; see `llmsim validate --help`"
        raise RunsError(impossible, hint=hint)
    if problems:
        raise RunsError([*problems, *impossible])
    return runs


def _context(context: Mapping[str, str], problems: list[Problem]) -> Iterator[tuple[str, str]]:
    """The cells of ``--set`` that are columns, and numbers where they should be."""
    for name, text in context.items():
        where = f"--set {name}={text}"
        if name not in (*TEXTS, *NUMBERS) or name == "id":
            problems.append(Problem(where, f"no such column; {nearest(name, (*TEXTS[1:], *NUMBERS))}"))
        elif name in NUMBERS and _number(text) is None:
            problems.append(Problem(where, f"'{text}' is not a number"))
        else:
            yield name, text


def _read(path: Path, context: Mapping[str, str], problems: list[Problem]) -> list[MeasuredRun]:
    """The runs of one file; what is wrong with it goes to ``problems``."""
    text = _text_of(path, problems)
    if text is None:
        return []
    is_json = path.suffix in (".json", ".jsonl") or text.lstrip()[:1] in ("{", "[")
    return list((_from_results if is_json else _from_csv)(path, text, context, problems))


def _text_of(path: Path, problems: list[Problem]) -> str | None:
    try:
        return path.read_text("utf-8-sig")
    except OSError as error:
        problems.append(Problem(str(path), f"cannot be read: {error.strerror or error}"))
    except UnicodeDecodeError as error:
        text = f"is not UTF-8 text (byte {error.start} is {error.object[error.start]:#04x}); save it as UTF-8"
        problems.append(Problem(str(path), text))
    return None


def _from_csv(
    path: Path, text: str, context: Mapping[str, str], problems: list[Problem]
) -> Iterator[MeasuredRun]:
    lines = [(i, line) for i, line in enumerate(text.splitlines(), 1) if line.strip() and line[0] != "#"]
    rows = csv.reader(line for _, line in lines)
    header = [cell.strip() for cell in next(rows, [])]
    wrong = list(_header_problems(header, context))
    problems += [Problem(str(path), text) for text in wrong]
    seen: dict[tuple[str, ...], str] = {}
    for cells in () if wrong else rows:
        where = f"{path}:{lines[rows.line_num - 1][0]}"
        if len(cells) != len(header):
            problems.append(Problem(where, f"{len(cells)} cells under {len(header)} columns"))
        elif (first := seen.setdefault(tuple(cells), where)) != where:
            problems.append(Problem(where, f"the same run as {first}, cell by cell; it would count twice"))
        else:
            row = {**dict(zip(header, cells, strict=True)), **context}
            yield _run(where, {name: row[name] for name in COLUMNS if name in row}, problems)
    if not wrong and not seen:
        problems.append(Problem(str(path), "has no row"))


def _header_problems(header: Sequence[str], context: Mapping[str, str]) -> Iterator[str]:
    """What a header lacks, has twice or misspells."""
    if not header:
        yield "is empty"
        return
    if len(header) == 1 and (other := next((c for c in ";\t|" if c in header[0]), None)):
        yield f"its cells are separated by {other!r}; separate them by commas, and write decimals with a point"
        return
    missing = [name for name in REQUIRED if name not in header and name not in context]
    if missing:
        yield f"lacks the columns {', '.join(missing)}"
    if not any(name in METRICS for name in header):
        yield f"has no measured metric; there are {', '.join(METRICS)}"
    twice = [name for name, count in Counter(header).items() if count > 1 and name in COLUMNS]
    if twice:
        yield f"has the columns {', '.join(twice)} twice"
    for name in header:
        near = get_close_matches(name.lower(), COLUMNS, n=1, cutoff=0.85) if name not in COLUMNS else []
        if near and near[0] not in header:
            yield f"column '{name}' is not known; did you mean '{near[0]}'?"


def _from_results(
    path: Path, text: str, context: Mapping[str, str], problems: list[Problem]
) -> Iterator[MeasuredRun]:
    """Runs of a result file: one object, a list of them, or one on each line (``--append-result``)."""
    items = results_in(path, text, problems)
    for index, item in enumerate(items):
        where = str(path) if len(items) == 1 else f"{path} [{index}]"
        name = path.stem if len(items) == 1 else f"{path.stem}-{index}"
        cells, wrong = bench_cells(item)
        problems += [Problem(where, text) for text in wrong]
        if not wrong:
            yield _run(where, {"id": name, "source": path.name, **cells, **context}, problems)


def _run(where: str, cells: Mapping[str, str], problems: list[Problem]) -> MeasuredRun:
    """A run from its cells as text."""
    texts = {name: cells.get(name, "").strip() for name in TEXTS}
    texts["id"] = texts["id"] or f"line {where.rpartition(':')[2]}"
    values: dict[str, float] = {}
    for name, cell in cells.items():
        if name in TEXTS or not cell.strip():
            continue
        value = _number(cell)
        if value is None:
            problems.append(Problem(where, f"{texts['id']}: {name} is '{cell}', not a number"))
        else:
            values[name] = value
    metrics = {name: value for name, value in values.items() if name in METRICS}
    numbers = {name: value for name, value in values.items() if name not in METRICS}
    return MeasuredRun(where, texts, numbers, metrics)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _told_apart(runs: Sequence[MeasuredRun]) -> list[MeasuredRun]:
    """``runs`` with the line behind each id that several unlike runs have."""
    counts = Counter(run.id for run in runs)
    return [
        replace(run, texts={**run.texts, "id": f"{run.id} ({run.where.rpartition(':')[2]})"})
        if counts[run.id] > 1
        else run
        for run in runs
    ]
