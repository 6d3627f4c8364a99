"""Attention layers from a config.json."""

from __future__ import annotations

from typing import Literal

from llmsim.files.hf.families import Family
from llmsim.files.hf.fields import Fields
from llmsim.spec.attention import SpanKind
from llmsim.spec.model import Attention, CompressedAttention, LatentAttention

Attended = Attention | LatentAttention | CompressedAttention

HEADS = ("num_attention_heads", "n_head", "n_heads", "num_heads")


def read_mixer(f: Fields, family: Family, d: int, layer: int, kind: str) -> Attended:
    """The attention of one layer, whatever its form: compressed, latent or per head."""
    if f.has("compress_ratios"):
        return _compressed(f, layer)
    return _latent(f) if f.has("kv_lora_rank") else read_attention(f, family, d, kind)


def read_attention(f: Fields, family: Family, d: int, kind: str) -> Attention:
    """Attention with keys and values per head; ``kind`` is full, sliding or chunked."""
    span, size = _span(f, kind)
    heads, kv_heads, head_dim, v_head_dim = _heads(f, d, kind)
    qkv_bias, out_bias = _biases(f, family)
    k_is_v = f.flag("attention_k_eq_v") and kind == "full"
    return Attention(
        num_heads=heads,
        num_kv_heads=kv_heads,
        head_dim=head_dim,
        v_head_dim=v_head_dim if v_head_dim != head_dim else None,
        span=span,
        span_size=size,
        qkv_bias=qkv_bias,
        out_bias=out_bias,
        qk_norm=_qk_norm(f, family),
        output_gate=f.flag("attn_output_gate"),
        sinks=_sinks(f, family, kind),
        k_is_v=k_is_v,
    )


def _span(f: Fields, kind: str) -> tuple[SpanKind, int]:
    """A window or chunk that is no shorter than the longest context is full attention."""
    if kind == "full":
        return "full", 0
    name, span = ("attention_chunk_size", "chunk") if kind == "chunked" else ("sliding_window", "window")
    size = f.count(name)
    longest = f.get("max_position_embeddings")
    if isinstance(longest, int) and size >= longest:
        return "full", 0
    return ("chunk", size) if span == "chunk" else ("window", size)


def _heads(f: Fields, d: int, kind: str) -> tuple[int, int, int, int]:
    """(query heads, KV heads, key width, value width); fields of one kind of layer go before the general.

    KV heads: ``multi_query`` without a newer field means 1; no field at all means as many as query heads.
    """
    heads, head_dim_names, kv_names = f.count(*HEADS), ["head_dim", "attention_head_dim"], []
    v_names = ["v_head_dim"]
    if kind == "sliding" and f.has("swa_num_attention_heads"):
        heads = f.count("swa_num_attention_heads")
        kv_names, head_dim_names, v_names = ["swa_num_key_value_heads"], ["swa_head_dim"], ["swa_v_head_dim"]
    if kind == "full" and f.has("global_head_dim"):
        kv_names, head_dim_names = ["num_global_key_value_heads"], ["global_head_dim"]
    kv_names += ["num_key_value_heads", "n_head_kv", "num_query_groups"]
    head_dim, kv_heads = f.count(*head_dim_names, default=max(1, d // heads)), _kv_heads(f, kv_names, heads)
    if heads % kv_heads:
        f.complain(kv_names[0], f"should divide the {heads} query heads, but is {kv_heads}")
    return heads, kv_heads, head_dim, f.count(*v_names, default=head_dim)


def _kv_heads(f: Fields, names: list[str], heads: int) -> int:
    if f.flag("multi_query_attention"):
        return f.count("multi_query_group_num")
    falcon = f.has("new_decoder_architecture")
    if f.flag("multi_query") and not (falcon and f.flag("new_decoder_architecture")):
        f.get("num_kv_heads")
        return 1
    return f.count(*names, "num_kv_heads", default=heads)


def _biases(f: Fields, family: Family) -> tuple[bool, bool]:
    """(on queries, keys and values; on the output)."""
    everywhere = f.get("use_bias", "enable_bias", "bias")
    attention = f.get("attention_bias")
    qkv = f.get("use_qkv_bias", "add_qkv_bias", "qkv_bias")
    if everywhere is not None:
        return bool(everywhere), bool(everywhere)
    if attention is not None:
        return bool(attention), bool(attention) and family.out_bias_follows
    return bool(family.qkv_bias if qkv is None else qkv), family.out_bias


def _qk_norm(f: Fields, family: Family) -> Literal["none", "head", "layer"]:
    """Llama 4's norm of queries and keys has no weights, hence the family's kind."""
    return family.qk_norm if f.flag("use_qk_norm", "qk_layernorm", default=True) else "none"


def _sinks(f: Fields, family: Family, kind: str) -> bool:
    name = "add_swa_attention_sink_bias" if kind == "sliding" else "add_full_attention_sink_bias"
    return f.flag(name, default=family.sinks)


def _latent(f: Fields) -> LatentAttention:
    """DeepSeek-V2 and after; ``index_topk`` adds the indexer of DeepSeek-V3.2."""
    sparse = f.has("index_topk")
    return LatentAttention(
        num_heads=f.count(*HEADS),
        q_lora_rank=f.count("q_lora_rank") if f.has("q_lora_rank") else None,
        kv_lora_rank=f.count("kv_lora_rank"),
        qk_nope_head_dim=f.count("qk_nope_head_dim"),
        qk_rope_head_dim=f.count("qk_rope_head_dim"),
        v_head_dim=f.count("v_head_dim"),
        index_n_heads=f.count("index_n_heads") if sparse else 0,
        index_head_dim=f.count("index_head_dim") if sparse else 0,
        index_topk=f.count("index_topk") if sparse else 0,
        bias=f.flag("attention_bias"),
    )


def _compressed(f: Fields, layer: int) -> CompressedAttention:
    """DeepSeek-V4: the smaller pooling ratio is the sparse one, with the indexer."""
    ratios = f.per_layer("compress_ratios", layer + 1) or [0]
    ratio = int(ratios[-1])
    sparse = ratio > 0 and ratio == min(r for r in f.get("compress_ratios") if r)
    return CompressedAttention(
        num_heads=f.count(*HEADS),
        head_dim=f.count("head_dim"),
        q_lora_rank=f.count("q_lora_rank"),
        o_lora_rank=f.count("o_lora_rank"),
        o_groups=f.count("o_groups"),
        window=f.count("sliding_window"),
        compress_ratio=ratio,
        index_n_heads=f.count("index_n_heads") if sparse else 0,
        index_head_dim=f.count("index_head_dim") if sparse else 0,
        index_topk=f.count("index_topk") if sparse else 0,
    )
