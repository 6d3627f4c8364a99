"""Who runs the points makes no difference; one that dies takes down its own point alone."""

from __future__ import annotations

import multiprocessing
import time
from importlib.util import find_spec
from pathlib import Path

import pytest
from sweep_scenarios import grid, small

from llmsim.errors import UserError
from llmsim.planning.on_ray import open_ray
from llmsim.planning.points import Base
from llmsim.planning.sweep import run_points
from llmsim.planning.workers import open_workers
from llmsim.plugins import load_plugin_file
from llmsim.report.sweep import sweep_json
from llmsim.report.whole_files import as_json

OVER = ("workload.arrival.request_rate=2:8:2", "engine.scheduler=orca,chunked_prefill")
needs_ray = pytest.mark.skipif(find_spec("ray") is None, reason="the extra llmsim[ray] is not installed")

PLUGIN = """
import os
from llmsim import SCHEDULERS
from llmsim.engine.schedulers.orca import Orca

class {name}(Orca):
    \"\"\"Kills the process of large batches.\"\"\"

    def plan(self, batch, now_s):
        if self.limits.max_num_seqs == 7:
            os._exit(9)
        return super().plan(batch, now_s)

if "{kind}" not in SCHEDULERS.names():
    SCHEDULERS.register("{kind}")({name})
"""


def answers(directory: Path, on: str, workers: int | None = 2) -> bytes:
    """The JSON of a small sweep with a failed point in it, run ``on``."""
    points = grid(Base(small(directory)), *OVER, replications=2)
    points += grid(
        Base(small(directory)), "engine.max_num_seqs=8,512", "engine.max_num_batched_tokens=256,1024"
    )
    with open_workers(on, workers) as run:
        return as_json(sweep_json(run_points(points, run))).encode()


def test_a_pool_gives_the_bytes_of_one_process(tmp_path: Path) -> None:
    """Whatever order the points finish in."""
    alone = answers(tmp_path, "here")

    assert alone == answers(tmp_path, "pool")
    assert alone == answers(tmp_path, "pool", workers=3)


@needs_ray
@pytest.mark.filterwarnings("default")  # Ray's own
def test_a_ray_cluster_gives_the_bytes_of_one_process(tmp_path: Path) -> None:
    """A cluster of two CPUs on this machine."""
    assert answers(tmp_path, "here") == answers(tmp_path, "ray")


@needs_ray
@pytest.mark.filterwarnings("default")  # Ray's own
def test_a_ray_cluster_runs_plugins(tmp_path: Path) -> None:
    """From their content: the files need not lie on the cluster."""
    plugin = tmp_path / "on_ray.py"
    plugin.write_text(PLUGIN.format(name="OnRay", kind="on_ray"))
    load_plugin_file(plugin)
    points = grid(Base(small(tmp_path)), "engine.scheduler=on_ray,orca")
    with open_ray(None, 2, [plugin]) as run:
        plugin.unlink()
        mine, orca = run_points(points, run)
    assert mine.problem is None
    assert mine.curves == orca.curves


def test_an_address_where_nobody_answers_is_refused() -> None:
    """Within seconds, with what to do; Ray itself would take half a minute."""
    pytest.importorskip("ray", reason="the extra llmsim[ray] is not installed")
    with pytest.raises(UserError, match="does not answer") as caught, open_workers("ray://127.0.0.1:9"):
        pass
    assert "ray start --head" in (caught.value.hint or "")
    with pytest.raises(UserError, match="write ray://HOST:PORT"), open_workers("ray://nowhere"):
        pass


def test_ray_is_an_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without it, the error names it."""
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    with pytest.raises(UserError) as caught, open_workers("ray"):
        pass
    assert "llmsim[ray]" in (caught.value.hint or "")


def test_an_unknown_place_is_refused() -> None:
    """With the places there are."""
    with pytest.raises(UserError, match="choose pool, here, ray or ray://HOST:PORT"), open_workers("rya"):
        pass


def test_a_process_that_dies_takes_its_own_point_along(tmp_path: Path) -> None:
    """Killed as by the system for want of memory: the others are run all the same, each once."""
    plugin = tmp_path / "deadly.py"
    plugin.write_text(PLUGIN.format(name="Deadly", kind="deadly"))
    load_plugin_file(plugin)
    points = grid(Base(small(tmp_path), ("engine.scheduler=deadly",)), "engine.max_num_seqs=4:12:1")
    with open_workers("pool", 2, [plugin]) as run:
        found = [index for index, _ in run(points)]
        outcomes = run_points(points, run)
    assert list(range(9)) == sorted(found)
    failed = [outcome for outcome in outcomes if outcome.problem]
    assert [{"engine.max_num_seqs": 7}] == [outcome.settings for outcome in failed]
    assert "killed" in str(failed[0].problem)
    assert not failed[0].is_final


def test_no_process_is_left_behind(tmp_path: Path) -> None:
    """Closing the pool ends its processes."""
    before = set(multiprocessing.active_children())
    answers(tmp_path, "pool")
    give_up = time.monotonic() + 60
    # asked until it is so: the pool's own thread waits for them too, and for a moment only that one knows of the end
    while set(multiprocessing.active_children()) - before:
        assert time.monotonic() < give_up
        time.sleep(0.05)
