"""What a report states beside its verdict: where requests ended, what was delivered and what it took."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple

from llmsim.measure import money
from llmsim.measure.ledger import accelerators_held
from llmsim.measure.records import RunRecord
from llmsim.measure.requests import BUCKETS
from llmsim.report.format import dollars, energy, figures, milliseconds, percent, seconds
from llmsim.report.verdict import METRICS, SATURATION
from llmsim.units import format_bytes

STATISTICS = {"mean": "mean", "p50": "P50", "p90": "P90", "p95": "P95", "p99": "P99"}
"""Prefix in the summary to column heading of the latency table."""


class Fact(NamedTuple):
    """A line of a report: what, how much, and where that comes from ('' when it was computed)."""

    label: str
    value: str
    source: str = ""


def latency_rows(summary: Mapping[str, Any]) -> list[tuple[str, list[str]]]:
    """The latency table: (metric and the unit of its row, one text per entry of :data:`STATISTICS`)."""
    return [
        _latency_row(name, [summary[f"{prefix}_{metric}"] for prefix in STATISTICS])
        for metric, name in METRICS.items()
    ]


def _latency_row(name: str, values_ms: list[float | None]) -> tuple[str, list[str]]:
    """One row, in the unit that suits its greatest value."""
    greatest = max((value for value in values_ms if value is not None), default=0.0)
    unit, scale = ("ms", 1.0) if greatest < 1e4 else ("s", 1e3) if greatest < 6e5 else ("min", 6e4)
    return f"{name}, {unit}", [figures(None if value is None else value / scale) for value in values_ms]


def subtitle(record: RunRecord, model: str) -> str:
    """Model and fleet in a line: ``llama-3.1-8b on 2 × h100-sxm``; the most ever held of a fleet that changes."""
    devices: Counter[str] = Counter()
    if record.fleet is None:
        for replica in record.replicas:
            devices.update(replica.accelerators)
    for name in dict.fromkeys(each.accelerator for each in record.holdings):
        held = accelerators_held(each for each in record.holdings if each.accelerator == name)
        devices[name] = max(spot + on_demand for _, spot, on_demand in held)
    most = "" if record.fleet is None else "at most "
    return f"{model} on {most}{' and '.join(f'{number} × {name}' for name, number in devices.items())}"


def bottleneck(summary: Mapping[str, Any]) -> str:
    """What bounded the run, in words."""
    return str(summary["bottleneck"] or "unknown")


def saturation(summary: Mapping[str, Any]) -> str:
    """The saturation class and what it means."""
    name = summary["saturation"]
    return f"{name}: {SATURATION[name]}" if name in SATURATION else "unknown: the run took no time"


def reasons(record: RunRecord) -> dict[str, Counter[str]]:
    """Why requests did not complete: bucket to reason to number of requests."""
    found: dict[str, Counter[str]] = {bucket: Counter() for bucket in BUCKETS if bucket != "completed"}
    for request in record.requests:
        if request.status in found:
            found[request.status][request.reason] += 1
    return {bucket: counts for bucket, counts in found.items() if counts}


def _most_frequent(counts: Counter[str]) -> str:
    """The reasons in words, the rare ones counted only."""
    named = [f"{number:,} × {reason}" for reason, number in counts.most_common(3) if reason]
    if len(counts) > 3:
        named.append(f"{len(counts) - 3:,} reasons more")
    return "; ".join(named)


def request_facts(summary: Mapping[str, Any], record: RunRecord) -> list[Fact]:
    """Where the requests ended: one fact per bucket that is not empty, with its reasons."""
    facts = [Fact("Offered", f"{summary['offered']:,}"), Fact("Completed", f"{summary['completed']:,}")]
    for bucket, counts in reasons(record).items():
        facts.append(Fact(bucket.capitalize(), f"{counts.total():,}", _most_frequent(counts)))
    facts += [
        Fact("Not offered", f"{number:,} trace rows", why)
        for why, number in record.skipped_trace_rows.items()
    ]
    return facts + [_class_fact(name, of_class) for name, of_class in summary["classes"].items()]


def _class_fact(name: str, of_class: Mapping[str, Any]) -> Fact:
    served = f"{of_class['completed']:,} of {of_class['offered']:,} completed"
    attained = f"{percent(of_class['slo_attainment'])} meet their targets"
    value = f"{served}, {attained}; TTFT P99 {milliseconds(of_class['p99_ttft_ms'])}"
    if of_class.get("cost_usd") is not None:
        each = dollars(of_class["usd_per_million_output_tokens"])
        value += f"; {dollars(of_class['cost_usd'])}, {each} per million output tokens"
    return Fact(f"Class {name}", value)


def use_facts(summary: Mapping[str, Any], record: RunRecord) -> list[Fact]:
    """What the run delivered and what that took."""
    facts = [
        Fact(
            "Throughput",
            f"{figures(summary['request_throughput'])} requests/s, "
            f"{figures(summary['output_throughput'])} output tokens/s, "
            f"{figures(summary['total_token_throughput'])} tokens/s in all",
        ),
        Fact(
            "Batch",
            f"{figures(summary['mean_batch_size'])} sequences an iteration; on average "
            f"{figures(summary['mean_running'])} running and {figures(summary['mean_waiting'])} waiting",
        ),
        Fact(
            "KV cache",
            f"{percent(summary['kv_cache_usage']['mean'])} used on average, "
            f"{percent(summary['kv_cache_usage']['max'])} at most; {summary['preemptions']:,} preemptions",
        ),
    ]
    hit_rate = summary["prefix_cache_hit_rate"]
    if hit_rate is not None:
        facts.append(Fact("Prefix cache", f"{percent(hit_rate)} of prompt tokens hit"))
    return [
        *facts,
        *_kv_tiers(summary),
        *_fleet(summary),
        *_handover(summary),
        *_swaps(summary),
        *_model_error(summary),
        *_cost(summary),
        *_energy(summary, record),
    ]


def _fleet(summary: Mapping[str, Any]) -> list[Fact]:
    """How many served, what was taken, and what that cost the requests; nothing of a fleet that could not change."""
    fleet = summary.get("fleet")
    if not fleet:
        return []
    replicas = fleet["replicas"]
    serving = f"{figures(replicas['mean'])} replicas served on average"
    if replicas["min"] != replicas["max"]:
        serving += f", {replicas['min']} to {replicas['max']}"
    away = f"{seconds(fleet['downtime_s'])} without any" if fleet["downtime_s"] else "never without any"
    taken = [_times(fleet["reclaims"], "reclaim")]
    taken += [_times(fleet["crashes"], "crash", "crashes")] if fleet["crashes"] else []
    taken += [f"{_times(fleet['requests_hit'], 'request')} hit"] if fleet["requests_hit"] else []
    taken += [f"{fleet['lost_kv_tokens']:,} tokens of KV computed anew"] if fleet["requests_hit"] else []
    if fleet["moved_bytes"]:
        moved = format_bytes(fleet["moved_bytes"])
        taken.append(f"{fleet['moved_kv_tokens']:,} moved to other replicas ({moved})")
    return [Fact("Fleet", f"{serving}, {away}; {', '.join(taken)}")]


def _kv_tiers(summary: Mapping[str, Any]) -> list[Fact]:
    """What was found below the KV pools, and what went up and down; nothing without tiers."""
    found = summary.get("kv_tiers")
    if not found:
        return []
    pools = {tier["pool"] for tier in found["tiers"]}
    facts = []
    for tier in found["tiers"]:
        moved = f"{format_bytes(tier['read_bytes'])} read, {format_bytes(tier['written_bytes'])} written"
        used = f"at most {format_bytes(tier['most_used_bytes'])} of {format_bytes(tier['size_bytes'])} used"
        label = f"KV {tier['kind']}" if len(pools) == 1 else f"{tier['pool']}: KV {tier['kind']}"
        facts.append(Fact(label, f"{percent(tier['hit_rate'])} of prompt tokens hit; {moved}; {used}"))
    return [
        *facts,
        Fact("KV waits", f"iterations waited {seconds(found['wait_s'])} for KV, over all replicas"),
    ]


def _handover(summary: Mapping[str, Any]) -> list[Fact]:
    """What prefill replicas sent to decode replicas; nothing where every replica does both."""
    sent = summary.get("kv_transfers")
    if not sent or not sent["requests"]:
        return []
    text = (
        f"{sent['requests']:,} requests went on at decode replicas, {format_bytes(sent['bytes'])} in all, "
        f"{figures(sent['mean_exposed_ms'])} ms after their prompt on average"
    )
    return [Fact("KV transfers", text)]


def _swaps(summary: Mapping[str, Any]) -> list[Fact]:
    """What preemption moved to host memory; nothing where it does not, or nobody was preempted."""
    moved = summary.get("kv_swaps")
    if not moved or not moved["out_bytes"]:
        return []
    text = (
        f"{format_bytes(moved['out_bytes'])} to host memory and {format_bytes(moved['in_bytes'])} back, "
        f"{figures(moved['link_s'])} s of its links"
    )
    return [Fact("KV swaps", text)]


def _times(number: int, one: str, several: str = "") -> str:
    return f"{number:,} {one if number == 1 else several or one + 's'}"


def _model_error(summary: Mapping[str, Any]) -> list[Fact]:
    """Where a real server's means lie in 80% of cases as far as the model goes, other seeds apart."""
    errors = summary.get("model_error")
    if not errors:
        return []
    parts = [
        f"{name} {figures(errors[field]['low'])}–{figures(errors[field]['high'])} ms"
        for metric, name in METRICS.items()
        if (field := f"mean_{metric}") in errors
    ]
    tokens = errors.get("output_throughput")
    parts += [f"{figures(tokens['low'])}–{figures(tokens['high'])} output tokens/s"] if tokens else []
    return [Fact("Model error", f"80% of real means in {', '.join(parts)}")]


def _cost(summary: Mapping[str, Any]) -> list[Fact]:
    """What the run cost, and what spot capacity saved."""
    each = f"{dollars(summary['usd_per_million_output_tokens'])} per million output tokens"
    good = summary.get("usd_per_million_good_tokens")
    if good is not None and good != summary["usd_per_million_output_tokens"]:
        each += f", {dollars(good)} per million of requests within targets"
    held = f"{seconds(summary['accelerator_seconds'])} of accelerator time"
    facts = [Fact("Cost", f"{dollars(summary['cost_usd'])}, {each}; {held}")]
    pools = summary.get("cost_by_pool") or {}
    for name, pool in pools.items() if len(pools) > 1 else ():
        held = f"{seconds(pool['accelerator_seconds'])} of accelerator time"
        facts.append(Fact(f"Cost of {name}", f"{dollars(pool['cost_usd'])}; {held}"))
    if summary.get("saving") is not None:
        hourly, full = dollars(summary["usd_per_hour"]), dollars(summary["on_demand_usd"])
        saved = f"{hourly} an hour; {full} on demand, so {percent(summary['saving'])} saved"
        facts.append(Fact("Spot", saved, "the same accelerators held as long at the on-demand price"))
    return facts


def _energy(summary: Mapping[str, Any], record: RunRecord) -> list[Fact]:
    """What the accelerators drew, and what the site adds."""
    if summary["energy_j"] is None:
        source = (
            f"no idle or peak power is known of {money.unknown_power(record)}; give idle_power, load_power"
        )
        return [Fact("Energy", "unknown", source)]
    is_given = bool(record.replicas) and all(replica.load_w is not None for replica in record.replicas)
    value, source = f"at most {energy(summary['energy_j'])}", "a busy accelerator is taken to draw its TDP"
    if is_given:
        value, source = energy(summary["energy_j"]), "the pool's idle_power and load_power"
    facts = [Fact("Energy", value, source)]
    site = []
    if summary.get("facility_energy_j") is not None:
        site.append(f"{energy(summary['facility_energy_j'])} by the facility")
    if summary.get("carbon_g") is not None:
        site.append(f"{figures(summary['carbon_g'] / 1e3)} kg of CO2")
    return facts + [Fact("Site", ", ".join(site), "the scenario's energy section")] * bool(site)
