"""A family of beams in closed form holds what its block tables hold."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmsim.engine.kv.block_growth import BlockGrowth
from llmsim.engine.kv.family import Family
from llmsim.engine.kv.forks import ForkedTables
from llmsim.engine.kv.paged import Paged
from llmsim.engine.request import Request


@settings(deadline=None)
@given(
    st.integers(1, 40),
    st.integers(2, 6),
    st.sampled_from([1, 4, 16]),
    st.lists(st.lists(st.integers(0, 5), min_size=6, max_size=6), max_size=40),
)
def test_what_neighbours_have_in_common_is_all_that_is_shared(
    prompt: int, width: int, size: int, steps: list[list[int]]
) -> None:
    """width·⌈c/S⌉ - Σ⌊common/S⌋ is what copy-on-write tables count, whoever goes on from whom.

    The family stands in the order of its tree, which keeps sorted parents in order.
    """
    tables, family = ForkedTables(size, prompt), Family(width, prompt, size)
    tables.become([0] * width)
    family.common = [prompt] * (width - 1)
    tokens = prompt
    for step in [list(range(6)), *steps]:
        parents = sorted(place % width for place in step[:width])
        tables.become(parents)
        family.become(parents, tokens)
        tables.append()
        tokens += 1
        shared = sum(common // size for common in family.common)
        assert tables.num_blocks == width * -(-tokens // size) - shared
    assert tables.tokens == tokens


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 100), st.integers(1, 8), st.sampled_from([1, 16]), st.integers(0, 10**6))
def test_blocks_only_come_back(prompt: int, width: int, size: int, seed: int) -> None:
    """Forks take nothing: a family never holds more than beams that never die, nor less than one of them and tails."""
    family = Family(width, prompt, size, seed) if width > 1 else None
    for _ in range(30 if family else 0):
        assert family is not None
        at = family.next_tokens
        before = family.blocks(at)
        given_back = family.give_back()
        assert given_back > 0
        assert family.blocks(at) == before - given_back >= -(-at // size) + (width - 1) * (at % size > 0)
        assert family.blocks(at) <= width * -(-at // size) - (width - 1) * (prompt // size)


@pytest.mark.parametrize("prompt", [96, 100, 111])
def test_a_batch_is_charged_what_its_families_hold(prompt: int) -> None:
    """Needs and returns of every iteration add up to the blocks of the family."""
    kv = Paged(16_000, 16, 2048)
    growth = kv.new_growth()
    assert isinstance(growth, BlockGrowth)
    req = Request(7, 0.0, prompt, 500)
    req.width, req.kv_tokens, req.blocks = 5, prompt, -(-prompt // 16)
    growth.join(req, 0)
    held, curve = req.blocks, []
    for iteration in range(400):
        held += growth.need(iteration)
        curve.append(held)
        assert held == kv.families[req].blocks(prompt + iteration + 1)
        if growth.next_return == iteration + 1:
            held -= growth.give_back(iteration + 1)
    growth.leave(req, prompt + 400)

    assert req.blocks == held
    assert any(one > other for one, other in pairwise(curve)), "nobody ever died"


def test_two_beams_go_on_from_the_same_one_as_often_as_they_say() -> None:
    """In m - m²/2 of the iterations: one goes on from the other's place, or both do from the same."""
    moves = 0.1
    first = [Family(2, 1, 1, seed, moves).next_tokens - 1 for seed in range(1000)]

    assert sum(first) / len(first) == pytest.approx(1 / (moves - moves * moves / 2), rel=0.1)
