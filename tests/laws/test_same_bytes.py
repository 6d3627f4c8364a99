"""L5: same scenario, same seed, same version: the same bytes, in any process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
MACHINE_DEPENDENT = {"run_info.json"}
CHANGES = (
    "workload.num_requests=400",
    "fleet.replicas=3",
    "router=least_requests",
    "engine.num_kv_tokens=9000",
)


def results(directory: Path, hash_seed: str, scenario: Path, *changes: str) -> dict[str, bytes]:
    """The files of a run in a process of its own."""
    command = [sys.executable, "-m", "llmsim", "run", str(scenario), "--out", str(directory), "--quiet"]
    for change in changes:
        command += ["--set", change]
    environment = os.environ | {"PYTHONHASHSEED": hash_seed}
    subprocess.run(
        command, cwd=directory.parent, env=environment, check=True, capture_output=True, timeout=120
    )
    return {
        path.name: path.read_bytes() for path in directory.iterdir() if path.name not in MACHINE_DEPENDENT
    }


def test_another_process_and_hash_seed_write_the_same_bytes(tmp_path):
    """Every file but run_info.json, from the scenario and from the resolved scenario it wrote."""
    scenario = ROOT / "scenarios" / "chatbot.yaml"
    first = results(tmp_path / "a", "1", scenario, *CHANGES)
    second = results(tmp_path / "b", "2", scenario, *CHANGES)
    again = results(tmp_path / "c", "3", tmp_path / "a" / "scenario.yaml")

    assert {"summary.json", "scenario.yaml", "report.html", "timeline.json.gz"} < set(first)
    assert [] == [name for name in first if first[name] != second[name]]
    assert [] == [name for name in first if first[name] != again[name]]
