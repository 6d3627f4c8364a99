"""``llmsim sweep`` as it is typed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
from sweep_scenarios import small

SECTION = "sweep: {over: {engine.max_num_seqs: [1, 64]}, replications: 2}\n"


def sweep(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command in ``directory``, in this machine's one process."""
    command = [sys.executable, "-m", "llmsim", "sweep", "small.yaml", "--workers", "1", *arguments]
    return subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)


def test_json_is_a_list_in_grid_order(tmp_path: Path) -> None:
    """Point, seed and summary of every run, as interface.md fixes it; the same again from the store."""
    small(tmp_path, SECTION)
    first = sweep(tmp_path, "--json", "--over", "workload.arrival.request_rate=1:2:1")
    again = sweep(tmp_path, "--json", "--over", "workload.arrival.request_rate=1:2:1")
    listed = json.loads(first.stdout)

    assert 0 == first.returncode, first.stderr
    assert first.stdout == again.stdout
    assert [(1, 1), (1, 1), (1, 2), (1, 2), (64, 1), (64, 1), (64, 2), (64, 2)] == [
        tuple(run["point"].values()) for run in listed
    ]
    assert ["engine.max_num_seqs", "workload.arrival.request_rate"] == list(listed[0]["point"])
    assert [0, 1] * 4 == [run["seed"] for run in listed]
    assert all(60 == run["summary"]["offered"] for run in listed)


def test_what_a_directory_holds(tmp_path: Path) -> None:
    """The store, the list, and a table with one row a run."""
    small(tmp_path, SECTION)
    done = sweep(tmp_path, "--out", "here")

    assert 0 == done.returncode, done.stderr
    assert {"sweep.sqlite", "sweep.json", "scenario.yaml"} <= set(os.listdir(tmp_path / "here"))
    (path,) = (tmp_path / "here").glob("points.*")
    table = pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path)
    assert 4 == len(table)
    assert {"engine.max_num_seqs", "seed", "saturation", "p99_ttft_ms", "problem"} <= set(table.columns)


def test_a_failed_point_is_told_and_the_others_stand(tmp_path: Path) -> None:
    """Exit code 2: its settings and the reason are on standard error."""
    small(tmp_path)
    done = sweep(tmp_path, "--over", "fleet.accelerator=t4,h100-sxm", "--set", "fleet.cost_model=roofline",
                 "--set", "engine.num_kv_tokens=null", "--json")  # fmt: skip

    assert 2 == done.returncode
    t4, h100 = json.loads(done.stdout)
    assert t4["summary"] is None
    assert "does not fit" in t4["problem"]
    assert 60 == h100["summary"]["completed"]
    assert "failed: fleet.accelerator=t4, seed 0" in done.stderr


def test_mistakes_run_nothing(tmp_path: Path) -> None:
    """No axis, an unknown key, a directory that holds something else."""
    small(tmp_path)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("all of it")
    for arguments, message in (
        ([], "nothing to sweep"),
        (["--over", "fleet.replica=1,2"], "did you mean 'replicas'"),
        (["--over", "fleet.replicas="], "no values"),
        (["--over", "fleet.replicas=1,2", "--out", "full"], "not empty"),
    ):
        done = sweep(tmp_path, *arguments)
        assert (2, "") == (done.returncode, done.stdout)
        assert message in done.stderr
        assert "Traceback" not in done.stderr
    assert ["full", "small.yaml"] == sorted(os.listdir(tmp_path))


def test_another_scenarios_store_is_refused(tmp_path: Path) -> None:
    """With the way out."""
    small(tmp_path)
    arguments = ["--over", "fleet.replicas=1,2", "--out", "there"]
    assert 0 == sweep(tmp_path, *arguments).returncode
    other = sweep(tmp_path, *arguments, "--set", "workload.num_requests=61")

    assert 2 == other.returncode
    assert "made with another scenario" in other.stderr
    assert "--out" in other.stderr


def test_interrupted_it_keeps_what_is_done(tmp_path: Path) -> None:
    """Ctrl-C: exit code 130, how much is kept, and the same command goes on."""
    small(tmp_path)
    over = ["--over", "workload.arrival.request_rate=1:400:1", "--set", "workload.num_requests=2000"]
    command = [sys.executable, "-m", "llmsim", "sweep", "small.yaml", "--workers", "1", *over, "--out", "r"]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as child:
        while not (tmp_path / "r" / "sweep.sqlite").exists():
            time.sleep(0.05)
        time.sleep(1)
        child.send_signal(signal.SIGINT)
        _, said = child.communicate(timeout=60)
    assert 130 == child.returncode
    assert "points are kept in r; the same command goes on from there." in said
    assert "Traceback" not in said
