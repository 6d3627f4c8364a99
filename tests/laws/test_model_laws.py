"""Laws of model shapes under tensor parallelism, for random mixers and feed-forward blocks."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from llmsim.spec.model import (
    Attention,
    CompressedAttention,
    DenseFFN,
    Gemm,
    LatentAttention,
    Mixer,
    MoEFFN,
    Projection,
    Recurrent,
)

D = 1024
REPLICATED = {
    "kv_a_proj", "q_a_proj", "kv_proj", "compressor", "router",
    "indexer_q_proj", "indexer_k_proj", "indexer_compressor", "indexer_weights",
}  # fmt: skip
"""Products that vLLM runs whole on every rank: they are small, and their outputs serve all heads."""

degrees = st.sampled_from([1, 2, 4, 8])
eighths = st.integers(1, 16).map(lambda n: 8 * n)
attention = st.builds(
    Attention,
    num_heads=eighths,
    num_kv_heads=eighths,
    head_dim=st.sampled_from([64, 128]),
    v_head_dim=st.sampled_from([None, 96]),
    output_gate=st.booleans(),
    k_is_v=st.booleans(),
)
latent = st.builds(
    LatentAttention,
    num_heads=eighths,
    q_lora_rank=st.sampled_from([None, 256]),
    kv_lora_rank=st.just(512),
    qk_nope_head_dim=st.just(128),
    qk_rope_head_dim=st.just(64),
    v_head_dim=st.just(128),
    index_n_heads=st.sampled_from([0, 16]),
    index_head_dim=st.just(128),
    index_topk=st.just(2048),
)
compressed = st.builds(
    CompressedAttention,
    num_heads=eighths,
    head_dim=st.just(512),
    q_lora_rank=st.just(256),
    o_lora_rank=st.just(128),
    o_groups=st.just(8),
    window=st.just(128),
    compress_ratio=st.sampled_from([0, 4, 128]),
)
recurrent = st.builds(
    Recurrent,
    family=st.just("mamba"),
    projections=st.just(
        [Projection(name="in_proj", k=D, n=2 * D), Projection(name="out_proj", k=D, n=D, split="row")]
    ),
    state_size=eighths,
)
mixers = st.one_of(attention, latent, compressed, recurrent)
ffns = st.one_of(
    st.builds(DenseFFN, intermediate_size=eighths, gated=st.booleans()),
    st.builds(
        MoEFFN,
        num_experts=st.just(8),
        top_k=st.just(2),
        intermediate_size=eighths,
        shared_intermediate_size=eighths,
        gated=st.booleans(),
    ),
)


def assert_devices_hold_the_whole(whole: list[Gemm], part: list[Gemm], tp: int) -> None:
    """Each product is either dealt out in equal parts, or replicated where it may be."""
    for one, piece in zip(whole, part, strict=True):
        copies = 1 if one.name in REPLICATED else tp
        assert one.weights == copies * piece.weights


@given(mixers, degrees)
def test_devices_together_hold_a_mixers_weights(mixer: Mixer, tp: int) -> None:
    """With heads that divide evenly, the devices of a group hold every weight of a mixer once."""
    assert_devices_hold_the_whole(mixer.gemms(D, 1), mixer.gemms(D, tp), tp)


@given(ffns, degrees)
def test_devices_together_hold_a_feed_forward_blocks_weights(ffn: DenseFFN | MoEFFN, tp: int) -> None:
    """The same for dense blocks, shared experts and each routed expert."""
    assert_devices_hold_the_whole(ffn.gemms(D, 1), ffn.gemms(D, tp), tp)
    if isinstance(ffn, MoEFFN):
        assert_devices_hold_the_whole(ffn.expert_gemms(D, 1), ffn.expert_gemms(D, tp), tp)


@given(attention, degrees)
def test_devices_together_hold_the_kv_cache(mixer: Attention, tp: int) -> None:
    """With KV heads that divide evenly, the devices hold each key and value once."""
    assert mixer.reads(1)[0].elements == tp * mixer.reads(tp)[0].elements


@given(st.integers(1, 8), st.sampled_from([8, 16, 32]))
def test_kv_heads_are_replicated_when_devices_outnumber_them(num_kv_heads: int, tp: int) -> None:
    """A device never holds less than one whole KV head."""
    mixer = Attention(num_heads=32, num_kv_heads=num_kv_heads, head_dim=128)

    assert mixer.reads(tp)[0].elements == 2 * 128


@given(st.one_of(latent, compressed), degrees)
def test_latent_caches_are_replicated(mixer: Mixer, tp: int) -> None:
    """What all heads share is kept whole on every device."""
    assert [read.elements for read in mixer.reads(1)] == [read.elements for read in mixer.reads(tp)]


@given(recurrent, degrees)
def test_devices_together_hold_the_state(mixer: Recurrent, tp: int) -> None:
    """Recurrent state is dealt out with its channels."""
    assert mixer.state_elements(1) == tp * mixer.state_elements(tp)
