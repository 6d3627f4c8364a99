"""Feed-forward blocks and mixtures of experts from a config.json."""

from __future__ import annotations

from llmsim.files.hf.families import Family
from llmsim.files.hf.fields import Fields
from llmsim.spec.model import FFN, DenseFFN, MoEFFN, NoFFN

_EXPERTS = ("num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts")
_TOP_K = (
    "num_experts_per_tok",
    "num_experts_per_token",
    "experts_per_token",
    "top_k_experts",
    "moe_top_k",
    "moe_k",
)
_WIDTH = ("intermediate_size", "ffn_dim", "ffn_hidden_size", "n_inner", "d_ff")
_EXPERT_WIDTH = ("moe_intermediate_size", "moe_ffn_hidden_size", "intermediate_size")
_SHARED_WIDTH = (
    "shared_expert_intermediate_size",
    "moe_shared_expert_intermediate_size",
    "share_expert_dim",
    "shared_intermediate_size",
)


def read_ffn(f: Fields, family: Family, d: int, layer: int, kind: str) -> FFN:
    """The feed-forward part of one layer; ``kind`` is its mixer's (see ``stack.MixerKind``)."""
    if not family.ffn or (f.has("hybrid_override_pattern") and kind not in {"ffn", "moe"}):
        return NoFFN()
    if kind == "moe" or (kind != "ffn" and has_experts(f) and _is_sparse(f, layer)):
        return _experts(f, family)
    bias = f.flag("mlp_bias", "use_bias", "enable_bias", "bias", "add_bias_linear", default=family.mlp_bias)
    return DenseFFN(intermediate_size=_dense_width(f, family, d), gated=family.gated, bias=bias)


def has_experts(f: Fields) -> bool:
    """Whether the model has a mixture of experts anywhere. Pure query."""
    return f.has(*_EXPERTS) and f.count(*_EXPERTS) > 1


def _is_sparse(f: Fields, layer: int) -> bool:
    """Whether a layer of a mixture-of-experts model has experts.

    Precedence: a list with an entry per layer; then exceptions at the bottom of the stack; then periods.
    """
    for name in ("moe_layer_freq", "mlp_layer_types"):
        listed = f.per_layer(name, layer + 1)
        if listed is not None:
            return listed[layer] not in {0, "dense"}
    if layer < f.count("first_k_dense_replace", "num_dense_layers", default=0, least=0):
        return False
    if layer in f.layer_numbers("mlp_only_layers"):
        return False
    if f.has("expert_layer_period"):
        offset = f.count("expert_layer_offset", default=0, least=0)
        return layer % f.count("expert_layer_period") == offset
    step = f.count("interleave_moe_layer_step", "decoder_sparse_step", default=1)
    every = f.count("moe_layer_freq", default=1)
    return (layer + 1) % step == 0 and layer % every == 0


def _experts(f: Fields, family: Family) -> MoEFFN:
    width, experts, top_k = f.count(*_EXPERT_WIDTH), f.count(*_EXPERTS), f.count(*_TOP_K)
    if top_k > experts:
        f.complain("num_experts_per_tok", f"asks for {top_k} experts per token of only {experts}")
    return MoEFFN(
        num_experts=experts,
        top_k=top_k,
        intermediate_size=width,
        shared_intermediate_size=_shared_width(f, width),
        gated=family.gated,
        bias=family.expert_bias,
        router_bias=f.flag("use_routing_bias", "use_moe_router_bias", default=family.router_bias),
        shared_gate=family.shared_gate and f.has(*_SHARED_WIDTH),
    )


def _shared_width(f: Fields, expert_width: int) -> int:
    """All shared experts together; a dense branch beside the experts (Gemma 4) counts as one."""
    if f.flag("enable_moe_block"):
        return f.count("intermediate_size")
    numbered = ("n_shared_experts", "num_shared_experts", "moe_num_shared_experts")
    if f.has(*_SHARED_WIDTH):
        return f.count(*_SHARED_WIDTH, least=0) * f.count(*numbered, default=1, least=0)
    return expert_width * f.count(*numbered, default=0, least=0)


def _dense_width(f: Fields, family: Family, d: int) -> int:
    """Width of a dense block; Llama 4 and LFM2 have rules of their own, GPT-2's kin default to 4·d."""
    if f.has("conv_L_cache") and f.flag("block_auto_adjust_ff_dim"):
        multiple = f.count("block_multiple_of", default=256)
        width = int((f.get("block_ffn_dim_multiplier") or 1.0) * (2 * f.count(*_WIDTH) // 3))
        return -(-width // multiple) * multiple
    if f.has("attention_hidden_size") and not f.has("intermediate_size"):
        return int(3.5 * d) // 32 * 32 if f.has("head_size") else 4 * d
    return f.count("intermediate_size_mlp", *_WIDTH, default=4 * d if family.four_d else None)
