"""``llmsim trace``: what a trace holds, and the same in the simulator's own format."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

from rich.table import Table

from llmsim.cli.console import Console
from llmsim.files.traces import TraceInfo, convert_trace, trace_info
from llmsim.files.traces.read import TimestampUnit
from llmsim.units import format_seconds


def print_info(path: Path, timestamp_unit: TimestampUnit | None, *, as_json: bool) -> None:
    """Prints what the trace at ``path`` holds."""
    info = trace_info(path, timestamp_unit=timestamp_unit)
    if as_json:
        print(json.dumps(asdict(info), indent=2, ensure_ascii=False))
        return
    table = Table.grid(padding=(0, 2))
    for label, value in _facts(info):
        table.add_row(label, value)
    console = Console(width=None if sys.stdout.isatty() else 120, highlight=False)
    console.print(table)
    console.print()
    console.print(_lengths(info))


def convert(source: Path, target: Path, timestamp_unit: TimestampUnit | None, *, as_json: bool) -> None:
    """Writes the trace at ``source`` to ``target`` in the simulator's own format."""
    trace = convert_trace(source, target, timestamp_unit=timestamp_unit)
    if as_json:
        counts = {"requests": len(trace), "skipped": trace.skipped, "target": str(target)}
        print(json.dumps(counts, indent=2))
        return
    print(f"{target}: {len(trace):,} requests", file=sys.stderr)
    for reason, count in trace.skipped.items():
        print(f"skipped {count:,} rows: {reason}", file=sys.stderr)


def _facts(info: TraceInfo) -> list[tuple[str, str]]:
    """What there is to say of a trace beside its lengths; what it does not hold is left out."""
    facts = [("trace", info.source), ("format", f"{info.title} ({info.format})"), ("note", info.note)]
    facts.append(("requests", f"{info.requests:,} of {info.rows:,} rows"))
    facts += [("skipped", f"{count:,} rows: {reason}") for reason, count in info.skipped.items()]
    if info.duration_s is not None:
        facts.append(("duration", format_seconds(info.duration_s)))
    if info.mean_rate is not None and info.gap_cv is not None:
        facts.append(("mean rate", f"{info.mean_rate:.4g} requests/s"))
        facts.append(("burstiness", f"gaps vary by {info.gap_cv:.2f} of their mean (Poisson: 1)"))
    if info.length_correlation is not None:
        facts.append(("correlation", f"{info.length_correlation:.2f} between prompt and output lengths"))
    if info.prefix_hit_rate is not None:
        share = f"{100 * info.prefix_hit_rate:.2f}% of prompt tokens, in a cache that never forgets"
        facts.append(("shared prefixes", share))
    facts += [("class", f"{name}: {count:,}") for name, count in info.classes.items()]
    return [(label, value) for label, value in facts if value]


def _lengths(info: TraceInfo) -> Table:
    """Prompt and output lengths in tokens."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("tokens")
    for heading in ("mean", *(f"P{percentile}" for percentile in info.input_tokens.percentiles)):
        table.add_column(heading, justify="right")
    for name, lengths in (("prompt", info.input_tokens), ("output", info.output_tokens)):
        table.add_row(name, *(f"{value:,.0f}" for value in (lengths.mean, *lengths.percentiles.values())))
    return table
