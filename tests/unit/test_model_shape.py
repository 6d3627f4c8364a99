"""A model's shape: what its parts count, and what a file may say."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from llmsim.spec.attention import FULL, Span
from llmsim.spec.model import (
    Attention,
    CompressedAttention,
    DenseFFN,
    Gemm,
    LatentAttention,
    LayerGroup,
    ModelShape,
    MoEFFN,
    NoFFN,
)

ENTRY: dict[str, Any] = {
    "name": "tiny",
    "source": "made up",
    "published_parameters": 5000000,
    "hidden_size": 256,
    "vocab_size": 1000,
    "tied_embeddings": True,
    "max_position_embeddings": 2048,
    "layers": [
        {
            "count": 2,
            "mixer": {"kind": "attention", "num_heads": 4, "num_kv_heads": 2, "head_dim": 64},
            "ffn": {"kind": "moe", "num_experts": 4, "top_k": 1, "intermediate_size": 128},
            "norm_parameters": 512,
        }
    ],
}


def make_shape(**changes: Any) -> ModelShape:
    """The entry above with some fields changed."""
    return ModelShape.model_validate({**ENTRY, **changes})


def test_a_whole_number_may_stand_for_a_float() -> None:
    """YAML writes 5000000 for a float field; strict reading takes it."""
    assert make_shape().published_parameters == 5e6


@pytest.mark.parametrize(
    "changes",
    [{"hidden_size": 0}, {"hidden_size": "256"}, {"tied_embeddings": "yes"}, {"layers": []}, {"depth": 3}],
)
def test_what_a_file_may_not_say(changes: dict[str, Any]) -> None:
    """Nothing is coerced, nothing unknown is let through, sizes are above 0."""
    with pytest.raises(ValidationError):
        make_shape(**changes)


def test_mixers_are_told_apart_by_kind() -> None:
    """``kind`` names the class of a layer's parts."""
    group = make_shape().layers[0]

    assert isinstance(group.mixer, Attention)
    assert isinstance(group.ffn, MoEFFN)


def test_parameters_by_role() -> None:
    """F1, by hand: attention, experts and router per layer, one embedding table when tied."""
    by_role = make_shape().parameters_by_role()

    assert 2 * (256 * (4 + 2 * 2) * 64 + 4 * 64 * 256) == by_role["attention"]
    assert 2 * 4 * 3 * 256 * 128 == by_role["expert"]
    assert 2 * 256 * 4 == by_role["router"]
    assert 1000 * 256 + 2 * 512 == by_role["embedding"]
    assert "lm_head" not in by_role


def test_untied_embeddings_are_stored_twice() -> None:
    """The output layer is a second table."""
    assert 1000 * 256 == make_shape(tied_embeddings=False).parameters() - make_shape().parameters()


def test_active_parameters_leave_idle_experts_out() -> None:
    """One expert of four works on a token."""
    idle = 2 * 3 * 3 * 256 * 128

    assert idle == make_shape().parameters() - make_shape().active_parameters()


def test_attention_flops_per_pair() -> None:
    """F3: scores and weighted sum are 2 · (key width + value width) per query head: 4·hq·dh."""
    read = Attention(num_heads=32, num_kv_heads=8, head_dim=128).reads(1)[0]

    assert 4 * 32 * 128 == read.flops_per_pair
    assert 2 * 8 * 128 == read.elements


def test_an_output_gate_is_as_wide_as_the_queries() -> None:
    """Qwen3-Next projects queries twice."""
    plain, gated = (
        Attention(num_heads=8, num_kv_heads=2, head_dim=64, output_gate=gate).gemms(512, 1)[0].n
        for gate in (False, True)
    )

    assert 8 * 64 == gated - plain


def test_mla_keeps_one_latent_for_all_heads() -> None:
    """DeepSeek-V2 (arXiv 2405.04434): 512 + 64 numbers per token and layer, whatever the heads."""
    mixer = LatentAttention(
        num_heads=128,
        q_lora_rank=1536,
        kv_lora_rank=512,
        qk_nope_head_dim=128,
        qk_rope_head_dim=64,
        v_head_dim=128,
    )

    assert [576] == [read.elements for read in mixer.reads(1)]
    assert 2 * 128 * (576 + 512) == mixer.reads(1)[0].flops_per_pair


def test_the_indexer_reads_all_and_lets_some_through() -> None:
    """DeepSeek-V3.2: the indexer scans every token's key, attention reads the best 2048."""
    mixer = LatentAttention(
        num_heads=128, q_lora_rank=1536, kv_lora_rank=512, qk_nope_head_dim=128, qk_rope_head_dim=64,
        v_head_dim=128, index_n_heads=64, index_head_dim=128, index_topk=2048,
    )  # fmt: skip

    assert [(Span("topk", 2048), 576), (FULL, 128)] == [(read.span, read.elements) for read in mixer.reads(1)]


def test_compressed_attention_keeps_a_fraction_per_token() -> None:
    """DeepSeek-V4: a raw window, and one pooled entry of 512 per 4 tokens of which the best 512 are read."""
    mixer = CompressedAttention(
        num_heads=64, head_dim=512, q_lora_rank=1024, o_lora_rank=1024, o_groups=8, window=128,
        compress_ratio=4, index_n_heads=64, index_head_dim=128, index_topk=512,
    )  # fmt: skip
    kept = [(read.span, read.elements) for read in mixer.reads(1)]

    assert [(Span("window", 128), 512), (Span("topk", 2048), 512 // 4), (FULL, 128 // 4)] == kept


def test_grouped_output_projection() -> None:
    """DeepSeek-V4's output goes through ``o_groups`` small products, then one of low rank."""
    mixer = CompressedAttention(
        num_heads=64, head_dim=512, q_lora_rank=1024, o_lora_rank=1024, o_groups=8, window=128
    )

    assert Gemm("o_a_proj", 64 * 512 // 8, 1024, "attention", 8) in mixer.gemms(4096, 1)


def test_gates_make_three_matrices() -> None:
    """g = 3 gated, g = 2 plain (F1)."""
    plain, gated = (
        sum(gemm.weights for gemm in DenseFFN(intermediate_size=1024, gated=gate).gemms(256, 1))
        for gate in (False, True)
    )

    assert 2 * gated == 3 * plain


def test_spans_are_distinct_and_in_a_fixed_order() -> None:
    """The engine tracks each span once, whatever the order of the layers."""
    full = LayerGroup(
        count=1, mixer=Attention(num_heads=1, num_kv_heads=1, head_dim=64), ffn=NoFFN(), norm_parameters=0
    )
    window = full.model_copy(
        update={"mixer": Attention(num_heads=1, num_kv_heads=1, head_dim=64, span="window", span_size=128)}
    )
    one, other = (
        make_shape().model_copy(update={"layers": layers})
        for layers in ([full, window, full], [window, full])
    )

    assert [FULL, Span("window", 128)] == one.spans() == other.spans()
