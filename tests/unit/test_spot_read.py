"""Availability traces: four forms, one meaning, and what is wrong with a file said by its line."""

from __future__ import annotations

import csv
import gzip
import json
from itertools import accumulate
from pathlib import Path

import pytest

from llmsim.errors import TraceError
from llmsim.files.spot.events import CapacityEvent
from llmsim.files.spot.prices import read_prices
from llmsim.files.spot.read import read_capacity

SPOT = Path(__file__).parents[3] / "shared" / "data" / "spot"
needs_data = pytest.mark.skipif(not SPOT.is_dir(), reason="the shared traces are not here")

COUNTS = "t_s,instances\n0,2\n60,3\n120,0\n"
SKYPILOT = json.dumps({"metadata": {"gap_seconds": 60}, "data": [2, 3, 0]})
SPOTSERVE = (
    '[0, "add", {"nodes": ["n0", "n1"]}]\n[60000, "add", {"nodes": ["n2"]}]\n'
    '[120000, "remove", {"nodes": ["n0", "n1", "n2"]}]\n[180000, "DONE", {"nodes": []}]\n'
)
BARE = "0,add,n0\n0,add,n1\n60000,add,n2\n120000,remove,n0\n120000,remove,n1\n120000,remove,n2\n"
CHANGES = "t_s,event,instance\n0,add,n0\n0,add,n1\n60,add,n2\n120,remove,n0\n120,remove,n1\n120,remove,n2\n"


def written(tmp_path: Path, text: str, name: str = "trace.txt") -> Path:
    """A file of ``text``."""
    path = tmp_path / name
    path.write_text(text, "utf-8")
    return path


def fault(path: Path, **options: object) -> str:
    """What reading ``path`` complains of, its name left out."""
    with pytest.raises(TraceError) as caught:
        read_capacity(path, source="F", **options)  # type: ignore[arg-type]
    return str(caught.value)


@pytest.mark.parametrize("text", [COUNTS, SKYPILOT, SPOTSERVE, BARE, CHANGES, "# a comment\n\n" + COUNTS])
def test_every_form_says_the_same(tmp_path: Path, text: str) -> None:
    """Two instances, a third after a minute, none after two: told by content, not by the file's name."""
    trace = read_capacity(written(tmp_path, text))

    assert [(0.0, 2), (60.0, 3), (120.0, 0)] == trace.counts()
    assert (2 * 60 + 3 * 60) / 3600 == pytest.approx(trace.instance_hours)


def test_a_packed_file_reads_as_itself(tmp_path: Path) -> None:
    """As every trace."""
    path = tmp_path / "counts.csv.gz"
    path.write_bytes(gzip.compress(COUNTS.encode()))

    assert 2 == read_capacity(path).initial_count


def test_a_named_node_goes_by_its_name(tmp_path: Path) -> None:
    """Exactly the node that the trace names leaves."""
    text = SPOTSERVE.replace('["n0", "n1", "n2"]', '["n1"]')
    trace = read_capacity(written(tmp_path, text))

    assert {"n0", "n1"} == {event.instance for event in trace.initial}
    assert CapacityEvent(120.0, "remove", "", "n1") == trace.events[-1]
    assert 180.0 == trace.end_s


def test_start_and_scale_cut_and_stretch(tmp_path: Path) -> None:
    """At 90 s three are there; 30 s later, 60 s when time is stretched twofold, they are gone."""
    trace = read_capacity(written(tmp_path, CHANGES), start_s=90, time_scale=2)

    assert {"n0", "n1", "n2"} == {event.instance for event in trace.initial}
    assert [60.0] * 3 == [event.time_s for event in trace.events]


def test_zones_keep_their_own_counts(tmp_path: Path) -> None:
    """One zone falls while the other rises."""
    path = written(tmp_path, "t_s,zone,instances\n0,a,2\n0,b,0\n60,a,1\n60,b,4\n")

    assert (CapacityEvent(60.0, "remove", "a"), CapacityEvent(60.0, "add", "b", count=4)) == read_capacity(
        path
    ).events


def test_traces_of_one_file_are_chosen_by_name(tmp_path: Path) -> None:
    """Each named trace is a zone; without a name, or with a wrong one, the file's are named."""
    path = written(tmp_path, "trace,t_s,instances\neast,0,1\nwest,0,2\neast,9,3\n")

    both = read_capacity(path, names=["west", "east"])
    assert {"east": 1, "west": 2} == {event.zone: event.count for event in both.initial}
    assert "F: holds 2 traces (east, west …); choose with `name`" == fault(path)
    assert "F: has no trace 'wets'; did you mean 'west'" in fault(path, names=["wets"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "F: the file is empty"),
        ("# only words\n", "F: the file is empty"),
        ("t_s,instances\n5,1\n4,2\n", "F:3: 4 s is earlier than 5 s on line 2; sort the rows by time"),
        ("5000,add,a\n4000,add,b\n", "F:2: 4 s is earlier than 5 s on line 1; sort the rows by time"),
        ("t_s,instances\n0,1\n5,-2\n", "F:3: -2 instances; a count is 0 or more"),
        ("t_s,instances\nnan,1\n", "F:2: nan s; a time is a number of seconds, 0 or more"),
        ("t_s,instances\n0,one\n", "F:2: cannot be read: invalid literal for int() with base 10: 'one'"),
        ("t_s,instances\n0,1,1\n", "F:2: 3 cells where the header has 2"),
        ("0,add,a\n9,remove,b\n", "F:2: 'b' is removed, but it is not there"),
        ("0,add,a\n9,add,a\n", "F:2: 'a' is added, but it is there already"),
        ("0,add,a\n9,crash,a\n", "F:2: cannot be read: 'crash' is neither add nor remove"),
        ('[0, "add", {"nods": []}]', "F:1: cannot be read: 'nodes' is missing"),
        ("when,how many\n0,1\n", "F:1: no availability trace known has the columns when, how many"),
        ('{"metadata": {}, "data": []}', "'gap_seconds' is missing"),
        ('{"metadata": {"gap_seconds": 9}, "data": [1, 0.5]}', "F: data[1]: 0.5 is not a whole number"),
        ('{"metadata": {"gap_seconds": 9}, "data": [1, -1]}', "F: data[1]: -1 instances; a count is 0 or"),
        ("t_s,instances\n0,0\n9,0\n", "F: no capacity in the whole trace: a pool would never have an"),
    ],
)
def test_what_is_wrong_is_told_where(tmp_path: Path, text: str, message: str) -> None:
    """One clear message each, with file and line."""
    assert message in fault(written(tmp_path, text))


def test_capacity_before_the_start_is_none(tmp_path: Path) -> None:
    """A trace whose capacity is all over by ``start_s`` is refused too."""
    assert "no capacity in the whole trace after start_s 200" in fault(written(tmp_path, COUNTS), start_s=200)


def test_every_bad_row_is_told_at_once(tmp_path: Path) -> None:
    """All problems, not the first."""
    assert 2 == len(fault(written(tmp_path, "t_s,instances\n0,x\n1,y\n")).splitlines())


@needs_data
@pytest.mark.parametrize("name", ["trace_0304_real", "trace_0506_real", "trace_0304_ondemand"])
def test_spotserve_traces_hold_at_most_ten_instances(name: str) -> None:
    """SpotServe (ASPLOS 2024): at most ten g4dn.12xlarge in the end-to-end runs."""
    trace = read_capacity(SPOT / "spotserve" / f"{name}.txt")

    assert 10 == max(count for _, count in trace.counts())
    assert 4 <= min(count for _, count in trace.counts())


@needs_data
def test_the_long_recording_never_holds_a_node_twice() -> None:
    """Every removal of the recording names a node that is there, and 39,000 s pass."""
    trace = read_capacity(SPOT / "spotserve" / "g4dn_full.csv")
    counts = list(accumulate(event.change for event in (*trace.initial, *trace.events)))

    assert (24, 5) == (max(counts), counts[-1])
    assert 38760.0 == trace.end_s


@needs_data
def test_decreases_per_instance_hour_are_those_of_the_summary() -> None:
    """The readers give the figures that were computed when the traces were collected."""
    with (SPOT / "spot_traces_summary.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(line for line in file if not line.startswith("#")))
    for row in rows[::5]:
        trace = read_capacity(SPOT / "spot_traces.csv", names=[row["trace"]])
        decreases = sum(event.count for event in trace.events if event.kind == "remove")

        assert int(row["decreases"]) == decreases


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "F: the file is empty"),
        ("t_s,usd_per_hour\n", "F: has a header but no prices"),
        ("t_s,price\n0,1\n", "F:1: a price series has the columns t_s and usd_per_hour; this has t_s, price"),
        ("t_s,usd_per_hour\n0,1\n0,2\n", "F:3: 0 s is not after 0 s; sort the rows by time"),
        ("t_s,usd_per_hour\n0,-1\n", "F:2: -1 $/h at 0 s; a price is 0 or more"),
        ("t_s,usd_per_hour\n0,cheap\n", "F:2: 0,cheap is not a time in s and a price in $/h"),
    ],
)
def test_what_is_wrong_with_prices(tmp_path: Path, text: str, message: str) -> None:
    """The same of a price series."""
    with pytest.raises(TraceError) as caught:
        read_prices(written(tmp_path, text), source="F")

    assert message == str(caught.value)
