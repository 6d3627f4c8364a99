"""Laws of parallel plans: nothing of a model is lost or doubled, and more hardware never slows."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmsim.cost import collectives
from llmsim.cost.efficiency import efficiency_for
from llmsim.cost.footprint import block_bytes, stage_weight_bytes
from llmsim.cost.lowering import Lowering
from llmsim.cost.memory import kv_capacity
from llmsim.cost.optable import lower_stage
from llmsim.cost.parallel import ParallelPlan, StagePlan, layers_of
from llmsim.cost.plan import Formats
from llmsim.cost.ring import RingStage
from llmsim.cost.roofline import build_stages
from llmsim.cost.roofline_stage import RooflineStage
from llmsim.files.catalog import accelerator, model
from llmsim.files.machines import Machine, machine_of

few = settings(max_examples=40, deadline=None)
A100, L40S, H100 = (accelerator(name) for name in ("a100-sxm-80gb", "l40s", "h100-sxm"))
LLAMA, MIXTRAL, DEEPSEEK = (model(name) for name in ("llama-3.1-70b", "mixtral-8x7b", "deepseek-v3"))
degrees = st.sampled_from([1, 2, 4, 8])


@st.composite
def splits(draw: st.DrawFn, total: int) -> list[int]:
    """``total`` layers in one to five parts."""
    cuts = draw(st.sets(st.integers(1, total - 1), max_size=4))
    edges = [0, *sorted(cuts), total]
    return [high - low for low, high in pairwise(edges)]


@few
@given(splits(80))
def test_stage_weights_add_up_for_any_split(counts: list[int]) -> None:
    """F1: a pipeline moves layers, however unevenly, and copies none."""
    plan = ParallelPlan(1, len(counts), pipeline_layers=tuple(counts))

    assert 2 * LLAMA.parameters() == sum(stage_weight_bytes(LLAMA, plan, Formats()))
    assert counts == [sum(group.count for group in stage) for stage in layers_of(LLAMA.layers, plan)]


@few
@given(splits(80), st.data())
def test_asymmetric_stages_hold_what_a_symmetric_pipeline_holds(
    counts: list[int], data: st.DataObject
) -> None:
    """Each stage's weights are those of the same layers at its own degree; the smallest stage decides."""
    sizes = [data.draw(degrees) for _ in counts]
    stages = tuple(
        StagePlan(gpu, tp, layers, machine_of(gpu))
        for gpu, tp, layers in zip([A100, L40S, H100, A100, L40S], sizes, counts, strict=False)
    )
    plan = ParallelPlan(stages=stages, pipeline_parallel_size=len(stages))
    weights = stage_weight_bytes(LLAMA, plan, Formats())
    alike = {
        tp: stage_weight_bytes(LLAMA, ParallelPlan(tp, len(counts), pipeline_layers=tuple(counts)), Formats())
        for tp in sizes
    }
    pool = kv_capacity(LLAMA, A100, plan, Formats(), num_kv_tokens=16)

    assert weights == [alike[tp][index] for index, tp in enumerate(sizes)]
    assert sum(sizes) == plan.num_devices == sum(plan.devices("").values())
    assert [0.9 * stage.accelerator.memory_bytes for stage in stages] == [s.budget_bytes for s in pool.stages]


@few
@given(degrees, st.sampled_from([1, 2, 4]), st.sampled_from([MIXTRAL, DEEPSEEK]))
def test_experts_are_conserved(tp: int, dp: int, shape) -> None:  # type: ignore[no-untyped-def]
    """Every expert is on exactly one rank: the ranks' experts weigh as much as all of them, at any degree."""
    ffn = next(group.ffn for group in shape.layers if group.ffn.kind == "moe")
    if tp * dp > ffn.num_experts:
        return
    low = Lowering(shape, H100, ParallelPlan(tp, 1, dp, True), Formats(), efficiency_for(H100), False)
    one = replace(low, plan=ParallelPlan())

    divided, whole = low.experts(ffn, 1), one.experts(ffn, 1)

    assert tp * dp * divided.share * divided.num_experts == ffn.num_experts
    assert divided.expert_bytes == whole.expert_bytes
    # All ranks together compute what one device would for the tokens of all data-parallel ranks.
    assert tp * dp * divided.work(64).flops == pytest.approx(whole.work(64 * dp).flops)


@few
@given(st.sampled_from([LLAMA, MIXTRAL, DEEPSEEK]), degrees, degrees)
def test_more_ranks_never_hold_more_kv_each(shape, tp: int, more: int) -> None:  # type: ignore[no-untyped-def]
    """KV per device falls with TP until heads are replicated; a latent is always whole; PCP always divides."""
    block, wider = (block_bytes(shape.layers, Formats(), size, 16) for size in (tp, tp * more))
    latent = shape is DEEPSEEK

    assert wider == block if latent else wider <= block
    pools = [
        kv_capacity(
            shape, H100, ParallelPlan(8, prefill_context_parallel_size=p), Formats(), num_kv_tokens=16
        )
        for p in (1, more)
    ]
    assert pools[0].stages[0].block_bytes == pytest.approx(more * pools[1].stages[0].block_bytes)


@few
@given(st.integers(1, 4000), st.integers(0, 30000), st.sampled_from([LLAMA, MIXTRAL, DEEPSEEK]))
def test_a_ring_of_one_is_the_plain_stage(tokens: int, cached: int, shape) -> None:  # type: ignore[no-untyped-def]
    """p = 1: no hop, and every time is the plain one's."""
    low = Lowering(shape, H100, ParallelPlan(8), Formats(), efficiency_for(H100), False)
    table = lower_stage(low, shape.layers)
    plain, ring = (kind(table, low, 1.0) for kind in (RooflineStage, RingStage))
    reads = [64 * span.read(cached) for span in plain.spans]

    assert plain.chunk_s(tokens, cached) == pytest.approx(ring.chunk_s(tokens, cached), rel=1e-12)
    assert plain.tokens_s(tokens + 64, 64, 64) == ring.tokens_s(tokens + 64, 64, 64)
    assert plain.decode_line(64, reads, reads) == ring.decode_line(64, reads, reads)


@few
@given(st.integers(1, 20000), st.integers(0, 100000), st.sampled_from([2, 4, 8, 16]))
def test_a_ring_is_bounded_by_its_parts(tokens: int, cached: int, devices: int) -> None:
    """block·p ≤ t ≤ p·max(block, hop): what the survey's formula says, less the hop after the last block."""
    (stage,) = build_stages(LLAMA, H100, plan=ParallelPlan(8, prefill_context_parallel_size=devices))
    (priced,) = stage._attention.ops
    compute, memory, network, *_ = priced.chunk_needs(tokens, cached)
    block = max(compute, memory) / devices
    hop = (network - block) / (devices - 1)

    assert max(compute, memory, network) == pytest.approx(block + (devices - 1) * max(block, hop))
    assert max(compute, memory, network) <= devices * max(block, hop) * (1 + 1e-12)


@few
@given(st.sampled_from([2, 4, 8]), st.floats(1, 1e9))
def test_one_island_is_the_flat_collective(devices: int, message: float) -> None:
    """A group inside a node is priced as before, whatever the network."""
    fit, machine = efficiency_for(H100), machine_of(H100)

    for flat, placed in (
        (collectives.all_reduce(fit, H100, devices), collectives.all_reduce(fit, H100, devices, machine)),
        (collectives.gather(fit, H100, devices), collectives.gather(fit, H100, devices, machine)),
    ):
        assert flat.seconds(message) == placed.seconds(message)


@few
@given(st.sampled_from([1, 2, 4, 8]), st.sampled_from([2, 3, 4]), st.floats(1, 1e9), st.floats(1, 10))
def test_a_faster_network_never_slows(island: int, nodes: int, message: float, factor: float) -> None:
    """L9 across nodes; and a group in several nodes is never faster than the same in one."""
    fit = efficiency_for(H100)
    slow = Machine("slow", island, 5e10, 1e10, 1e-5)
    fast = Machine("fast", island, 5e10 * factor, 1e10 * factor, 1e-5 / factor)
    devices = island * nodes

    for rate in (collectives.all_reduce, collectives.gather, collectives.all_to_all):
        assert rate(fit, H100, devices, fast).seconds(message) <= rate(fit, H100, devices, slow).seconds(
            message
        )
    sends = [collectives.send(fit, H100, island, one, one).seconds(message) for one in (fast, slow)]
    assert sends[0] <= sends[1]
    ring = collectives.all_reduce(fit, H100, devices, slow)
    assert ring.seconds(message) >= fit.ring_only().all_reduce_for(island).ring_latency_s


def test_stages_fill_nodes_in_their_order() -> None:
    """Eight devices a node: four stages of four lie two in each; stages of eight have each its own."""
    four, eight = ParallelPlan(4, 4), ParallelPlan(8, 3)

    assert [False, True, False] == [four.leaves_node(stage, H100) for stage in range(3)]
    assert [True, True] == [eight.leaves_node(stage, H100) for stage in range(2)]
