"""The results directory."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path
from typing import IO, Any

import numpy as np
import pandas as pd
import pytest
import report_runs as runs

from llmsim.errors import OutputError
from llmsim.report import whole_files
from llmsim.report.whole_files import as_json
from llmsim.report.write import prepare_directory, write_results

NAMES = {
    "summary.json",
    "scenario.yaml",
    "report.html",
    "timeline.json.gz",
    "run_info.json",
}
REQUEST_COLUMNS = [
    "id",
    "class",
    "arrival_s",
    "first_token_s",
    "finish_s",
    "input_tokens",
    "cached_tokens",
    "output_tokens",
    "replica",
    "preemptions",
    "status",
    "ttft_ms",
    "tpot_ms",
    "e2el_ms",
    "slo_ok",
]
STEP_COLUMNS = [
    "replica",
    "start_s",
    "iterations",
    "duration_s",
    "sequences",
    "prefill_tokens",
    "decode_tokens",
    "kv_blocks",
    "waiting",
]


def write_run(out: Path, n: int = 50, **run_info: Any) -> list[Path]:
    requests = runs.make_requests(n)
    for req in requests[::10]:
        runs.refuse(req, "too long")
    loaded = runs.make_loaded({"ttft_ms": 500.0})
    record = runs.make_record(requests)
    prepare_directory(out, runs.SHA)
    return write_results(out, record, runs.summary_of(record, loaded), loaded, run_info)


@pytest.fixture(params=["parquet", "csv.gz"])
def suffix(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Results with and without pyarrow."""
    if request.param == "parquet":
        pytest.importorskip("pyarrow")
    else:
        monkeypatch.setattr(whole_files, "find_spec", lambda name: None)
    return str(request.param)


def read(path: Path) -> pd.DataFrame:
    return pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path)


def test_every_file_is_there_and_nothing_else(tmp_path: Path, suffix: str) -> None:
    """The files of interface.md, the paths returned, no leftovers."""
    paths = write_run(tmp_path)

    assert NAMES | {f"requests.{suffix}", f"steps.{suffix}"} == {path.name for path in tmp_path.iterdir()}
    assert sorted(tmp_path.iterdir()) == sorted(paths)


def test_columns_are_those_of_the_interface(tmp_path: Path, suffix: str) -> None:
    """Names and order of both tables are fixed."""
    write_run(tmp_path)

    assert REQUEST_COLUMNS == list(read(tmp_path / f"requests.{suffix}").columns)
    assert STEP_COLUMNS == list(read(tmp_path / f"steps.{suffix}").columns)


def test_rows_agree_with_the_summary(tmp_path: Path, suffix: str) -> None:
    """A row per request offered; what did not happen is empty; percentiles recomputed are the summary's."""
    write_run(tmp_path)
    summary = json.loads((tmp_path / "summary.json").read_text())
    table = read(tmp_path / f"requests.{suffix}")
    refused = table[table["status"] == "rejected"]

    assert summary["offered"] == len(table)
    assert summary["rejected"] == len(refused) > 0
    assert refused[["first_token_s", "finish_s", "ttft_ms", "e2el_ms"]].isna().all(axis=None)
    assert summary["p99_ttft_ms"] == pytest.approx(np.nanpercentile(table["ttft_ms"], 99), rel=1e-12)
    assert summary["slo_attainment"] == pytest.approx(table["slo_ok"].mean())


def test_same_run_same_bytes(tmp_path: Path, suffix: str) -> None:
    """Only run_info.json may differ between two runs of one scenario."""
    first = {path.name: path.read_bytes() for path in write_run(tmp_path / "a", wall_s=1.0)}
    second = {path.name: path.read_bytes() for path in write_run(tmp_path / "b", wall_s=2.0)}

    assert ["run_info.json"] == [name for name in first if first[name] != second[name]]


def test_gzip_header_has_no_time_and_no_name(tmp_path: Path) -> None:
    """RFC 1952: bytes 4 to 7 are the time, flag bit 3 a file name."""
    write_run(tmp_path)
    header = (tmp_path / "timeline.json.gz").read_bytes()[:10]

    assert b"\0\0\0\0" == header[4:8]
    assert 0 == header[3] & 8


def test_summary_reads_back_exactly() -> None:
    """Floats keep their last bit, keys their order, and nan is refused rather than written as no JSON."""
    summary = {"b": 0.1 + 0.2, "a": None, "c": {"name": "ü"}}

    assert summary == json.loads(as_json(summary))
    assert ["b", "a", "c"] == list(json.loads(as_json(summary)))
    with pytest.raises(ValueError, match="JSON"):
        as_json({"a": float("nan")})


def test_directory_is_made_with_its_parents(tmp_path: Path) -> None:
    """A new --out needs no mkdir."""
    prepare_directory(tmp_path / "a" / "b", runs.SHA)

    assert [] == list((tmp_path / "a" / "b").iterdir())


def test_results_of_the_same_scenario_are_overwritten(tmp_path: Path) -> None:
    """Running again is no error, and leftovers of a run that was cut off do not matter."""
    write_run(tmp_path)
    (tmp_path / "report.html.partial").write_text("half")
    write_run(tmp_path)

    assert not (tmp_path / "report.html.partial").exists()


def test_another_scenario_is_refused(tmp_path: Path) -> None:
    """Results are never overwritten by those of something else, and the remedy is named."""
    write_run(tmp_path)

    with pytest.raises(OutputError, match="another scenario") as caught:
        prepare_directory(tmp_path, "f" * 64)
    assert "--out" in str(caught.value.hint)


def test_foreign_files_are_refused(tmp_path: Path) -> None:
    """A directory that is not ours stays as it is."""
    (tmp_path / "thesis.tex").write_text("years of work")

    with pytest.raises(OutputError, match=r"thesis\.tex"):
        prepare_directory(tmp_path, runs.SHA)


@pytest.mark.parametrize("content", ["", "[]", "not json", '{"other": 1}'])
def test_a_summary_that_is_not_ours_is_refused(tmp_path: Path, content: str) -> None:
    """Whatever summary.json holds, it is an error message and not a traceback."""
    (tmp_path / "summary.json").write_text(content)

    with pytest.raises(OutputError):
        prepare_directory(tmp_path, runs.SHA)


def test_a_file_in_the_way_is_refused(tmp_path: Path) -> None:
    """--out names a file."""
    (tmp_path / "out").write_text("")

    with pytest.raises(OutputError, match="cannot be written"):
        prepare_directory(tmp_path / "out", runs.SHA)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_directory_is_refused(tmp_path: Path) -> None:
    """No permission is found out before the run, not after."""
    tmp_path.chmod(0o500)

    with pytest.raises(OutputError, match="cannot be written"):
        prepare_directory(tmp_path, runs.SHA)


def test_a_full_disk_leaves_no_half_file(
    tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A write that fails ends as the user's error; the older file survives and no partial one stays."""
    write_run(tmp_path)
    before = (tmp_path / f"steps.{suffix}").read_bytes()

    def full(columns: object, file: IO[bytes]) -> None:
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(whole_files, "_parquet", full)
    monkeypatch.setattr(whole_files, "_csv", full)
    with pytest.raises(OutputError, match="No space left on device"):
        write_run(tmp_path)
    assert not list(tmp_path.glob("*.partial"))
    assert before == (tmp_path / f"steps.{suffix}").read_bytes()


def test_timeline_file_is_json(tmp_path: Path) -> None:
    """What Perfetto opens."""
    write_run(tmp_path)

    assert json.loads(gzip.decompress((tmp_path / "timeline.json.gz").read_bytes()))["traceEvents"]
