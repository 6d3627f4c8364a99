"""What each architecture's code fixes and its config.json therefore leaves unsaid.

A field in the file always wins; these facts fill what no field says: biases, kinds of norm, gating,
and the default Hugging Face transformers gives a field that is absent (its ``configuration_*.py`` and
``modeling_*.py`` of that family are the source of each row).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal


@dataclass(frozen=True)
class Family:
    """Traits of an architecture.

    Attributes:
        gated: Three feed-forward matrices instead of two.
        norms: Norms per layer.
        norm_width: Numbers per channel of a norm: 1 scale, 2 scale and shift, 0 none.
        qkv_bias, out_bias, mlp_bias: Biases where no field says.
        out_bias_follows: ``attention_bias`` means the output projection too.
        qk_norm: Kind of query/key norm, where there is one.
        parallel: Attention and feed-forward read the same input.
        learned_positions: Rows of the position table beyond the context; None: no table.
        ffn: Layers have a feed-forward block.
        four_d: Without a width, the feed-forward block is four times the model's.
        shared_gate: A gate on the shared experts.
        router_bias: One bias per expert in the router.
        expert_bias: Biases in the experts.
        sinks: A sink logit per head.
        lm_head_bias: Biases on the logits.
        embedding_norm: A norm behind the embeddings.
        never_tied: The output layer is a tensor of its own whatever the file says.
        defaults: Value of a field that is absent.
    """

    gated: bool = True
    norms: int = 2
    norm_width: int = 1
    qkv_bias: bool = False
    out_bias: bool = False
    mlp_bias: bool = False
    out_bias_follows: bool = True
    qk_norm: Literal["none", "head", "layer"] = "none"
    parallel: bool = False
    learned_positions: int | None = None
    ffn: bool = True
    four_d: bool = False
    shared_gate: bool = False
    router_bias: bool = False
    expert_bias: bool = False
    sinks: bool = False
    lm_head_bias: bool = False
    embedding_norm: bool = False
    never_tied: bool = False
    defaults: Mapping[str, Any] = field(default_factory=dict)


def _of(family: Family, **changes: Any) -> Family:
    defaults = {**family.defaults, **changes.pop("defaults", {})}
    return replace(family, **changes, defaults=defaults)


LLAMA = Family(defaults={"tie_word_embeddings": False})
MISTRAL = _of(LLAMA, defaults={"sliding_window": 4096})
QWEN2 = _of(LLAMA, qkv_bias=True, defaults={"use_sliding_window": False})
QWEN2_MOE = _of(QWEN2, shared_gate=True)
QWEN3 = _of(LLAMA, qk_norm="head", defaults={"use_sliding_window": False})
QWEN3_NEXT = _of(QWEN3, shared_gate=True, defaults={"attn_output_gate": True, "full_attention_interval": 4})
GEMMA = _of(LLAMA, defaults={"tie_word_embeddings": True})
GEMMA2 = _of(GEMMA, norms=4, defaults={"sliding_window": 4096, "sliding_window_pattern": 2})
GEMMA3 = _of(GEMMA2, qk_norm="head", defaults={"sliding_window_pattern": 6})
DEEPSEEK2 = _of(LLAMA, out_bias_follows=False)
DEEPSEEK3 = _of(DEEPSEEK2, router_bias=True)
OLMO2 = _of(LLAMA, qk_norm="layer")
GLM4_MOE = _of(
    LLAMA, qk_norm="head", out_bias_follows=False, router_bias=True, defaults={"use_qk_norm": False}
)
COHERE = _of(GEMMA, norms=1, parallel=True, qk_norm="layer", defaults={"use_qk_norm": False})
_BIASED = Family(
    gated=False, norm_width=2, qkv_bias=True, out_bias=True, mlp_bias=True, four_d=True,
    defaults={"tie_word_embeddings": True},
)  # fmt: skip
GPT2 = _of(_BIASED, learned_positions=0)
PHI = _of(_BIASED, norms=1, parallel=True, lm_head_bias=True, defaults={"tie_word_embeddings": False})
NEOX = _of(_BIASED, parallel=True, defaults={"tie_word_embeddings": False, "use_parallel_residual": True})
GPTJ = _of(PHI, qkv_bias=False, out_bias=False)
FALCON = _of(_BIASED, qkv_bias=False, out_bias=False, mlp_bias=False, defaults={"parallel_attn": True})
MAMBA = Family(norms=1, ffn=False, defaults={"tie_word_embeddings": True, "expand": 2, "conv_kernel": 4})
NEMOTRON_H = _of(LLAMA, gated=False, norms=1, router_bias=True, defaults={"expand": 2, "conv_kernel": 4})
BAMBA = _of(
    LLAMA, defaults={"mamba_expand": 2, "mamba_d_conv": 4, "mamba_n_groups": 1, "mamba_conv_bias": True}
)
JAMBA = _of(
    LLAMA,
    defaults={
        "attn_layer_period": 8,
        "attn_layer_offset": 4,
        "expert_layer_period": 2,
        "expert_layer_offset": 1,
        "num_experts": 16,
        "num_experts_per_tok": 2,
        "mamba_expand": 2,
        "mamba_d_conv": 4,
        "mamba_d_state": 16,
    },
)
RWKV = Family(gated=False, norm_width=2, embedding_norm=True, never_tied=True)

FAMILIES: dict[str, Family] = {
    **dict.fromkeys(
        ["llama", "mixtral", "phi3", "mistral3", "granite", "granitemoe", "smollm3", "seed_oss"],
        LLAMA,
    ),
    **dict.fromkeys(["llama4", "llama4_text"], _of(LLAMA, defaults={"n_shared_experts": 1})),
    "mistral": MISTRAL,
    "internlm2": LLAMA,
    "arcee": _of(LLAMA, gated=False),
    "nemotron": _of(LLAMA, gated=False, norm_width=2),
    "stablelm": _of(LLAMA, norm_width=2, defaults={"use_parallel_residual": False}),
    "chatglm": _of(LLAMA, qkv_bias=True),
    "glm": _of(LLAMA, qkv_bias=True, out_bias_follows=False),
    "glm4": _of(LLAMA, norms=4, qkv_bias=True, out_bias_follows=False),
    **dict.fromkeys(["qwen2", "qwen2_vl", "qwen2_vl_text", "qwen2_5_vl", "qwen2_5_vl_text"], QWEN2),
    "qwen2_moe": QWEN2_MOE,
    **dict.fromkeys(
        ["qwen3", "qwen3_moe", "qwen3_vl", "qwen3_vl_text", "qwen3_vl_moe", "qwen3_vl_moe_text",
         "qwen3_omni_moe_text", "hunyuan_v1_dense"],
        QWEN3,
    ),
    **dict.fromkeys(
        ["qwen3_next", "qwen3_5", "qwen3_5_text", "qwen3_5_moe", "qwen3_5_moe_text"], QWEN3_NEXT
    ),
    "gemma": GEMMA,
    "gemma2": GEMMA2,
    **dict.fromkeys(["gemma3", "gemma3_text", "gemma4", "gemma4_text"], GEMMA3),
    "phi": PHI,
    "phi-msft": PHI,
    "phimoe": _of(LLAMA, norm_width=2, qkv_bias=True, out_bias=True, lm_head_bias=True),
    "opt": _of(_BIASED, learned_positions=2),
    "gpt2": GPT2,
    "gpt_bigcode": _of(GPT2, defaults={"multi_query": True}),
    "gpt_neox": NEOX,
    "gptj": GPTJ,
    "bloom": _of(_BIASED, embedding_norm=True, defaults={"seq_length": 2048}),
    "falcon": FALCON,
    "starcoder2": _BIASED,
    "cohere": COHERE,
    "cohere2": _of(COHERE, defaults={"sliding_window_pattern": 4}),
    "olmo": _of(LLAMA, norm_width=0),
    **dict.fromkeys(["olmo2", "olmo3", "olmoe"], OLMO2),
    "exaone4": _of(LLAMA, qk_norm="head"),
    "deepseek_v2": DEEPSEEK2,
    **dict.fromkeys(["deepseek_v3", "deepseek_v32", "deepseek_v4"], DEEPSEEK3),
    **dict.fromkeys(["kimi_k2", "glm_moe_dsa", "glm4_moe_lite"], DEEPSEEK3),
    "glm4_moe": GLM4_MOE,
    "minimax_m2": _of(LLAMA, qk_norm="layer", router_bias=True),
    "gpt_oss": _of(LLAMA, sinks=True, router_bias=True, expert_bias=True, defaults={"attention_bias": True}),
    "mimo_v2_flash": _of(LLAMA, router_bias=True),
    **dict.fromkeys(["step3p5", "step3p7"], LLAMA),
    **dict.fromkeys(["mamba", "falcon_mamba"], MAMBA),
    "mamba2": _of(MAMBA, defaults={"tie_word_embeddings": False, "n_groups": 8}),
    "nemotron_h": NEMOTRON_H,
    "jamba": JAMBA,
    "bamba": BAMBA,
    "granitemoehybrid": BAMBA,
    "falcon_h1": BAMBA,
    **dict.fromkeys(
        ["lfm2", "lfm2_moe"],
        _of(LLAMA, qk_norm="head", defaults={"tie_word_embeddings": True, "conv_L_cache": 3}),
    ),
    **dict.fromkeys(["rwkv", "rwkv5"], RWKV),
}  # fmt: skip
"""``model_type`` to its traits."""
