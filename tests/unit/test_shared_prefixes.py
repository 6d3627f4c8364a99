"""Prompts that begin alike: who shares what, and how often."""

from __future__ import annotations

from collections import Counter
from math import sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from workload_runs import column, make_stream, make_workload, profile_keys, requests, trace_keys

from llmsim.errors import ScenarioError
from llmsim.workload.prefixes import hash_tokens


def test_a_prefix_comes_before_the_prompts_own_tokens() -> None:
    """Prompts are longer by it; outputs and arrivals stay as they are."""
    lengths = {"input_tokens": {"kind": "uniform", "min": 1, "max": 99}}
    plain, shared = requests(**lengths), requests(shared_prefix={"tokens": 1000}, **lengths)

    assert (column(plain, "input_tokens") + 1000 == column(shared, "input_tokens")).all()
    assert (column(shared, "prefill_target") == column(shared, "input_tokens")).all()
    for name in ("arrival_s", "output_tokens"):
        assert column(plain, name).tolist() == column(shared, name).tolist()


@given(tokens=st.integers(1, 20_000))
def test_hashes_cover_the_whole_blocks_of_a_prefix(tokens: int) -> None:
    """All its blocks of 16 tokens and no more, by hashes of at most 512 tokens."""
    unit = hash_tokens(tokens)

    assert tokens // 16 * 16 == tokens // unit * unit
    assert unit % 16 == 0
    assert unit <= 512


def test_requests_with_one_prefix_have_its_hashes() -> None:
    """Four prefixes of 1,024 tokens are four pairs of hashes, all different."""
    found = requests(shared_prefix={"tokens": 1024, "num_prefixes": 4}, num_requests=200)
    chains = {req.hash_ids for req in found}

    assert 4 == len(chains)
    assert 8 == len({one for chain in chains for one in chain})
    assert {512} == {req.hash_tokens for req in found}
    assert {"hash_ids"} == make_stream(shared_prefix={"tokens": 9}).labels


def test_popularity_follows_zipf() -> None:
    """The k-th prefix has a share of k^-s / Σ j^-s: within four standard errors."""
    count, s = 40_000, 1.2
    found = requests(shared_prefix={"tokens": 16, "num_prefixes": 5, "zipf": s}, num_requests=count)
    shares = np.array(sorted(Counter(req.hash_ids for req in found).values(), reverse=True)) / count
    expected = np.arange(1, 6) ** -s / (np.arange(1, 6) ** -s).sum()

    assert (abs(shares - expected) < 4 * np.sqrt(expected * (1 - expected) / count)).all()
    even = Counter(
        req.hash_ids for req in requests(shared_prefix={"tokens": 16, "num_prefixes": 5}, num_requests=count)
    )
    assert max(abs(seen / count - 0.2) for seen in even.values()) < 4 * sqrt(0.16 / count)


def test_a_profile_takes_a_prefix_and_a_trace_with_hashes_refuses_it(tmp_path) -> None:
    """What the trace says itself is not drawn."""
    keys = profile_keys("azure-2023-code", num_requests=20)
    trace = tmp_path / "t.jsonl"
    trace.write_text('{"timestamp": 0, "input_length": 600, "output_length": 2, "hash_ids": [0, 1]}\n')

    longer = column(requests(**keys, shared_prefix={"tokens": 64}), "input_tokens")
    assert (column(requests(**keys), "input_tokens") + 64 == longer).all()
    with pytest.raises(ScenarioError, match=r"workload.shared_prefix: the trace says that itself"):
        requests(**trace_keys(trace), shared_prefix={"tokens": 64})


def test_the_report_names_the_prefixes() -> None:
    """In the line about the workload."""
    words = make_stream(shared_prefix={"tokens": 1000, "num_prefixes": 8}).describe()

    assert "one of 8 prefixes of 1,000 tokens, then 512 tokens in, 128 out" in words
    assert make_workload(shared_prefix={"tokens": 5}).prompt_tokens is None
