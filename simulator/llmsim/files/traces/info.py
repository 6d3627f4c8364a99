"""What a trace holds, in numbers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from llmsim.files.traces.formats import Format
from llmsim.files.traces.read import IntArray, TimestampUnit, Trace, read_trace

PERCENTILES = (0, 1, 10, 25, 50, 75, 90, 99, 100)


@dataclass(frozen=True)
class LengthInfo:
    """Lengths in tokens.

    Attributes:
        mean: Their mean.
        percentiles: Percentile to length, linear between two lengths as numpy has it.
    """

    mean: float
    percentiles: dict[int, float]


@dataclass(frozen=True)
class TraceInfo:
    """A trace, described.

    Attributes:
        source: How the user named it.
        format, title, note: What it is written in, and what to know of that.
        rows: Rows read.
        requests: Rows that can be offered.
        skipped: The others, counted by reason.
        duration_s: From the first request to the last; None without times.
        mean_rate: Requests per second: gaps divided by the duration; None without times.
        gap_cv: Coefficient of variation of the gaps between requests: 1 is Poisson, more is burstier.
        input_tokens, output_tokens: The lengths.
        length_correlation: Pearson's, of prompt and output lengths; None where one of them is constant.
        prefix_hit_rate: Share of prompt tokens that a prefix cache would have that never forgets; None without
            ``hash_ids``.
        classes: Requests of each class; empty where the file has none.
    """

    source: str
    format: str
    title: str
    note: str
    rows: int
    requests: int
    skipped: dict[str, int]
    duration_s: float | None
    mean_rate: float | None
    gap_cv: float | None
    input_tokens: LengthInfo
    output_tokens: LengthInfo
    length_correlation: float | None
    prefix_hit_rate: float | None
    classes: dict[str, int]


def trace_info(path: Path | str, *, timestamp_unit: TimestampUnit | None = None) -> TraceInfo:
    """The trace at ``path``, described. Raises TraceError as :func:`read_trace`."""
    trace = read_trace(path, timestamp_unit=timestamp_unit)
    duration_s, mean_rate, gap_cv = _timing(trace)
    names = trace.class_names or []
    return TraceInfo(
        source=trace.source,
        format=trace.format.name,
        title=trace.format.title,
        note=trace.format.note,
        rows=len(trace) + sum(trace.skipped.values()),
        requests=len(trace),
        skipped=trace.skipped,
        duration_s=duration_s,
        mean_rate=mean_rate,
        gap_cv=gap_cv,
        input_tokens=_lengths(trace.input_tokens),
        output_tokens=_lengths(trace.output_tokens),
        length_correlation=_correlation(trace.input_tokens, trace.output_tokens),
        prefix_hit_rate=_prefix_hit_rate(trace),
        classes={name: names.count(name) for name in sorted(set(names))},
    )


def _timing(trace: Trace) -> tuple[float | None, float | None, float | None]:
    """(duration in s, requests per s, CV of the gaps); None where the trace does not say."""
    if trace.arrival_s is None:
        return None, None, None
    gaps = np.diff(trace.arrival_s)
    if not trace.duration_s:
        return 0.0, None, None
    return trace.duration_s, len(gaps) / trace.duration_s, float(gaps.std() / gaps.mean())


def _prefix_hit_rate(trace: Trace) -> float | None:
    """Prompt tokens in hash blocks that an earlier prompt had too, up to the first that none had."""
    if "hash_ids" not in trace.labels:
        return None
    units = trace.labels.get("hash_tokens", [Format.hash_tokens] * len(trace))
    seen: set[int] = set()
    hits = 0
    for ids, unit, tokens in zip(trace.labels["hash_ids"], units, trace.input_tokens.tolist(), strict=True):
        known = next((place for place, block in enumerate(ids) if block not in seen), len(ids))
        hits += min(known * unit, tokens)
        seen.update(ids)
    return hits / int(trace.input_tokens.sum())


def _lengths(tokens: IntArray) -> LengthInfo:
    values = np.percentile(tokens, PERCENTILES).tolist()
    return LengthInfo(float(tokens.mean()), dict(zip(PERCENTILES, values, strict=True)))


def _correlation(inputs: IntArray, outputs: IntArray) -> float | None:
    if np.ptp(inputs) == 0 or np.ptp(outputs) == 0:
        return None
    return float(np.corrcoef(inputs, outputs)[0, 1])
