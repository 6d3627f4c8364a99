"""The answer to "how much load does this fleet take" as text, as JSON and as files."""

from __future__ import annotations

from collections.abc import Iterator
from math import isfinite

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from llmsim.planning.limit.answer import Limit
from llmsim.planning.limit.dial import Dial
from llmsim.planning.limit.probe import Probe
from llmsim.planning.limit.tails import Tail
from llmsim.report.format import dollars, figures, milliseconds, percent
from llmsim.report.verdict import METRICS

SHOWN = 20
"""Loads in the table: those nearest to the limit, where more were tried."""


def limit_text(limit: Limit) -> RenderableType:
    """The answer first, then why, then every load that was tried."""
    style = "bold green" if limit.holds else "bold red"
    facts = Table.grid(padding=(0, 2))
    facts.add_column(no_wrap=True, min_width=10)
    facts.add_column()
    for label, value in facts_of(limit):
        facts.add_row(Text(f"  {label}"), Text(value))
    parts: list[RenderableType] = [
        Text.assemble(("Limit", style), f"  {limit.given.scenario.name}: {verdict(limit)}"), facts, Text(),
    ]  # fmt: skip
    if limit.tried:
        parts.append(_table(limit))
    parts += [Text(f"Note: {note}", style="yellow") for note in notes(limit)]
    return Group(*parts)


def verdict(limit: Limit) -> str:
    """The answer in a sentence. Pure."""
    dial, at, beyond = limit.dial, limit.at, limit.beyond
    if at is None and beyond is not None:
        if limit.lone is not None and limit.lone.missed:
            return f"zero: even requests that come one at a time miss their targets. {_why(limit.lone)}."
        return f"zero: {amount(dial, beyond.load)} is too much already. {_why(beyond)}."
    assert at is not None
    own = ""
    if limit.margin is not None:
        own = f", {figures(limit.margin)} times the {_number(dial.given or 0.0)} of the scenario"
    if beyond is None:
        return f"nothing tried is too much, up to {amount(dial, at.load)}{own}."
    return f"{amount(dial, at.load)} within all targets{own}; {_number(beyond.load)} is too much."


def amount(dial: Dial, load: float) -> str:
    """A load with its unit: ``4.16 req/s``, or the key where it has none. Pure."""
    value = dial.value(load)
    if dial.key == "workload.time_scale":
        return f"{_number(load)}{dial.unit} (time_scale {_number(value)})"
    if not dial.unit:
        return f"{dial.key} = {value}"
    return f"{_number(load)}{'' if dial.unit.startswith('×') else ' '}{dial.unit}"


def facts_of(limit: Limit) -> Iterator[tuple[str, str]]:
    """Label and value of what stands under the verdict: what binds, how sure, at what cost."""
    at, beyond = limit.at, limit.beyond
    if beyond is not None:
        yield "Beyond", f"at {amount(limit.dial, beyond.load)}: {_why(beyond)}"
    if at is not None:
        yield "Attainment", _attainment(at)
        yield from _at_limit(at)
    surely = limit.surely
    if surely is not None and at is not None:
        low = f"every load tried up to {_number(surely[0])} passes for certain"
        high = f"every one from {_number(surely[1])} fails"
        low = low if surely[0] else "not even the lowest load tried passes for certain"
        high = high if isfinite(surely[1]) else "none fails for certain"
        yield "Certainty", f"at 95%, {low}, and {high}; more --replications bring the two together"
    yield "Effort", f"{len(limit.tried)} loads, {limit.runs} runs"


def _attainment(at: Probe) -> str:
    if at.attainment is None or at.interval is None:
        return "no requests"
    low, high = at.interval
    count = sum(summary["offered"] for summary in at.summaries)
    return (
        f"{percent(at.attainment)} of {count:,} requests ({len(at.summaries)} seed{'s' * (len(at.summaries) != 1)}), "
        f"{percent(low)} to {percent(high)} at 95%; {percent(at.percentile)} should"
    )


def _at_limit(at: Probe) -> Iterator[tuple[str, str]]:
    """What the fleet does at the limit."""
    yield "Saturation", at.saturation
    if at.summaries:
        yield "Bottleneck", str(at.summaries[0]["bottleneck"])
    tokens = figures(at.mean("output_throughput"))
    yield "Throughput", f"{figures(at.mean('request_throughput'))} requests/s, {tokens} output tokens/s"
    cost = at.mean("usd_per_million_output_tokens")
    if cost is not None:
        yield "Cost", f"{dollars(cost)} per million output tokens"


def _why(probe: Probe) -> str:
    """What is missed, and by which targets. Pure."""
    own = [_tail(tail) for tail in probe.tails if _binds(tail)]
    return "; ".join([*own, *probe.missed])


def _binds(tail: Tail) -> bool:
    if tail.share is not None:
        return tail.share < tail.level
    return tail.tail_ms is not None and tail.tail_ms > tail.limit_ms


def _tail(tail: Tail) -> str:
    """``TTFT: 97% within 500 ms, P99 612 ms``."""
    name = METRICS[tail.metric] + (f" of class {tail.class_name}" if tail.class_name else "")
    share = "" if tail.share is None else f"{percent(tail.share)} within "
    times = 0.0 if tail.tail_ms is None else tail.tail_ms / tail.limit_ms
    far = f" is {figures(times)} times that" if times >= 1.1 else f" is {100 * (times - 1):.0f}% more"
    over = f", {level(tail)} {milliseconds(tail.tail_ms)}{far if times > 1 else ''}" if times else ""
    return f"{name}: {share}{milliseconds(tail.limit_ms)}{over}"


def level(tail: Tail) -> str:
    """The percentile that a target is about: ``P99``. Pure."""
    return "max" if tail.level == 1 else f"P{100 * tail.level:g}"


def _table(limit: Limit) -> Table:
    """The loads tried nearest to the limit, lowest first."""
    tried = limit.tried
    middle = tried.index(limit.at) if limit.at else 0
    shown = sorted(range(len(tried)), key=lambda index: abs(index - middle - 0.5))[:SHOWN]
    lines = Table(box=None, padding=(0, 2), pad_edge=False, header_style="bold")
    lines.add_column(limit.dial.unit or limit.dial.key, justify="right")
    lines.add_column("")
    lines.add_column("in SLO", justify="right")
    lines.add_column("95%", justify="right")
    lines.add_column("seeds", justify="right")
    for tail in tried[middle].tails:
        name = f"{METRICS[tail.metric]} {level(tail)}, ms"
        lines.add_column(f"{tail.class_name} {name}".strip(), justify="right")
    lines.add_column("load")
    for index in sorted(shown):
        probe = tried[index]
        interval = "" if probe.interval is None else "–".join(map(percent, probe.interval))
        word = Text("passes", style="green") if probe.passes else Text("fails", style="red")
        tails = [figures(tail.tail_ms) for tail in probe.tails] or [""] * len(tried[middle].tails)
        values = [percent(probe.attainment), interval, str(len(probe.outcomes)), *tails, probe.saturation]
        lines.add_row(_number(probe.load), word, *values)
    return lines


def notes(limit: Limit) -> Iterator[str]:
    """What the reader has to know. Pure but for opening a trace."""
    at = limit.at
    if limit.is_replay:
        yield "nothing is drawn at random: one run of each load is exact, for these requests"
    if limit.islands:
        loads = ", ".join(_number(probe.load) for probe in limit.islands)
        yield (
            f"loads above the limit passed all the same ({loads} of those tried); the limit is where every load "
            "below passes too"
        )
    if at is None:
        return
    if limit.beyond is None:
        yield (
            "no load tried is too much: tighter targets, a longer workload or a range of your own (--over "
            f"{limit.dial.key}=START:STOP:STEP) would find one"
        )
    if at.costs_too_much:
        usd = at.mean("usd_per_million_output_tokens")
        yield (
            f"a million output tokens cost {dollars(usd) if usd is not None else 'nobody knows what'} at the limit, "
            "more than the target: less load makes them no cheaper"
        )
    if at.may_go_on_growing:
        yield "at the limit the number of requests was still growing when they ended: offer more of them"
    loaded = at.setting.loaded
    if loaded is not None and limit.length.is_short(loaded):
        yield (
            f"at the limit requests arrive for less than the {figures(limit.length.window_s)} s that would show a "
            "load one step too high; a longer workload may lower the limit"
        )


def _number(load: float) -> str:
    return f"{float(f'{load:.6g}'):,.10g}"
