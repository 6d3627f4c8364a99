"""The library's front door."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from door_scenarios import write_scenario

import llmsim
from llmsim.cli.app import app
from llmsim.errors import UserError


def test_a_scenario_file_runs_to_a_result(tmp_path: Path) -> None:
    """Nothing is written; the figures are those of summary.json."""
    result = llmsim.run(write_scenario(tmp_path))

    assert 30 == result.summary["completed"] == len(result.record.requests)
    assert ["config.json", "tiny.yaml"] == sorted(path.name for path in tmp_path.iterdir())


def test_a_loaded_scenario_runs_to_the_same_result(tmp_path: Path) -> None:
    """``run`` takes what ``load`` returns."""
    path = write_scenario(tmp_path)

    assert llmsim.run(path).summary == llmsim.run(llmsim.load(path)).summary


def test_an_unknown_name_is_an_attribute_error() -> None:
    """As in any module."""
    with pytest.raises(AttributeError, match="nothing"):
        llmsim.nothing  # noqa: B018


def test_importing_the_package_imports_nothing_else() -> None:
    """``import llmsim`` is free; its names cost when they are used."""
    code = "import sys, llmsim; print({'numpy', 'pydantic', 'llmsim.api'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert "set()\n" == done.stdout


def test_changes_are_a_mapping_or_texts(tmp_path: Path) -> None:
    """Dotted keys with values, or as on the command line; the same scenario either way."""
    path = write_scenario(tmp_path)
    mapping = {"fleet.replicas": 2, "workload.arrival": {"kind": "poisson", "request_rate": 3.5}}
    texts = ["fleet.replicas=2", "workload.arrival={kind: poisson, request_rate: 3.5}"]

    assert llmsim.load(path, mapping, seed=4).scenario == llmsim.load(path, texts, seed=4).scenario
    assert llmsim.run(path, mapping).summary == llmsim.run(llmsim.load(path, texts)).summary


def test_a_change_that_cannot_be_is_named_by_its_key(tmp_path: Path) -> None:
    """All at once, with the nearest key."""
    with pytest.raises(UserError) as caught:
        llmsim.load(write_scenario(tmp_path), {"fleet.replica": 2, "engine.max_num_seqs": -1})

    wheres = {problem.where for problem in caught.value.problems}
    assert {"fleet.replica=2", "engine.max_num_seqs=-1"} == wheres
    assert "replicas" in str(caught.value)


def test_a_loaded_scenario_takes_changes_as_its_file_does(tmp_path: Path) -> None:
    """In one step or in two: the same scenario."""
    path = write_scenario(tmp_path)
    at_once = llmsim.load(path, {"fleet.replicas": 2, "engine.max_num_seqs": 8})
    in_two = llmsim.load(llmsim.load(path, {"fleet.replicas": 2}), {"engine.max_num_seqs": 8})

    assert at_once.scenario == in_two.scenario
    assert 2 == len(llmsim.run(llmsim.load(path), {"fleet.replicas": 2}).record.replicas)


def test_the_tables_are_those_of_the_files(tmp_path: Path) -> None:
    """``save`` writes what ``llmsim run`` writes, and the frames have the files' columns and cells."""
    pd = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    result = llmsim.run(write_scenario(tmp_path))
    folder = result.save(tmp_path / "saved", exports=["vllm-bench"])
    app(
        ["run", str(tmp_path / "tiny.yaml"), "--out", str(tmp_path / "run"), "--quiet"], standalone_mode=False
    )

    for name in ("requests", "steps"):
        written = pd.read_parquet(folder / f"{name}.parquet")
        pd.testing.assert_frame_equal(written, getattr(result, name), check_dtype=False)
    files = {path.name for path in folder.iterdir()}
    assert files == {path.name for path in (tmp_path / "run").iterdir()} | {"vllm-bench.json"}
    for name in files - {"run_info.json", "vllm-bench.json"}:
        assert (folder / name).read_bytes() == (tmp_path / "run" / name).read_bytes(), name
    keys = [list(json.loads((at / "run_info.json").read_text())) for at in (folder, tmp_path / "run")]
    assert keys[0] == keys[1]


def test_the_series_average_to_the_summary(tmp_path: Path) -> None:
    """Equal stretches of the run, so their mean is the time average."""
    result = llmsim.run(write_scenario(tmp_path))

    assert 200 == len(result.series)
    assert result.summary["mean_running"] == pytest.approx(result.series.running.mean())
    assert result.summary["kv_cache_usage"]["mean"] == pytest.approx(result.series.kv_usage.mean())


def test_a_result_is_short_in_text_and_a_table_in_a_notebook(tmp_path: Path) -> None:
    """Verdict first; a name that looks like markup stays text."""
    result = llmsim.run(write_scenario(tmp_path))
    text, page = repr(result), result._repr_html_()

    assert len(text) < 250
    assert "30 of 30 requests completed" in text
    assert "30 of 30 requests completed" in page
    assert page.count("<tr>") == 5


def test_a_result_of_nothing_has_its_tables(tmp_path: Path) -> None:
    """No request, no iteration: empty tables and a text, no error."""
    path = write_scenario(tmp_path)
    lengths = {"kind": "uniform", "min": 50, "max": 60}
    all_at_once = {"workload.arrival": {"kind": "burst"}, "workload.input_tokens": lengths}
    result = llmsim.run(path, {"engine": {"num_kv_tokens": 32}, **all_at_once})

    assert {"rejected"} == set(result.requests.status)
    assert (0, 0) == (len(result.steps), len(result.series))
    assert "rejected" not in repr(result)
    assert len(result.token_times_s(0)) == 0


def test_simulating_needs_no_pandas(tmp_path: Path) -> None:
    """It takes most of a second to import; only tables need it."""
    path = write_scenario(tmp_path)
    code = f"import sys, llmsim; llmsim.run({str(path)!r}); print('pandas' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert "False\n" == done.stdout
