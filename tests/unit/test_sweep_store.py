"""A store that is killed, filled up, damaged or shared."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from time import sleep

import pytest
from sweep_scenarios import grid, small

from llmsim.errors import OutputError
from llmsim.planning.outcome import Outcome, play
from llmsim.planning.points import Base, Point
from llmsim.planning.store import FILE, open_store
from llmsim.planning.sweep import manifest, run_points

MANIFEST = {"version": "1", "scenario": "small abc"}
KILLS = 20

CHILD = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from sweep_scenarios import grid
from llmsim.planning.outcome import play
from llmsim.planning.points import Base
from llmsim.planning.store import open_store
from llmsim.planning.sweep import run_points

def run(points):
    for index, point in enumerate(points):
        print("run", point.sha256, flush=True)
        yield index, play(point)

points = grid(Base({scenario!r}), "workload.arrival.request_rate=1:10:1", "engine.max_num_seqs=1:6:1")
with open_store(Path({store!r}), {manifest!r}) as store:
    run_points(points, run, store)
print("done", flush=True)
"""


def rows(directory: Path) -> list[tuple[str, str, str]]:
    """What a store holds, in order."""
    with sqlite3.connect(directory / FILE) as connection:
        return list(connection.execute("SELECT sha256, body, digest FROM outcomes ORDER BY sha256"))


def here(points: Sequence[Point]) -> Iterator[tuple[int, Outcome]]:
    """Runs points in this process."""
    yield from enumerate(map(play, points))


def started(scenario: Path, directory: Path) -> subprocess.Popen[str]:
    """A sweep of 60 points in a process of its own, which says what it runs."""
    code = CHILD.format(
        tests=str(Path(__file__).parent), scenario=str(scenario), store=str(directory), manifest=MANIFEST
    )
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)


def test_killed_at_any_moment_and_run_again_it_equals_an_uninterrupted_one(tmp_path: Path) -> None:
    """``kill -9`` at 20 random moments of a 60-point sweep; what was kept is never run again."""
    random = Random(5)
    scenario, killed, whole = small(tmp_path), tmp_path / "killed", tmp_path / "whole"
    killed.mkdir()
    whole.mkdir()
    base = Base(scenario)
    points = grid(base, "workload.arrival.request_rate=1:10:1", "engine.max_num_seqs=1:6:1")
    ran: list[str] = []
    for _ in range(KILLS):
        kept = {sha256 for sha256, _, _ in rows(killed)} if (killed / FILE).exists() else set()
        with started(scenario, killed) as child:
            assert child.stdout
            for _ in range(random.randint(1, 4)):
                ran.append(child.stdout.readline().removeprefix("run ").strip())
                assert ran[-1] not in kept
            sleep(random.uniform(0, 0.02))
            child.kill()
    with started(scenario, killed) as child:
        assert "done" == (child.stdout and child.stdout.read().splitlines()[-1])
    with open_store(whole, MANIFEST) as store:
        outcomes = run_points(points, here, store)

    assert 60 == len({point.sha256 for point in points}) == len(outcomes)
    assert rows(whole) == rows(killed)


def test_a_rerun_does_only_what_is_missing(tmp_path: Path) -> None:
    """A larger grid runs the new points; the outcomes of the old ones are the same as before."""
    base = Base(small(tmp_path))
    seen: list[int] = []

    def counted(points: Sequence[Point]) -> Iterator[tuple[int, Outcome]]:
        seen.append(len(points))
        yield from here(points)

    with open_store(tmp_path, MANIFEST) as store:
        first = run_points(grid(base, "fleet.replicas=1:2:1"), counted, store)
    with open_store(tmp_path, MANIFEST) as store:
        second = run_points(grid(base, "fleet.replicas=1:4:1"), counted, store)
        third = run_points(grid(base, "fleet.replicas=1:4:1"), counted, store)

    assert [2, 2, 0] == seen
    assert first == second[:2]
    assert second == third


def test_points_with_one_scenario_are_run_once(tmp_path: Path) -> None:
    """A value that equals the default, written in another way, is no other point."""
    points = grid(Base(small(tmp_path)), "slo.ttft_ms=0.5s,500,500ms")
    seen: list[int] = []

    def counted(points: Sequence[Point]) -> Iterator[tuple[int, Outcome]]:
        seen.append(len(points))
        yield from here(points)

    outcomes = run_points(points, counted)
    assert [1] == seen
    assert ["0.5s", 500, "500ms"] == [outcome.settings["slo.ttft_ms"] for outcome in outcomes]
    assert outcomes[0].summary == outcomes[1].summary == outcomes[2].summary


def test_a_damaged_row_is_noticed_and_run_again(tmp_path: Path) -> None:
    """Half a record, as a bad disk leaves it."""
    points = grid(Base(small(tmp_path)), "fleet.replicas=1:3:1")
    with open_store(tmp_path, MANIFEST) as store:
        run_points(points, here, store)
    before = rows(tmp_path)
    with sqlite3.connect(tmp_path / FILE) as connection:
        connection.execute(
            "UPDATE outcomes SET body = substr(body, 1, length(body) / 2) WHERE sha256 = ?",
            (points[1].sha256,),
        )
    with open_store(tmp_path, MANIFEST) as store:
        assert {0, 2} == set(store.find(points))
        run_points(points, here, store)
    assert before == rows(tmp_path)


def test_a_full_disk_keeps_what_is_finished(tmp_path: Path) -> None:
    """The error says so; with room again, only the rest is run."""
    points = grid(Base(small(tmp_path)), "fleet.replicas=1:8:1")
    with open_store(tmp_path, MANIFEST) as store:
        run_points(points[:3], here, store)
        (pages,) = store.connection.execute("PRAGMA page_count").fetchone()
        store.connection.execute(f"PRAGMA max_page_count = {pages + 4}")
        with pytest.raises(OutputError, match="full; what was finished is kept"):
            run_points(points, here, store)
    with open_store(tmp_path, MANIFEST) as store:
        assert 3 <= len(store.find(points)) < 8
        assert 8 == len(run_points(points, here, store))


@pytest.mark.parametrize("key", ["version", "scenario"])
def test_a_store_of_something_else_is_refused(tmp_path: Path, key: str) -> None:
    """With both values and the way out; nothing in it changes."""
    with open_store(tmp_path, MANIFEST):
        pass
    with (
        pytest.raises(OutputError, match=f"made with another {key}") as caught,
        open_store(tmp_path, MANIFEST | {key: "another"}),
    ):
        pass
    assert "--out" in (caught.value.hint or "")


def test_a_store_belongs_to_one_sweep_at_a_time(tmp_path: Path) -> None:
    """A second one would run the same points again."""
    with (
        open_store(tmp_path, MANIFEST),
        pytest.raises(OutputError, match="another sweep is writing"),
        open_store(tmp_path, MANIFEST),
    ):
        pass


def test_a_file_that_is_no_store_is_refused(tmp_path: Path) -> None:
    """And left alone."""
    (tmp_path / FILE).write_text("not a database, but a text that is longer than one header\n" * 40)
    with pytest.raises(OutputError, match="not a database"), open_store(tmp_path, MANIFEST):
        pass
    assert (tmp_path / FILE).read_text().startswith("not a database")


def test_a_plugin_is_part_of_what_outcomes_depend_on(tmp_path: Path) -> None:
    """The same name with another content is another manifest."""
    loaded = Base(small(tmp_path)).load()
    plugin = tmp_path / "mine.py"
    plugin.write_text("A = 1\n")
    before = manifest(loaded, [plugin])
    plugin.write_text("A = 2\n")

    assert before != manifest(loaded, [plugin])
    assert manifest(loaded) == manifest(loaded)
