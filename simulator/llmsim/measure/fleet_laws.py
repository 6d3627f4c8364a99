"""The laws of a fleet that changes: who is gone does nothing, nothing is lost twice, and cost is an integral."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import pairwise
from math import fsum

import numpy as np

from llmsim.files.spot.prices import PriceSeries
from llmsim.measure import ledger
from llmsim.measure.cases import TOLERANCE, Columns, Floats, first_case, is_before
from llmsim.measure.ledger import Holding
from llmsim.measure.records import RunRecord
from llmsim.measure.requests import RequestTable

SECONDS_PER_HOUR = 3600.0


def fleet_laws(record: RunRecord, table: RequestTable) -> Iterator[str]:
    """Every law that is broken; nothing to check of a fleet that could not change."""
    if record.fleet is None:
        return
    yield from _lives(record, table)
    yield from _tokens(record, table)
    yield from _holdings(record)


def _lives(record: RunRecord, table: RequestTable) -> Iterator[str]:
    """No row and no completion of a replica before it came or after it went; its KV went with it."""
    starts, ends = _by_index(record, "start_s"), _by_index(record, "end_s")
    steps = record.steps
    replica, start = steps.column("replica"), steps.column("start_s")
    end, index = start + steps.column("duration_s"), replica.astype(np.int64)
    at: Columns = {"replica": replica, "start_s": start, "end_s": end}
    yield from first_case("a row starts before its replica", is_before(start, starts[index]), at)
    yield from first_case("a row ends after its replica", is_before(ends[index], end), at)
    served = table.completed & (table.replica >= 0)
    finish_s, server = table.finish_s[served], table.replica[served]
    late = is_before(ends[server], finish_s)
    done: Columns = {"id": table.id[served], "replica": server, "finish_s": finish_s}
    yield from first_case("a request is completed by a replica that is gone", late, done)
    left = _by_index(record, "blocks_left")
    yield from first_case("KV blocks of a replica that is gone are held", left > 0, {"blocks": left})


def _by_index(record: RunRecord, name: str) -> Floats:
    """One attribute of every replica, by its index."""
    values = np.zeros(1 + max((replica.index for replica in record.replicas), default=-1))
    for replica in record.replicas:
        values[replica.index] = getattr(replica, name)
    return values


def _tokens(record: RunRecord, table: RequestTable) -> Iterator[str]:
    """Requests lost what the fleet lost; what was moved was sent.

    Where the run was cut off, a move may be under way, which the fleet writes down at its end.
    """
    assert record.fleet is not None
    by_requests = sum(request.lost_tokens for request in record.requests)
    by_fleet = sum(event.lost_tokens for event in record.fleet.events)
    under_way = by_requests > by_fleet and table.is_status("unfinished").any()
    if by_requests != by_fleet and not under_way:
        yield f"tokens of KV lost: {by_requests} by requests, {by_fleet} by the fleet's events"
    sizes = {replica.pool: replica.kv_bytes_per_token for replica in record.replicas}
    for event in record.fleet.events:
        needed = event.moved_tokens * sizes.get(event.pool, 0.0)
        if needed > event.moved_bytes * (1 + TOLERANCE):
            yield f"{event.moved_tokens} tokens of KV moved at {event.time_s!r} s with {event.moved_bytes!r} bytes sent"
            return


def _holdings(record: RunRecord) -> Iterator[str]:
    """Cost, summed over time, is the ledger's, summed over holdings; and no replica runs on what nobody holds."""
    holdings = record.holdings
    for each in holdings:
        if each.end_s < each.start_s or each.end_s > record.end_s:
            yield f"{each.instance or each.pool} is held from {each.start_s!r} to {each.end_s!r} s"
            return
    usd = ledger.cost_usd(holdings)
    if usd is not None and abs(usd - _cost_over_time(holdings)) > TOLERANCE * max(1.0, usd):
        yield f"cost: ${usd!r} by holdings, ${_cost_over_time(holdings)!r} by time"
    for pool in dict.fromkeys(each.pool for each in holdings):
        changes = [(t, n) for each in holdings if each.pool == pool for t, n in _ends(each)]
        used = [(t, -n) for t, n in _replica_changes(record, pool)]
        lacking = [(t, n) for t, n in _levels([*changes, *used]) if n < 0]
        if lacking:
            time_s, number = lacking[0]
            yield f"pool {pool}: replicas run on {-number:g} accelerators that nobody holds at {time_s!r} s"


def _cost_over_time(holdings: Iterable[Holding]) -> float:
    """∫ Σ price × accelerators dt: for each price, step by step through time."""
    by_price: dict[int, tuple[PriceSeries, list[tuple[float, float]]]] = {}
    for each in holdings:
        if each.price is not None:
            by_price.setdefault(id(each.price), (each.price, []))[1].extend(_ends(each))
    parts = []
    for price, changes in by_price.values():
        levels = _levels([*changes, *((time_s, 0) for time_s in price.times_s)])
        for (since_s, devices), (until_s, _) in pairwise(levels):
            parts.append(devices * price.at(since_s) * (until_s - since_s) / SECONDS_PER_HOUR)
    return fsum(parts)


def _ends(holding: Holding) -> list[tuple[float, float]]:
    return [(holding.start_s, holding.devices), (holding.end_s, -holding.devices)]


def _replica_changes(record: RunRecord, pool: str) -> Iterator[tuple[float, float]]:
    for replica in record.replicas:
        if replica.pool == pool:
            yield replica.start_s, replica.num_accelerators
            yield min(replica.end_s, record.end_s), -replica.num_accelerators


def _levels(changes: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    """(time, sum of all changes up to and at it), each time once, in order."""
    by_time: dict[float, float] = {}
    for time_s, change in changes:
        by_time[time_s] = by_time.get(time_s, 0) + change
    level, levels = 0.0, []
    for time_s in sorted(by_time):
        level += by_time[time_s]
        levels.append((time_s, level))
    return levels
