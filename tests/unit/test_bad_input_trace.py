"""Traces that cannot be read: one message each, with the line."""

from __future__ import annotations

from pathlib import Path

import pytest

from llmsim.errors import OutputError, TraceError
from llmsim.files.traces import convert_trace, read_trace

HEADER = "arrival_s,input_tokens,output_tokens\n"
ROW = '{"timestamp": 0, "input_length": 10, "output_length": 5}\n'


@pytest.mark.parametrize(
    ("name", "expected", "content"),
    [
        ("t.csv", "t.csv:1: column 'input_tokens' is there twice", HEADER.strip() + ",input_tokens\n0,1,1,2\n"),
        ("t.csv", "; separate cells by commas", HEADER.replace(",", "\t") + "0\t1\t1\n"),
        ("t.csv", "; separate cells by commas", HEADER.replace(",", ";") + "0;1;1\n"),
        ("t.csv", "t.csv:2: input_tokens: should be a whole number", HEADER + f"0,{'1' * 5000},5\n"),
        ("t.jsonl", "t.jsonl:2: not JSON", ROW + "[" * 100_000),
        ("t.jsonl", "t.jsonl:2: not JSON", ROW + '{"a":' * 100_000),
        ("t.jsonl", "t.jsonl:2: not JSON", ROW + '{"timestamp": 1, "inp'),
        ("t.jsonl", "t.jsonl:2: timestamp: should be a number", ROW + ROW.replace("0", "9" * 400, 1)),
    ],
)  # fmt: skip
def test_a_broken_trace_is_one_short_problem(tmp_path: Path, name: str, expected: str, content: str) -> None:
    """Where, what, and a value no longer than a line."""
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(TraceError) as caught:
        read_trace(path, source=name)
    [problem] = caught.value.problems

    assert expected in str(problem)
    assert len(str(problem)) < 300


def test_a_trace_that_cannot_be_written_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk is full half-way."""
    source, target = tmp_path / "t.csv", tmp_path / "o.csv"
    source.write_text(HEADER + "0,1,1\n")
    target.write_text("old")

    def half(path: Path, data: bytes) -> int:
        with path.open("wb") as file:
            file.write(data[:5])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", half)
    with pytest.raises(OutputError, match="No space left on device"):
        convert_trace(source, target)

    assert "old" == target.read_text()
    assert ["o.csv", "t.csv"] == sorted(path.name for path in tmp_path.iterdir())


def test_no_directory_for_a_trace_is_the_users_to_mend(tmp_path: Path) -> None:
    """Neither where there is none, nor where a file is in its place."""
    source = tmp_path / "t.csv"
    source.write_text(HEADER + "0,1,1\n")
    for target in (tmp_path / "absent/o.csv", source / "o.csv"):
        with pytest.raises(OutputError, match="cannot be written"):
            convert_trace(source, target)
