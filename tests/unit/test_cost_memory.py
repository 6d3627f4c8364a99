"""KV capacity (F10): what is subtracted, who decides, and what a refusal says."""

from __future__ import annotations

import pytest

from llmsim.cost.footprint import stage_weight_bytes
from llmsim.cost.memory import KVCapacity, kv_capacity
from llmsim.cost.plan import Formats, ParallelPlan
from llmsim.errors import DoesNotFitError
from llmsim.files.catalog import accelerator
from llmsim.spec.model import Attention, DenseFFN, LayerGroup, ModelShape


def make_model(layers: int = 80, d: int = 8192, kv_heads: int = 8, tied: bool = False) -> ModelShape:
    """Llama-3.1-70B's shape."""
    group = LayerGroup(
        count=layers,
        mixer=Attention(num_heads=64, num_kv_heads=kv_heads, head_dim=128),
        ffn=DenseFFN(intermediate_size=28672),
        norm_parameters=2 * d,
    )
    return ModelShape(
        name="llama-70b",
        source="made for the test",
        hidden_size=d,
        vocab_size=128256,
        tied_embeddings=tied,
        max_position_embeddings=131072,
        layers=[group],
        final_norm_parameters=d,
    )


def capacity(plan: ParallelPlan, model: ModelShape | None = None, **settings: object) -> KVCapacity:
    """The pool of a model on H100s."""
    return kv_capacity(model or make_model(), accelerator("h100-sxm"), plan, Formats(), **settings)  # type: ignore[arg-type]


def test_weights_of_one_device_are_all_parameters() -> None:
    """F1: on one device, weight bytes are two per parameter."""
    model = make_model()

    assert 2 * model.parameters() == sum(stage_weight_bytes(model, ParallelPlan(), Formats()))


def test_weights_over_stages_are_all_parameters() -> None:
    """A pipeline moves layers, it does not copy them."""
    model = make_model()

    assert 2 * model.parameters() == sum(stage_weight_bytes(model, ParallelPlan(1, 7), Formats()))


def test_tied_embedding_is_copied_to_the_last_stage() -> None:
    """Both ends of a pipeline need a tied table; one device needs it once."""
    model = make_model(tied=True)
    one = sum(stage_weight_bytes(model, ParallelPlan(), Formats()))
    two = sum(stage_weight_bytes(model, ParallelPlan(1, 2), Formats()))

    assert 2 * model.vocab_size * model.hidden_size == two - one


def test_kv_heads_are_replicated_when_ranks_outnumber_them() -> None:
    """With 2 KV heads, a rank of 8 keeps as much per token as a rank of 2."""
    few = make_model(kv_heads=2)

    assert (
        capacity(ParallelPlan(8), few).stages[0].block_bytes
        == capacity(ParallelPlan(2, 2), few).stages[0].block_bytes * 2
    )


def test_smallest_stage_decides() -> None:
    """The pool is that of the stage with the fewest blocks."""
    pool = capacity(ParallelPlan(2, 3))

    assert pool.num_blocks == min(stage.num_blocks for stage in pool.stages)
    assert pool.tightest.num_blocks == pool.num_blocks


def test_given_pool_is_taken_as_it_is() -> None:
    """``num_kv_tokens`` overrides the arithmetic, even where memory would not do."""
    pool = capacity(ParallelPlan(), num_kv_tokens=16_000)

    assert 1000 == pool.num_blocks
    assert pool.given


def test_refusal_has_the_arithmetic_and_the_smallest_plan() -> None:
    """141 GB of weights do not fit in 80 GB; two devices hold them and 8,192 tokens."""
    with pytest.raises(DoesNotFitError) as refused:
        capacity(ParallelPlan(), min_tokens=8192)

    assert "141.11 GB weights" in str(refused.value)
    assert "tensor_parallel_size: 2, pipeline_parallel_size: 1" in str(refused.value.hint)


def test_suggested_plan_fits() -> None:
    """The plan a refusal suggests is accepted."""
    assert capacity(ParallelPlan(2), min_tokens=8192).num_tokens >= 8192


def test_refusal_without_a_remedy_says_so() -> None:
    """A model that no 64 devices hold gets no plan, but a word."""
    with pytest.raises(DoesNotFitError) as refused:
        capacity(ParallelPlan(), make_model(layers=20_000))

    assert "nothing up to 64 devices would do" in str(refused.value.hint)
