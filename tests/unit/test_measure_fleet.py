"""A fleet that changes, in the summary: replicas over time, downtime, capacity, and the laws that catch a lie."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from measure_runs import add_row, complete, make_record, make_replica, make_request, scenario_like

from llmsim.errors import InvariantError
from llmsim.files.spot.prices import PriceSeries
from llmsim.measure.fleet import fleet_summary
from llmsim.measure.fleet_log import FleetEvent, FleetLog
from llmsim.measure.laws import check
from llmsim.measure.ledger import Holding
from llmsim.measure.records import RunRecord, StepLog
from llmsim.measure.series import kv_capacity, series
from llmsim.measure.summary import summarise

PRICE = PriceSeries((0.0, 5.0), (3.6e3, 7.2e3))
"""A dollar a second, and two from 5 s on."""


def log(*events: FleetEvent) -> FleetLog:
    """Of a pool that comes to serve at 0 s with two replicas, unless ``events`` say something else."""
    given = events or (
        FleetEvent(0.0, "serving", "main", serving=1),
        FleetEvent(0.0, "serving", "main", serving=2),
    )
    return FleetLog(("main",), events=list(given))


def held(start_s: float, end_s: float, **fields: Any) -> Holding:
    """One accelerator."""
    return Holding("main", "h100-sxm", 1, start_s, end_s, PRICE, PRICE, **({"is_spot": True} | fields))


def record(**fields: Any) -> RunRecord:
    """Replica 0 is there from 0 to 4 s, replica 1 from 2 s on; a request each; the run lasts 10 s."""
    requests = [
        complete(make_request(0, 0.0, output_tokens=1), 0.0, 1.0, 1.0),
        complete(make_request(1, 3.0, output_tokens=1), 3.0, 10.0, 10.0),
    ]
    requests[1].replica = 1
    for req, last_s in zip(requests, (1.0, 10.0), strict=True):
        req.last_token_s = last_s
    steps = StepLog()
    add_row(steps, start_s=0.0, first_s=1.0, sequences=1, prefill_tokens=10, kv_blocks=50)
    add_row(steps, start_s=3.0, first_s=7.0, sequences=1, prefill_tokens=10, kv_blocks=30, replica=1)
    given = {
        "replicas": [make_replica(0, end_s=4.0), make_replica(1, start_s=2.0)],
        "fleet": log(),
        "holdings": [held(0.0, 4.0), held(1.0, 10.0)],
        "end_s": 10.0,
    }
    return make_record(requests, steps, **(given | fields))


def broken(**fields: Any) -> str:
    """What the laws say about the run with ``fields``."""
    with pytest.raises(InvariantError) as caught:
        check(record(**fields))
    return str(caught.value)


def test_the_run_itself_keeps_the_laws() -> None:
    """So that what the other tests change is what breaks them."""
    check(record())


def test_downtime_counts_from_the_first_arrival_for_each_pool() -> None:
    """Nobody from 0 to 3 s and from 5 to 6 s; the run is looked at from 1 to 10 s."""
    events = [
        FleetEvent(3.0, "serving", "main", serving=1),
        FleetEvent(5.0, "reclaimed", "main", serving=0),
        FleetEvent(6.0, "serving", "main", serving=1),
        FleetEvent(6.0, "serving", "other", serving=1),
    ]
    fleet = FleetLog(("main", "other"), events=events)

    assert [(0.0, 0), (3.0, 1), (5.0, 0), (6.0, 1)] == fleet.serving("main")
    assert [(0.0, 0), (3.0, 1), (5.0, 0), (6.0, 2)] == fleet.serving()
    assert 2 + 1 + 5 == fleet.summary(1.0, 10.0)["downtime_s"]


def test_crashes_are_not_reclaims() -> None:
    """Each has its count; both hit requests."""
    events = [
        FleetEvent(1.0, kind, "main", requests=2, lost_tokens=7)
        for kind in ("reclaimed", "crashed", "crashed")
    ]
    counts = log(*events).summary(0.0, 10.0)

    assert (1, 2, 6, 21) == tuple(
        counts[key] for key in ("reclaims", "crashes", "requests_hit", "lost_kv_tokens")
    )


def test_an_instance_given_back_after_notice_was_reclaimed() -> None:
    """As much as one that was still in use; one given back without notice was not, nor one that is still there."""
    events = [
        FleetEvent(1.0, "notice", "main", "a"),
        FleetEvent(1.0, "notice", "main", "b"),
        FleetEvent(2.0, "released", "main", "a"),
        FleetEvent(3.0, "reclaimed", "main", "b"),
        FleetEvent(4.0, "released", "main", "a"),
        FleetEvent(5.0, "reclaimed", "main", "c"),
        FleetEvent(6.0, "notice", "main", "a"),
    ]

    assert [2.0, 3.0, 5.0] == log(*events).losses_s("reclaimed")


def test_replicas_are_those_of_every_pool() -> None:
    """One to two of the spot pool over ten seconds, and three that stay; instance-hours by kind."""
    fleet = log(
        FleetEvent(0.0, "serving", "main", serving=2), FleetEvent(4.0, "reclaimed", "main", serving=1)
    )
    fleet.fixed = 3
    holdings = [held(0.0, 4.0), held(1.0, 10.0), held(0.0, 10.0, is_spot=False, instances=3)]
    summary = fleet_summary(record(fleet=fleet, holdings=holdings))

    assert summary is not None
    assert {"min": 4, "mean": pytest.approx(4.4), "max": 5} == summary["replicas"]
    assert summary["spot_instance_hours"] == pytest.approx(13 / 3600)
    assert summary["on_demand_instance_hours"] == pytest.approx(30 / 3600)


def test_a_fixed_fleet_has_no_fleet_section() -> None:
    """Null, not zeros."""
    made = summarise(record(fleet=None, holdings=[]), scenario_like(), sha256="", version="")

    assert made["fleet"] is None


def test_capacity_is_what_is_there() -> None:
    """100 blocks for 2 s, 200 for 2 s, 100 for 6 s: 120 on average, of which 50·1 + 30·7 block-seconds are held."""
    run = record()
    made = summarise(run, scenario_like(), sha256="", version="")

    assert [100, 200, 100, 100, 100] == kv_capacity(run, np.linspace(0, 10, 6)).tolist()
    assert 120 == made["num_kv_blocks"]
    assert made["kv_cache_usage"]["mean"] == pytest.approx((50 + 210) / 1200)
    assert series(run, 5)["kv_usage"] == pytest.approx([0.25, 0.075, 0.3, 0.3, 0.3])


@pytest.mark.parametrize(
    ("replicas", "message"),
    [
        ([make_replica(0, end_s=0.5), make_replica(1, start_s=2.0)], "a row ends after its replica"),
        ([make_replica(0, end_s=4.0), make_replica(1, start_s=3.5)], "a row starts before its replica"),
        ([make_replica(0, end_s=0.5), make_replica(1, start_s=2.0)], "completed by a replica that is gone"),
        ([make_replica(0, end_s=4.0, blocks_left=1), make_replica(1, start_s=2.0)], "replica that is gone are held"),
        ([make_replica(0, end_s=4.5), make_replica(1, start_s=2.0)], "on 1 accelerators that nobody holds at 4.0 s"),
    ],
)  # fmt: skip
def test_what_is_gone_does_nothing(replicas: list[Any], message: str) -> None:
    """Rows and completions outside a replica's time, blocks it left behind, accelerators nobody pays for."""
    assert message in broken(replicas=replicas)


def test_lost_tokens_are_counted_once() -> None:
    """The fleet lost seven tokens that no request misses."""
    assert "KV lost: 0 by requests, 7 by the fleet" in broken(
        fleet=log(FleetEvent(4.0, "reclaimed", "main", serving=1, lost_tokens=7))
    )


def test_moved_tokens_were_sent() -> None:
    """Ten tokens of 8 bytes need 80 bytes."""
    replicas = [
        replace(replica, kv_bytes_per_token=8.0)
        for replica in (make_replica(0, end_s=4.0), make_replica(1, start_s=2.0))
    ]
    moved = FleetEvent(4.0, "migrated", "main", moved_tokens=10, moved_bytes=80.0)
    check(record(replicas=replicas, fleet=log(moved)))

    assert "10 tokens of KV moved" in broken(replicas=replicas, fleet=log(moved._replace(moved_bytes=79.0)))


def test_nobody_holds_anything_after_the_end() -> None:
    """An instance that is paid for when the run is over."""
    assert "is held from 1.0 to 11.0 s" in broken(holdings=[held(0.0, 4.0), held(1.0, 11.0)])


def test_cost_is_summed_in_two_ways(monkeypatch: pytest.MonkeyPatch) -> None:
    """Over time a dollar a second until 5 s and two after: 4 + (4 + 10) = $18; a ledger that says $19 is caught."""
    monkeypatch.setattr("llmsim.measure.ledger.cost_usd", lambda _: 19.0)

    assert "cost: $19.0 by holdings, $18.0 by time" in broken()
