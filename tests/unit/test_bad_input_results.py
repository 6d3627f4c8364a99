"""Results that cannot be written are not there at all."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from door_scenarios import write_scenario

from llmsim.cli import run as command
from llmsim.errors import OutputError
from llmsim.files.scenario_file import load_scenario
from llmsim.report import write


def full_disk(*arguments: Any) -> None:
    """What writing the timeline does here."""
    raise OSError(28, "No space left on device")


def quiet(directory: Path | None) -> command.Output:
    """An output without words."""
    return command.Output(directory=directory, json=False, quiet=True)


def test_a_full_disk_leaves_no_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is there of what could be written before; nor are the directories made for it."""
    loaded = load_scenario(write_scenario(tmp_path))
    monkeypatch.setattr(write, "_gzip", full_disk)
    with pytest.raises(OutputError, match=r"timeline.json.gz: cannot be written: No space left on device"):
        command.run_scenario(loaded, quiet(tmp_path / "a/b"), check=False)

    assert ["config.json", "tiny.yaml"] == sorted(os.listdir(tmp_path))


def test_a_full_disk_keeps_the_results_of_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All files are those of one run."""
    loaded, out = load_scenario(write_scenario(tmp_path)), tmp_path / "out"
    command.run_scenario(loaded, quiet(out), check=False)
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    monkeypatch.setattr(write, "_gzip", full_disk)
    with pytest.raises(OutputError):
        command.run_scenario(loaded, quiet(out), check=False)

    assert before == {path.name: path.read_bytes() for path in out.iterdir()}


def test_parquet_is_written_without_pandas(tmp_path: Path) -> None:
    """pandas takes 0.8 s to import, and pyarrow needs none of it."""
    pyarrow = pytest.importorskip("pyarrow.parquet")
    write_scenario(tmp_path)
    code = (
        "import sys; sys.argv = ['llmsim', 'run', 'tiny.yaml', '--quiet', '--out', 'out', "
        "'--set', 'simulation.max_duration_s=0.06']\n"
        "from llmsim.cli import main\n"
        "try: main()\n"
        "finally: print('pandas' in sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )

    assert "False\n" == done.stdout
    assert None in pyarrow.read_table(tmp_path / "out/requests.parquet")["finish_s"].to_pylist()
