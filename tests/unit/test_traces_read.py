"""Traces are recognised by their header, and every row is accounted for."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from workload_runs import shared_trace

from llmsim.errors import TraceError
from llmsim.files.traces import Trace, read_trace

AZURE_2023 = """TIMESTAMP,ContextTokens,GeneratedTokens
2023-11-16 18:15:46.6805900,374,44
2023-11-16 18:15:50.9951690,396,109
"""
AZURE_2024 = """TIMESTAMP,ContextTokens,GeneratedTokens
2024-05-12 00:00:00+00:00,1452,3
2024-05-12 00:00:00.041683+00:00,584,3
"""
AZURE_2025 = """TIMESTAMP,NumImages,ContextTokens,GeneratedTokens
2024-10-15T12:00:00.269Z,0,770,491
2024-10-15T12:00:05.819Z,1,949,126
"""
BURSTGPT_1 = """Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type
5,ChatGPT,472,18,490,Conversation log
45,ChatGPT,1087,0,1087,Conversation log
118,GPT-4,417,276,693,API log
"""
BURSTGPT_3 = """Timestamp,Session ID,Elapsed time,Model,Request tokens,Response tokens,Total tokens,Log Type
19440110.0,1722ac82-0a46-4bf0-aa08-89794e7a2b3f,43,GPT-4,906,446,1352,Conversation log
19440161.5,d5983bf9-4b48-497b-892b-a58995247443,2,ChatGPT,36,29,65,Conversation log
"""
APEX = "StartTimeOffset_ns,ContextTokens,GeneratedTokens\n3772092432,304,822\n4572273200,497,1783\n"
VIDUR = (
    "num_prefill_tokens,num_decode_tokens,num_total_tokens,pd_ratio\n3772,54,3826,69.85\n2015,156,2171,12.9\n"
)
VIDUR_TIMED = "arrived_at,num_prefill_tokens,num_decode_tokens\n0.5,3772,54\n0.75,2015,156\n"
OWN = "arrival_s,input_tokens,output_tokens\n1.5,10,2\n2.0,20,4\n"
OWN_LENGTHS = "output_tokens,input_tokens\n2,10\n4,20\n"


def _jsonl(*rows: dict[str, Any]) -> str:
    return "".join(f"{json.dumps(row)}\n" for row in rows)


MOONCAKE = _jsonl(
    {"timestamp": 0, "input_length": 6758, "output_length": 500, "hash_ids": [0, 1]},
    {"timestamp": 3052, "input_length": 7322, "output_length": 490, "hash_ids": [0, 14]},
)
BAILIAN = _jsonl(
    {"chat_id": 159, "timestamp": 61.114, "input_length": 521, "output_length": 132},
    {"chat_id": 160, "timestamp": 62.114, "input_length": 7, "output_length": 8},
)
LENGTHS = _jsonl({"input_length": 5, "output_length": 6}, {"input_length": 7, "output_length": 8})
OWN_JSONL = _jsonl(
    {"arrival_s": 0.0, "input_tokens": 5, "output_tokens": 6},
    {"arrival_s": 0.5, "input_tokens": 7, "output_tokens": 8},
)


def _read(tmp_path: Path, text: str, name: str = "trace.txt", **options: Any) -> Trace:
    path = tmp_path / name
    path.write_text(text)
    return read_trace(path, source=name, **options)


def _faults(tmp_path: Path, text: str, **options: Any) -> list[str]:
    with pytest.raises(TraceError) as caught:
        _read(tmp_path, text, **options)
    return [str(problem) for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("text", "name", "gap_s", "lengths"),
    [
        (AZURE_2023, "azure", 4.314579, ([374, 396], [44, 109])),
        (AZURE_2024, "azure", 0.041683, ([1452, 584], [3, 3])),
        (AZURE_2025, "azure-2025", 5.55, ([770, 949], [491, 126])),
        (BURSTGPT_1, "burstgpt", 113.0, ([472, 417], [18, 276])),
        (BURSTGPT_3, "burstgpt", 51.5, ([906, 36], [446, 29])),
        (APEX, "apex", 0.800180768, ([304, 497], [822, 1783])),
        (VIDUR, "vidur-lengths", None, ([3772, 2015], [54, 156])),
        (VIDUR_TIMED, "vidur", 0.25, ([3772, 2015], [54, 156])),
        (MOONCAKE, "mooncake", 3.052, ([6758, 7322], [500, 490])),
        (BAILIAN, "bailian", 1.0, ([521, 7], [132, 8])),
        (LENGTHS, "lengths", None, ([5, 7], [6, 8])),
        (OWN, "llmsim", 0.5, ([10, 20], [2, 4])),
        (OWN_JSONL, "llmsim", 0.5, ([5, 7], [6, 8])),
        (OWN_LENGTHS, "llmsim-lengths", None, ([10, 20], [2, 4])),
    ],
)
def test_format_is_recognised(
    tmp_path: Path, text: str, name: str, gap_s: float | None, lengths: tuple[list[int], list[int]]
) -> None:
    """The header alone decides; times become seconds from the first row."""
    trace = _read(tmp_path, text)
    times = None if trace.arrival_s is None else trace.arrival_s.tolist()

    assert name == trace.format.name
    assert lengths == (trace.input_tokens.tolist(), trace.output_tokens.tolist())
    assert times == (None if gap_s is None else [0.0, pytest.approx(gap_s, rel=1e-12)])


@pytest.mark.parametrize("text", [AZURE_2023, MOONCAKE])
def test_packed_trace_reads_the_same(tmp_path: Path, text: str) -> None:
    """A .gz file holds the same trace."""
    packed = tmp_path / "trace.gz"
    packed.write_bytes(gzip.compress(text.encode()))
    plain = _read(tmp_path, text)

    assert plain.input_tokens.tolist() == read_trace(packed).input_tokens.tolist()


def test_windows_line_ends_and_blank_lines_are_no_rows(tmp_path: Path) -> None:
    """A byte-order mark, CRLF and blank lines change nothing."""
    text = "\ufeff" + OWN.replace("\n", "\r\n").replace("1.5", "\r\n1.5") + "\r\n\r\n"
    (tmp_path / "t.csv").write_bytes(text.encode())

    assert [10, 20] == read_trace(tmp_path / "t.csv").input_tokens.tolist()


def test_rows_that_cannot_be_offered_are_counted(tmp_path: Path) -> None:
    """Rows without output or input tokens are left out under their reason, and the total is kept."""
    trace = _read(tmp_path, OWN + "3,0,5\n4,5,0\n5,6,7\n6,0,0\n")

    assert {"no input tokens": 2, "no output tokens": 1} == trace.skipped
    assert 3 == len(trace)


def test_failed_burstgpt_rows_are_named(tmp_path: Path) -> None:
    """BurstGPT marks a failure by 0 response tokens."""
    assert {"failed when recorded (0 response tokens)": 1} == _read(tmp_path, BURSTGPT_1).skipped


def test_limit_counts_rows_that_can_be_offered(tmp_path: Path) -> None:
    """limit 2 of BurstGPT with one failure reads three rows; nothing behind them is counted."""
    trace = _read(tmp_path, BURSTGPT_1 + "200,GPT-4,1,0,1,API log\n", limit=2)

    assert (2, 1) == (len(trace), sum(trace.skipped.values()))


def test_timestamp_unit_overrides(tmp_path: Path) -> None:
    """`timestamp_unit: s` reads a timed trace in seconds."""
    times = _read(tmp_path, MOONCAKE, timestamp_unit="s").arrival_s

    assert times is not None
    assert [0.0, 3052.0] == times.tolist()


def test_timestamp_unit_is_refused_where_it_means_nothing(tmp_path: Path) -> None:
    """Azure's dates have no unit to choose."""
    (fault,) = _faults(tmp_path, AZURE_2023, timestamp_unit="s")

    assert "timestamp_unit is for JSONL" in fault


def test_missing_column_is_named(tmp_path: Path) -> None:
    """An unknown header tells the columns found, and what the nearest format lacks."""
    (fault,) = _faults(tmp_path, "TIMESTAMP,ContextTokens\n2023-11-16 18:15:46,5\n")

    assert fault.startswith("trace.txt:1: no trace format known has the columns TIMESTAMP, ContextTokens")
    assert fault.endswith("also needs GeneratedTokens")


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        ("3,ten,4", "input_tokens: should be a whole number of tokens (got 'ten')"),
        ("3,1.5,4", "input_tokens: should be a whole number of tokens (got '1.5')"),
        ("3,10,", "output_tokens: should be a whole number of tokens (got '')"),
        ("3,-1,4", "input_tokens: is negative (got '-1')"),
        ("3,10,99999999999", "output_tokens: is more than 1,000,000,000 (got '99999999999')"),
        ("soon,10,4", "arrival_s: should be a number (got 'soon')"),
        ("nan,10,4", "arrival_s: should be a number (got 'nan')"),
        ("-3,10,4", "arrival_s: is negative (got '-3')"),
        ("3,10", "2 cells where the header has 3"),
        ("3,10,4,5", "4 cells where the header has 3"),
        ("1.75,10,4", "arrival_s: earlier than line 3; sort the file by arrival_s"),
    ],
)
def test_bad_csv_row_has_its_line(tmp_path: Path, row: str, fault: str) -> None:
    """A bad row is told with its line, the cell, and what is wrong."""
    assert [f"trace.txt:4: {fault}"] == _faults(tmp_path, OWN + row + "\n")


@pytest.mark.parametrize(
    "date", ["yesterday", "", "2023-13-40 00:00:00", "2023-11-16 18:16:00+01:00", "2023-11-16 18:16:00-05:00"]
)
def test_bad_date_has_its_line(tmp_path: Path, date: str) -> None:
    """A date that is none, or not in UTC, is told with its line."""
    (fault,) = _faults(tmp_path, f"{AZURE_2023}{date},5,5\n")

    assert fault.startswith("trace.txt:4: TIMESTAMP: should be a date and time in UTC")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('{"timestamp": 5000, "input_length": 67', "not JSON"),
        ("[1, 2]", "not a JSON object"),
        ('{"timestamp": 5000, "input_length": 67}', "no 'output_length'"),
        (
            '{"timestamp": 5000, "input_length": 1.5, "output_length": 4}',
            "input_length: should be a whole number",
        ),
        (
            '{"timestamp": 5000, "input_length": "15", "output_length": 4}',
            "input_length: should be a whole number",
        ),
        ('{"timestamp": null, "input_length": 15, "output_length": 4}', "timestamp: should be a number"),
    ],
)
def test_bad_jsonl_line_has_its_line(tmp_path: Path, line: str, words: str) -> None:
    """A truncated or wrong line is told with its number."""
    (fault,) = _faults(tmp_path, f"{MOONCAKE}{line}\n")

    assert fault.startswith("trace.txt:3: ")
    assert words in fault


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    """Three bad rows, three problems, in the order of the file."""
    faults = _faults(tmp_path, OWN + "x,1,1\n3,y,1\n1,1,1\n")

    assert ["trace.txt:4", "trace.txt:5", "trace.txt:6"] == [fault.partition(": ")[0] for fault in faults]


def test_problems_are_capped(tmp_path: Path) -> None:
    """A file that is wrong throughout gets 20 problems and the word that there are more."""
    faults = _faults(tmp_path, OWN + "x,1,1\n" * 1000)

    assert 21 == len(faults)
    assert "more problems" in faults[-1]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "the file is empty"),
        ("\n\n", "the file is empty"),
        ("arrival_s,input_tokens,output_tokens\n", "has a header but no rows"),
        ("input_tokens,output_tokens\n5,0\n", "no row can be offered"),
        ('[{"conversations": []}]', "a JSON array"),
        ('{"timestamp": 5000, "inp', "not JSON"),
    ],
)
def test_file_without_requests_is_refused(tmp_path: Path, text: str, words: str) -> None:
    """An empty or foreign file says so."""
    assert words in _faults(tmp_path, text)[0]


def test_missing_file_is_refused(tmp_path: Path) -> None:
    """A trace that is not there is the user's error."""
    with pytest.raises(TraceError, match="no such trace file"):
        read_trace(tmp_path / "absent.csv")


@pytest.mark.parametrize("data", [b"arrival_s,input_tokens\n\xff\xfe", b"arrival_s,in\x00put\n1,2\n"])
def test_binary_file_is_refused(tmp_path: Path, data: bytes) -> None:
    """Bytes that are no text are the user's error, not a crash."""
    (tmp_path / "t.csv").write_bytes(data)

    with pytest.raises(TraceError):
        read_trace(tmp_path / "t.csv")


def test_broken_gzip_is_refused(tmp_path: Path) -> None:
    """A packed file cut off in the middle is the user's error."""
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress(OWN.encode() * 100)[:-20])

    with pytest.raises(TraceError, match="cannot be read"):
        read_trace(tmp_path / "t.csv.gz")


@pytest.mark.parametrize(
    ("name", "rows", "duration_s"),
    [
        ("azure_llm_2023_conv.csv", 19366, 3501.721937),
        ("azure_llm_2023_code.csv", 8819, 3435.948056),
        ("mooncake_conversation_trace.jsonl", 12031, 3536.999),
        ("apex_lmsys_05_lengths.csv", 1024, 2023.473242),
        ("burstgpt_1_header.csv", 3, 113.0),
        ("azure_llm_2024_conv_headtail.csv", 10, 604799.994297),
        ("arxiv_summarization_lengths.csv", 28257, 0.0),
    ],
)
def test_real_traces_have_their_published_size(name: str, rows: int, duration_s: float) -> None:
    """Every row of the published traces is read."""
    trace = read_trace(shared_trace(name))

    assert rows == len(trace)
    assert duration_s == pytest.approx(trace.duration_s, abs=1e-5)
