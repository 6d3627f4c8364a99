"""A fleet that changes, as people see it: the printed report, the page's data, and the timeline."""

from __future__ import annotations

import io
import json
import re
from itertools import pairwise
from typing import Any

import pytest
import report_runs as runs
from rich.console import Console

from llmsim.measure.records import RunRecord
from llmsim.report.table import render
from llmsim.report.timeline import timeline

BOTH = {"ttft_ms": 500.0, "tpot_ms": 50.0, "percentile": 0.9}


@pytest.fixture(scope="module")
def record() -> RunRecord:
    """One of two replicas at a time, with a tenth of the run without any."""
    return runs.make_changing(runs.make_requests(300))


def printed(record: RunRecord, **pool: Any) -> str:
    """The report, 100 columns wide."""
    loaded = runs.make_loaded(BOTH, **({"spot": runs.SPOT} | pool))
    console = Console(file=io.StringIO(), width=100)
    console.print(render(runs.summary_of(record, loaded), record, loaded))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def flat(text: str) -> str:
    """Without line ends."""
    return " ".join(text.split())


def test_what_happened_is_one_fact(record: RunRecord) -> None:
    """Replicas over time, what was taken, and what that cost the requests."""
    text = flat(printed(record))

    assert "Fleet 0.9" in text
    assert "replicas served on average, 0 to 1" in text
    assert (
        f"{record.end_s / 10:.2f} s without any; 1 reclaim, 7 requests hit, 4,321 tokens of KV computed anew"
        in text
    )
    assert "12 moved to other replicas (1.43 MiB)" in text


def test_what_was_taken_as_given_is_said(record: RunRecord) -> None:
    """Capacity, price, start and machines, the last with their sources."""
    text = flat(printed(record))

    assert (
        "Spot 1.50 reclaims per instance-hour in 1 zone, back after 10.0 min on average, 2.00 min notice"
        in text
    )
    assert "Spot price $1.00 an hour each [the pool's spot.price]" in text
    assert "Start 2.00 min until an instance runs its image, then weights from disk [assumed]" in text
    assert "Machine dgx-h100: 8 devices [a data sheet]" in text


def test_fallbacks_are_said(record: RunRecord) -> None:
    """What a reader would otherwise look for in the scenario."""
    ways = {"num_overprovision": 2, "base_ondemand_fallback_replicas": 1, "dynamic_ondemand_fallback": True}
    text = flat(printed(record, spot=runs.SPOT | ways))

    assert "2 more than needed, 1 always on demand, on demand while spot is missing" in text


def test_fits_the_terminal(record: RunRecord, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten lines more than a fleet that stays: 100 columns, 55 lines."""
    monkeypatch.delenv("COLUMNS", raising=False)  # a runner of tests may set it
    lines = printed(record).splitlines()

    assert 100 >= max(map(len, lines))
    assert 55 >= len(lines)


def test_the_subtitle_counts_what_was_held_at_once(record: RunRecord) -> None:
    """Two replicas one after the other are one accelerator."""
    page = runs.page_of(record, runs.make_loaded(BOTH, spot=runs.SPOT))

    assert "tiny on at most 1 × h100-sxm" in page


def data_of(record: RunRecord) -> dict[str, Any]:
    """What the page's script draws."""
    page = runs.page_of(record, runs.make_loaded(BOTH, spot=runs.SPOT))
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert found
    data: dict[str, Any] = json.loads(found[1])
    return data


def test_the_page_shows_who_serves_what_is_held_and_its_price(record: RunRecord) -> None:
    """Each changes where the fleet did; the price of spot capacity rises at a quarter of the run."""
    data = data_of(record)
    panels = {panel["id"]: panel["series"] for panel in data["times"]}
    middle = lambda series, share: series["y"][int(share * len(series["y"]))]  # noqa: E731

    [serving], [spot, on_demand], [cost] = panels["serving"], panels["held"], panels["cost"]
    assert [1, 0, 1] == [middle(serving, share) for share in (0.3, 0.55, 0.8)]
    assert [(1, 0), (0, 1)] == [(middle(spot, share), middle(on_demand, share)) for share in (0.3, 0.8)]
    assert [1.0, 1.5, 2.49] == [middle(cost, share) for share in (0.1, 0.4, 0.8)]


def test_the_page_marks_what_was_taken(record: RunRecord) -> None:
    """At its time, on the axis the panels share."""
    [event] = data_of(record)["time"]["events"]

    assert ("reclaimed", [pytest.approx(record.end_s / 2, rel=1e-6)]) == (event["name"], event["x"])


def test_a_fixed_fleet_has_no_panels_of_its_own() -> None:
    """Nothing changes, so nothing is plotted."""
    data = data_of(runs.make_record(runs.make_requests(50)))

    assert ["requests", "kv", "tokens"] == [panel["id"] for panel in data["times"]]
    assert [] == data["time"]["events"]


def test_the_timeline_has_an_instant_for_each_change(record: RunRecord) -> None:
    """In the process of its pool, with what it says; replicas that serve are a counter."""
    events = json.loads("".join(timeline(record)))["traceEvents"]
    names = {event["args"]["name"]: event["pid"] for event in events if event["name"] == "process_name"}
    instants = [event for event in events if event["ph"] == "i"]
    counter = [event["args"]["value"] for event in events if event["name"] == "replicas serving"]

    assert record.fleet is not None
    assert [event.kind for event in record.fleet.events] == [event["name"] for event in instants]
    assert {names["pool main"]} == {event["pid"] for event in instants}
    assert {"instance": "zone-1/0", "requests": 7, "lost_tokens": 4321} == instants[3]["args"]
    assert [0, 1, 0, 1] == counter


def test_a_replicas_track_ends_when_it_ends(record: RunRecord) -> None:
    """It serves from its start to its end, in microseconds, and its last counters are 0."""
    events = json.loads("".join(timeline(record)))["traceEvents"]
    lives = {
        event["pid"]: (event["ts"], event["ts"] + event["dur"])
        for event in events
        if event["name"] == "serves"
    }
    kv = [event["args"]["value"] for event in events if event["name"] == "KV blocks" and event["pid"] == 2]

    half, end = record.end_s * 5e5, record.end_s * 1e6
    assert {2: pytest.approx((0, half)), 3: pytest.approx((0.6 * end, end))} == lives
    assert 0 in kv
    assert all(before["ts"] <= after["ts"] for before, after in pairwise(e for e in events if e["ph"] != "M"))
