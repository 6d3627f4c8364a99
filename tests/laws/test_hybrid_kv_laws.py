"""Layers that keep a window or a state: what a sequence holds, and how many fit."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmsim.contracts.trials import outcome, poisson_requests
from llmsim.cost.footprint import block_bytes
from llmsim.cost.kv_layout import KVGroups, KVLayout, group_block_bytes, kv_layout
from llmsim.cost.memory import kv_capacity
from llmsim.cost.plan import Formats, ParallelPlan
from llmsim.engine.kv.hybrid import GroupGrowth, Hybrid
from llmsim.engine.kv.paged import Paged
from llmsim.engine.request import Request
from llmsim.engine.scheduler import Limits
from llmsim.engine.schedulers.chunked_prefill import ChunkedPrefill
from llmsim.files import catalog
from llmsim.measure.records import StepLog
from llmsim.sim.play import make_engine, play

HYBRIDS = ("gemma-3-27b", "gemma-2-27b", "gpt-oss-120b", "mimo-v2-flash", "qwen3.5-27b", "jamba-v0.1")


def layout_of(name: str, most_new_tokens: int = 2048, block_size: int = 16) -> KVLayout:
    """The groups of a model of the catalogue on one device, in bf16."""
    found = kv_layout(catalog.model(name).layers, ParallelPlan(), Formats(), block_size, most_new_tokens)
    assert found is not None
    return found


def test_groups_are_those_of_vllm():
    """Gemma-3-27B (10 full, 52 windowed layers): groups of 10, the last of them padded; gpt-oss: two halves."""
    assert layout_of("gemma-3-27b").groups == (KVGroups(1, 16), KVGroups(6, 16, 1024))
    assert layout_of("gpt-oss-120b").groups == (KVGroups(1, 16), KVGroups(1, 16, 128))
    assert layout_of("mimo-v2-flash").groups == (KVGroups(1, 32), KVGroups(5, 16, 128))  # half the KV heads


@pytest.mark.parametrize("name", ["llama-3.1-8b", "deepseek-r1", "mamba-2.8b", "llama-4-scout"])
def test_other_models_have_no_groups(name):
    """Where every layer keeps every token, or no layer keeps any, the pool stays as it is."""
    assert kv_layout(catalog.model(name).layers, ParallelPlan(), Formats(), 16, 2048) is None


def test_published_concurrency_of_gemma_3():
    """vLLM 0.11 (ovg-project/kvcached#215): Gemma-3-4B, 317,136 tokens, 102.78 sequences of 3,072."""
    layout = layout_of("gemma-3-4b")
    num_blocks = 317_136 // 16 * layout.num_groups

    assert round(layout.concurrency(num_blocks, 3072), 2) == 102.78


def test_published_gain_of_gpt_oss():
    """vLLM of 2026, gpt-oss-120b, blocks of 64: 196.83 sequences of 131,072, and 104.71 with the manager disabled.

    (Startup logs of one server with and without it, 8,192 new tokens an iteration; LMCache comparison, 2026-09-02.)
    """
    layout = layout_of("gpt-oss-120b", 8192, 64)
    uniform = layout.num_groups * 131_072 // 64

    assert layout.concurrency(uniform, 131_072) == pytest.approx(196.83 / 104.71, rel=1e-4)


def test_published_blocks_of_a_state_hybrid():
    """vLLM 0.19, Qwen3.5-27B (vllm#40691): 290,864 tokens in 4 groups, 33.04 sequences of 32,768.

    A block has 784 tokens there (371 of them are 290,864): a page of attention has to hold a layer's state. Ours has
    800, as the catalogue keeps the convolution's window in float32 and vLLM in bf16.
    """
    layout = layout_of("qwen3.5-27b", 16_384)
    num_blocks = 4 * 371 + 3

    assert layout.block_tokens == pytest.approx(784, rel=0.025)
    assert [group.count for group in layout.groups] == [1, 3]
    assert layout.concurrency(num_blocks, 32_768) == pytest.approx(33.04, rel=0.025)


@pytest.mark.parametrize("name", HYBRIDS)
@pytest.mark.parametrize("tokens", [100, 1000, 8000, 60_000])
def test_capacity_in_sequences_is_the_closed_form(name, tokens):
    """Pool bytes by the bytes of one sequence: all tokens, the window and a block, or a state, of each group."""
    model, formats = catalog.model(name), Formats()
    layout = layout_of(name)
    (page,) = group_block_bytes(model.layers, ParallelPlan(), formats, layout)
    held = 0
    for group in layout.groups:
        if not group.block_tokens:
            held += group.count
            continue
        blocks = -(-tokens // group.block_tokens)
        if group.window:
            blocks = min(blocks, -(-group.window // group.block_tokens) + 1)
        held += group.count * blocks
    pool = kv_capacity(model, catalog.accelerator("h200-sxm"), ParallelPlan(8), formats, by_layer=True)

    assert layout.blocks(tokens) == held
    assert pool.sequences(tokens) == pytest.approx(pool.num_blocks / pool.layout.blocks(tokens))
    assert page >= max(
        block_bytes([group], formats, 1, 16) / group.count for group in model.layers if group.mixer.reads(1)
    )


SLOTS = {"gemma-3-27b": 62 / 70, "gpt-oss-120b": 1, "gemma-2-27b": 1, "mimo-v2-flash": 1}
"""Share of the layers' places in groups that is not padding: Gemma-3-27B has 62 layers in seven groups of ten."""


@pytest.mark.parametrize("name", SLOTS)
@pytest.mark.parametrize("tokens", [160, 1600, 16_000, 120_000])
def test_no_fewer_sequences_than_if_all_layers_kept_all(name, tokens):
    """Beside padding, which vLLM has too ("may waste at most ..."), and a block's rounding; of long ones far more."""
    by_layer, uniform = (
        kv_capacity(
            catalog.model(name), catalog.accelerator("h200-sxm"), ParallelPlan(8), Formats(), by_layer=given
        ).sequences(tokens)
        for given in (True, False)
    )

    assert by_layer >= uniform * SLOTS[name] * tokens / (tokens + 32)
    if tokens >= 16_000:
        assert by_layer > 1.5 * uniform


def test_states_leave_room_for_contexts():
    """Few sequences of a state hybrid no longer set states of ``max_num_seqs`` aside: longer contexts fit."""
    pools = [
        kv_capacity(
            catalog.model("nemotron-h-56b"), catalog.accelerator("h200-sxm"), ParallelPlan(8), Formats(),
            by_layer=given,
        )
        for given in (True, False)
    ]  # fmt: skip

    assert pools[0].longest > 1.3 * pools[1].longest
    assert pools[0].stages[0].state_bytes == 0 < pools[1].stages[0].state_bytes


@given(
    st.lists(
        st.tuples(st.integers(1, 90), st.integers(0, 30), st.integers(1, 120), st.integers(1, 3)),
        min_size=1,
        max_size=12,
    ),
    st.sampled_from([(4, 0), (4, 10), (8, 8), (5, 17)]),
)
@settings(max_examples=200, deadline=None)
def test_growth_is_that_of_every_sequence_by_itself(sequences, kind):
    """Needs of each iteration, and over many, are the sums of what the sequences' own block counts rise by."""
    groups = KVGroups(2, *kind)
    growth = GroupGrowth(groups)
    for iteration in range(60):
        for tokens, joins, stays, width in sequences:
            if iteration == joins + stays:
                growth.leave(tokens, joins, width)
            if iteration == joins:
                growth.join(tokens, joins, width)
        growth.forget(iteration)
        running = [(t, j, width) for t, j, stays, width in sequences if j <= iteration < j + stays]
        for count in (1, 3, 40):
            held = [width * groups.blocks(t + iteration - j) for t, j, width in running]
            then = [width * groups.blocks(t + iteration - j + count) for t, j, width in running]
            assert growth.need_over(iteration, count) == sum(then) - sum(held)


def test_only_full_layers_are_paged():
    """One group of layers that keep all: request for request what ``paged`` does, under pressure as well."""
    records = []
    for cache in (Paged, lambda *given: Hybrid(*given, layout=KVLayout((KVGroups(1, 16),), 512))):
        log = StepLog()
        engine = make_engine(
            0, log, ChunkedPrefill, kv_cache=cache, num_kv_tokens=1500, limits=Limits(64, 512, 900)
        )
        records.append(outcome(play(poisson_requests(3), [engine], log)))

    assert records[0] == records[1]
    assert sum(entry[2] for entry in records[0]) > 0  # somebody was preempted


def test_a_window_lets_more_run():
    """gpt-oss's two halves with a short window: of 2,000 tokens nearly twice as many fit, and end sooner."""
    ends = []
    layout = KVLayout((KVGroups(1, 16), KVGroups(1, 16, 128)), 512)
    for cache in (Paged, lambda *given: Hybrid(*given, layout=layout)):
        log, requests = StepLog(), [Request(i, 0.0, 1500, 500) for i in range(40)]
        engine = make_engine(
            0, log, ChunkedPrefill, kv_cache=cache, num_kv_tokens=20_000, limits=Limits(64, 512, 4000)
        )
        play(requests, [engine], log)
        ends.append((max(req.finish_s for req in requests), log.column("sequences").max()))

    assert ends[1][1] >= 1.6 * ends[0][1]
    assert ends[1][0] < ends[0][0]


def test_a_sequence_holds_its_window():
    """A prompt of many chunks: a chunk and the window behind it; then the window alone, until it ends."""
    layout = KVLayout((KVGroups(1, 16), KVGroups(1, 16, 128)), 512)
    kv, req = Hybrid(32_000, 16, 20_000, layout=layout), Request(0, 0.0, 10_000, 100)
    for end in range(500, 10_001, 500):
        assert kv.reserve(req, end)
        req.computed = end
        assert req.blocks <= -(-end // 16) + -(-(127 + 500) // 16) + 1
    req.kv_tokens = 10_000
    kv.new_growth().join(req, 0)

    assert req.blocks == 625 + 9 == kv.num_blocks - kv.free_blocks
    kv.release(req)
    assert kv.free_blocks == kv.num_blocks


@pytest.mark.parametrize("name", HYBRIDS)
def test_a_block_has_its_tokens_in_all_layers(name):
    """What leaves the pool is counted in tokens: their bytes do not depend on how the pool deals out blocks."""
    model, formats = catalog.model(name), Formats()
    pool = kv_capacity(model, catalog.accelerator("h200-sxm"), ParallelPlan(8), formats, by_layer=True)
    (stage,) = pool.stages

    assert stage.block_bytes / pool.block_size == pytest.approx(block_bytes(model.layers, formats, 8, 1))
    assert stage.pool_block_bytes * pool.num_blocks <= stage.kv_bytes
    assert stage.pool_block_bytes * (pool.num_blocks + 1) > stage.kv_bytes
