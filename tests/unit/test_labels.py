"""Sessions, prompt hashes and models of requests: from a trace, or drawn."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest
from workload_runs import make_stream, requests, shared_trace, trace_keys

from llmsim.errors import ScenarioError, TraceError
from llmsim.files.traces import read_trace
from llmsim.files.traces.convert import convert_trace
from llmsim.workload import plain as plain_module


def jsonl(path: Any, rows: list[dict[str, Any]]) -> Any:
    """``rows`` as a file."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_mooncake_prompts_keep_their_hashes() -> None:
    """Every request of the trace has one id per block of 512 tokens, and all begin with the same block."""
    found = requests(**trace_keys(shared_trace("mooncake_conversation_trace.jsonl"), limit=500))

    assert all(len(req.hash_ids) == -(-req.input_tokens // 512) for req in found)
    assert {0} == {req.hash_ids[0] for req in found}
    assert {""} == {req.session_id for req in found}


def test_turns_of_a_chat_are_one_session(tmp_path: Any) -> None:
    """Bailian: each turn names the one before; -1, or nothing, begins a session."""
    turns = [(1, -1), (2, -1), (3, 1), (4, 3), (5, 2), (6, 99)]
    rows = [
        {"chat_id": chat, "parent_chat_id": parent, "timestamp": chat, "input_length": 5, "output_length": 1}
        for chat, parent in turns
    ]
    trace = read_trace(jsonl(tmp_path / "bailian.jsonl", rows))

    assert ["1", "2", "1", "1", "2", "6"] == trace.labels["session_id"]


def test_own_columns_survive_a_conversion(tmp_path: Any) -> None:
    """Session, model and hashes are read, written and read again; a CSV has no lists."""
    rows = [
        {"arrival_s": i, "input_tokens": 9, "output_tokens": 1, "session_id": f"s{i}", "model": "m", "hash_ids": [i, 7]}
        for i in range(3)
    ]  # fmt: skip
    source = jsonl(tmp_path / "own.jsonl", rows)
    convert_trace(source, tmp_path / "again.jsonl")
    convert_trace(source, tmp_path / "again.csv")
    labels = read_trace(source).labels

    assert {
        "session_id": ["s0", "s1", "s2"],
        "model": ["m"] * 3,
        "hash_ids": [(0, 7), (1, 7), (2, 7)],
    } == labels
    assert labels == read_trace(tmp_path / "again.jsonl").labels
    assert {"session_id", "model"} == set(read_trace(tmp_path / "again.csv").labels)


@pytest.mark.parametrize(
    ("column", "cell", "message"),
    [
        ("hash_ids", "0 1 2", "hash_ids: should be a list of whole numbers (got '0 1 2')"),
        ("hash_ids", [0, 1.5], "hash_ids: should be a list of whole numbers"),
        ("session_id", {"a": 1}, "session_id: should be a name"),
    ],
)
def test_a_bad_label_is_named_with_its_line(tmp_path: Any, column: str, cell: Any, message: str) -> None:
    """As any other cell."""
    good: Any = [0] if column == "hash_ids" else "a"
    rows = [{"timestamp": 0, "input_length": 5, "output_length": 1, column: value} for value in (good, cell)]
    with pytest.raises(TraceError) as caught:
        read_trace(jsonl(tmp_path / "bad.jsonl", rows), source="bad.jsonl")

    assert str(caught.value.problems[0]).startswith(f"bad.jsonl:2: {message}")


@pytest.mark.parametrize("block", [1, 7, 1000])
def test_drawn_labels_do_not_depend_on_the_block_size(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor do they move arrivals or lengths."""
    plain = requests()
    expected = [(req.session_id, req.model) for req in requests(num_sessions=9, models={"a": 3, "b": 1})]
    monkeypatch.setattr(plain_module, "BLOCK", block)
    found = requests(num_sessions=9, models={"a": 3, "b": 1})

    assert expected == [(req.session_id, req.model) for req in found]
    assert [req.arrival_s for req in plain] == [req.arrival_s for req in found]


def test_shares_of_sessions_and_models() -> None:
    """Sessions are equally likely, models by their shares (5 sigma)."""
    found = requests(num_requests=4000, num_sessions=4, models={"a": 3, "b": 1})
    sessions, models = Counter(req.session_id for req in found), Counter(req.model for req in found)

    assert all(abs(count - 1000) < 5 * 750**0.5 for count in sessions.values())
    assert 4 == len(sessions)
    assert abs(models["a"] - 3000) < 5 * 750**0.5


def test_a_closed_loop_has_labels_too() -> None:
    """Its requests are drawn one by one."""
    stream = make_stream(arrival={"kind": "closed", "max_concurrency": 2}, num_sessions=3)
    drawn = [stream.draw(float(i)) for i in range(5)]

    assert {"0", "1", "2"} >= {req.session_id for req in drawn if req}
    assert {"session_id"} == stream.labels
    assert {""} == stream.models


def test_what_the_trace_says_is_not_drawn(tmp_path: Any) -> None:
    """Sessions of its own and `num_sessions` are one too many."""
    rows = [{"timestamp": 0, "input_length": 5, "output_length": 1, "session_id": "a"}]
    path = jsonl(tmp_path / "sessions.jsonl", rows)
    with pytest.raises(ScenarioError, match=r"workload\.num_sessions: the trace says that itself"):
        requests(**trace_keys(path, num_sessions=3))
