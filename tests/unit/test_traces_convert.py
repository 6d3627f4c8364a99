"""A trace described, and written in the simulator's own format."""

from __future__ import annotations

from pathlib import Path

import pytest

from llmsim.errors import OutputError
from llmsim.files.traces import convert_trace, read_trace, trace_info

BURSTGPT = """Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type
5,ChatGPT,100,10,110,Conversation log
6,ChatGPT,100,0,100,Conversation log
7,GPT-4,200,20,220,API log
9,GPT-4,300,60,360,API log
"""


@pytest.fixture
def burstgpt(tmp_path: Path) -> Path:
    """Three requests at 0, 2 and 4 s, and one failure."""
    path = tmp_path / "b.csv"
    path.write_text(BURSTGPT)
    return path


def test_info_counts_rows(burstgpt: Path) -> None:
    """Requests and skipped rows add up to the rows read."""
    info = trace_info(burstgpt)

    assert (4, 3, 1) == (info.rows, info.requests, sum(info.skipped.values()))


def test_info_of_evenly_spaced_requests(burstgpt: Path) -> None:
    """Requests every 2 s: half a request per second, gaps that do not vary."""
    info = trace_info(burstgpt)

    assert (4.0, 0.5, 0.0) == (info.duration_s, info.mean_rate, info.gap_cv)


def test_info_of_lengths(burstgpt: Path) -> None:
    """Means and percentiles are numpy's; longer prompts go with longer answers."""
    info = trace_info(burstgpt)

    assert (200, 30) == (info.input_tokens.mean, info.output_tokens.mean)
    assert (100, 200, 300) == tuple(info.input_tokens.percentiles[p] for p in (0, 50, 100))
    assert 0.945 == pytest.approx(info.length_correlation, abs=1e-3)


def test_info_without_times(tmp_path: Path) -> None:
    """Lengths alone have no rate, and one length no correlation."""
    (tmp_path / "l.csv").write_text("input_tokens,output_tokens\n5,6\n5,7\n")
    info = trace_info(tmp_path / "l.csv")

    assert (None, None, None, None) == (info.duration_s, info.mean_rate, info.gap_cv, info.length_correlation)


def test_info_counts_classes(tmp_path: Path) -> None:
    """A class column is counted by name."""
    (tmp_path / "c.csv").write_text("input_tokens,output_tokens,class\n5,6,b\n5,7,a\n1,1,b\n")

    assert {"a": 1, "b": 2} == trace_info(tmp_path / "c.csv").classes


@pytest.mark.parametrize("name", ["own.csv", "own.jsonl", "own.csv.gz", "own.jsonl.gz"])
def test_converted_trace_offers_the_same(burstgpt: Path, tmp_path: Path, name: str) -> None:
    """Read back, a converted trace has the same requests, bit for bit."""
    before = convert_trace(burstgpt, tmp_path / name)
    after = read_trace(tmp_path / name)

    assert before.arrival_s is not None
    assert after.arrival_s is not None
    assert before.arrival_s.tolist() == after.arrival_s.tolist()
    assert before.input_tokens.tolist() == after.input_tokens.tolist()
    assert before.output_tokens.tolist() == after.output_tokens.tolist()


@pytest.mark.parametrize("name", ["own.csv", "own.jsonl"])
def test_classes_survive_conversion(tmp_path: Path, name: str) -> None:
    """A class name with a comma comes back whole."""
    (tmp_path / "c.csv").write_text('arrival_s,input_tokens,output_tokens,class\n0,5,6,"a, b"\n')
    convert_trace(tmp_path / "c.csv", tmp_path / name)

    assert ["a, b"] == read_trace(tmp_path / name).class_names


def test_converting_twice_gives_the_same_bytes(burstgpt: Path, tmp_path: Path) -> None:
    """Packed files carry no time stamp."""
    for name in ("one.csv.gz", "two.csv.gz"):
        convert_trace(burstgpt, tmp_path / name)

    assert (tmp_path / "one.csv.gz").read_bytes() == (tmp_path / "two.csv.gz").read_bytes()


@pytest.mark.parametrize("name", ["own.parquet", "own", "absent/own.csv"])
def test_target_that_cannot_be_written_is_refused(burstgpt: Path, tmp_path: Path, name: str) -> None:
    """An unknown ending or a missing directory is the user's error."""
    with pytest.raises(OutputError):
        convert_trace(burstgpt, tmp_path / name)
