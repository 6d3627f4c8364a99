"""`workload.n`: several completions of a prompt, which share its blocks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from door_scenarios import write_scenario
from workload_runs import make_stream, requests

import llmsim

ALONE = {"workload.arrival": {"kind": "constant", "request_rate": 0.5}}
"""Each prompt is done before the next one comes."""


def summary_of(path: Path, **changes: Any) -> dict[str, Any]:
    """One replica's run with ``changes``; a double underscore stands for a dot."""
    named = {key.replace("__", "."): value for key, value in changes.items()}
    return dict(llmsim.run(path, ALONE | named).summary)


def test_a_request_is_n_sequences() -> None:
    """Of the same prompt and length at the same time, known to each other by a hash; ids stay in order."""
    alone, together = requests(num_requests=5), requests(num_requests=5, n=3)

    assert [req.id for req in together] == list(range(15))
    assert [req.arrival_s for req in together] == [req.arrival_s for req in alone for _ in range(3)]
    assert [req.input_tokens for req in together] == [req.input_tokens for req in alone for _ in range(3)]
    assert len({req.hash_ids for req in together}) == 5
    assert make_stream(num_requests=5, n=3).total == 15


@pytest.mark.parametrize("prompt", [100, 96, 8])
def test_the_prompt_is_computed_once_but_for_a_block(tmp_path: Path, prompt: int) -> None:
    """All but the first find the full blocks before the last token, and nobody else's prompt."""
    path = write_scenario(tmp_path)
    found = summary_of(path, workload__n=4, engine__enable_prefix_caching=True, workload__input_tokens=prompt)

    assert found["completed"] == 4 * 30
    assert found["prefix_cache_hit_rate"] == pytest.approx(3 * ((prompt - 1) // 16 * 16) / (4 * prompt))


def test_sharing_saves_blocks(tmp_path: Path) -> None:
    """Four sequences hold the six full blocks of a prompt of 100 tokens once."""
    path = write_scenario(tmp_path)
    apart = summary_of(path, workload__n=4, engine__num_kv_tokens=4096, engine__max_model_len=256)
    shared = summary_of(
        path, workload__n=4, engine__num_kv_tokens=4096, engine__max_model_len=256,
        engine__enable_prefix_caching=True,
    )  # fmt: skip

    assert apart["kv_cache_usage"]["max"] * 256 == pytest.approx(4 * 8)
    assert shared["kv_cache_usage"]["max"] * 256 == pytest.approx(6 + 4 * 2)


@pytest.mark.parametrize("door", [{}, {"admission__max_queued_requests": 1000}])
def test_completions_of_a_prompt_share_a_replica(tmp_path: Path, door: dict[str, Any]) -> None:
    """The router is asked once for all of them, so prompts take turns and not completions."""
    changes = {"fleet__0__replicas": 2, "workload__n": 3, "router": "round_robin", **door}
    named = {key.replace("__", "."): value for key, value in changes.items()}
    replicas = [req.replica for req in llmsim.run(write_scenario(tmp_path), ALONE | named).record.requests]

    assert replicas == [place % 2 for place in range(30) for _ in range(3)]
