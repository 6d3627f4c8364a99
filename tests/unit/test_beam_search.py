"""`workload.beam_width`: requests that run as several sequences."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from door_scenarios import write_scenario
from workload_runs import requests

import llmsim
from llmsim.errors import UserError

ALONE = {"workload.arrival": {"kind": "constant", "request_rate": 0.5}}
"""Each request is done before the next one comes."""
SMALL = {"engine.num_kv_tokens": 4096, "engine.max_model_len": 256}


def run(path: Path, **changes: Any) -> llmsim.Result:
    """One replica with ``changes``; a double underscore stands for a dot."""
    return llmsim.run(path, ALONE | SMALL | {key.replace("__", "."): value for key, value in changes.items()})


def test_a_search_is_one_request_of_as_many_sequences() -> None:
    """It has one id and one length, whoever brings it."""
    assert [req.width for req in requests(num_requests=3, beam_width=4)] == [4] * 3
    assert [req.width for req in requests(num_requests=3)] == [1] * 3


def test_requests_of_sessions_and_clients_search_too(tmp_path: Path) -> None:
    """Each iteration computes a token of every beam, whoever asks."""
    path = write_scenario(tmp_path)
    sessions = {"turns": 3, "think_time_s": 1}
    client = {"name": "one", "arrival": {"kind": "constant", "request_rate": 0.5}, "input_tokens": 50}
    for changes in (
        {"workload__sessions": sessions, "workload__num_requests": 9},
        {"workload__clients": [client], "workload__input_tokens": None, "workload__arrival": None},
    ):
        steps = run(path, workload__beam_width=4, **changes).record.steps
        decoding = steps.column("prefill_tokens") == 0
        assert set(steps.column("sequences")[decoding]) == {4.0}


def test_only_the_answer_is_output(tmp_path: Path) -> None:
    """Requests and tokens out are those of greedy decoding; what the other beams compute is beyond them."""
    path = write_scenario(tmp_path)
    one, four = run(path).record, run(path, workload__beam_width=4).record
    width = four.steps.column("sequences")[four.steps.column("decode_tokens") > 0]

    assert four.steps.column("decode_tokens").sum() == one.steps.column("decode_tokens").sum() == 30 * 19
    assert four.steps.column("prefill_tokens").sum() == one.steps.column("prefill_tokens").sum() == 30 * 100
    assert set(width) == {4.0}
    assert set(four.steps.column("padded_tokens")) == {0.0, 3.0}
    assert four.steps.column("decode_kv_tokens").sum() == 4 * one.steps.column("decode_kv_tokens").sum()


def test_beams_take_seats(tmp_path: Path) -> None:
    """Sixteen seats are four requests of four beams; two of them are left empty by three of five."""
    path = write_scenario(tmp_path)
    burst = {"workload__arrival": {"kind": "burst"}, "engine__max_num_seqs": 17}
    for width, most in ((4, 16), (5, 15)):
        steps = run(path, workload__beam_width=width, **burst).record.steps
        assert steps.column("sequences")[steps.column("prefill_tokens") == 0].max() == most


@pytest.mark.parametrize(("kind", "most"), [("paged", 6 + 4 * 2), ("contiguous_max", 4), ("buddy", 4 * 256)])
def test_where_nothing_is_shared_every_beam_holds_all(tmp_path: Path, kind: str, most: int) -> None:
    """Six full blocks of a prompt of 100 tokens once and two more blocks each; four slots; four pieces of 256."""
    record = run(write_scenario(tmp_path), workload__beam_width=4, engine__kv_cache=kind).record

    assert record.steps.column("kv_blocks").max() == most
    assert record.replicas[0].blocks_left == 0


def test_beams_that_die_give_blocks_back(tmp_path: Path) -> None:
    """A long search holds less than beams that never die would."""
    changes = {"engine__max_model_len": 1024, "workload__output_tokens": 600, "workload__input_tokens": 16}
    blocks = run(write_scenario(tmp_path), workload__beam_width=4, **changes).record.steps.column("kv_blocks")

    assert blocks.max() < (1 + 4 * 38) / 2


def test_more_beams_than_seats_are_refused(tmp_path: Path) -> None:
    """At the door, with what to do."""
    with pytest.raises(UserError, match=r"workload.beam_width: 65 beams never have a seat each"):
        run(write_scenario(tmp_path), workload__beam_width=65)


def test_beams_are_no_completions(tmp_path: Path) -> None:
    """``n`` asks for several answers, a search for one."""
    with pytest.raises(UserError, match="the beams of a search are one answer"):
        run(write_scenario(tmp_path), workload__beam_width=2, workload__n=2)
