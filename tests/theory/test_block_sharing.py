"""Copy on write: what parallel sampling and beam search hold, by their block tables."""

from __future__ import annotations

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from llmsim.engine.kv.forks import ForkedTables


@given(st.integers(1, 60), st.integers(1, 40), st.integers(1, 8), st.sampled_from([1, 4, 16]))
def test_parallel_sampling_shares_the_full_blocks_of_the_prompt(
    prompt: int, output: int, n: int, size: int
) -> None:
    """In closed form, and all but one sequence copy a partial last block, once."""
    tables = ForkedTables(size, prompt)
    tables.become([0] * n)
    for made in range(1, output + 1):
        tables.append()
        own = -(-(prompt + made) // size) - prompt // size
        assert tables.num_blocks == prompt // size + n * own
    assert tables.copies == (n - 1 if prompt % size else 0)


@settings(deadline=None)
@given(st.integers(1, 40), st.lists(st.lists(st.integers(0, 3), min_size=4, max_size=4), max_size=40))
def test_forks_conserve_blocks(prompt: int, steps: list[list[int]]) -> None:
    """Counts are what the tables say, no table lacks a block, and nobody writes where another one reads."""
    tables = ForkedTables(4, prompt)
    tables.become([0] * 4)
    for parents in steps:
        tables.become(parents)
        tables.append()
        assert tables.holders == Counter(block for table in tables.tables for block in table)
        assert {len(table) for table in tables.tables} == {-(-tables.tokens // 4)}
        assert all(tables.holders[table[-1]] == 1 for table in tables.tables)
