"""Which fields of a config.json need no reader: those that give no shape, or say again what another says.

Anything else that nobody read and that looks like a shape is reported, so that a model is never taken
for a simpler one in silence.
"""

from __future__ import annotations


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


SHAPE_WORDS = _words(
    """
    block blocks conv d dim dims expand expert experts ffn group groups head heads hidden inner interval
    kernel kv layer layers mlp moe n num pattern period rank ratio ratios size sizes state step topk width
    window
    """
)
"""Parts of a field's name that tend to mean a shape."""

OTHER_WORDS = _words(
    """
    act activation alpha attn aux audio bias cache coef cuda dropout dtype eps epsilon flash hash hc id
    ids image impl index indexer init initializer labels logit logits loss mamba2 max method mm mtp
    multiplier multipliers nextn norm offset pdrop predict pretraining prefill projector quantization
    residual return rope rotary router scale scaling score scoring softcapping softmax std summary swiglu
    theta time token tokens transformers type use version video vision vocab
    """
)
"""Parts of a field's name that mean something else: training, sampling, positions, other modalities …"""

REDUNDANT = _words(
    """
    attention_chunk_size attention_hidden_size attention_sink_size chunk_size conv_L_cache conv_kernel
    ep_size expand ffn_hidden_size full_attention_interval full_attn_mod head_dim
    hidden_size_per_layer_input intermediate_size intermediate_size_mlp interleave_moe_layer_step
    is_llama_config kv_channels mamba_chunk_size mamba_d_conv mamba_d_head mamba_d_state mamba_dt_rank
    mamba_expand mamba_head_dim mamba_n_groups mamba_n_heads mamba_num_heads mlp_only_layers
    moe_intermediate_size moe_layer_freq n_group n_groups n_shared_experts no_rope_layer_interval
    no_rope_layers num_attention_heads num_expert_group num_experts_per_tok num_key_value_heads
    num_kv_heads num_kv_shared_layers num_limited_groups num_ln_in_parallel_attn qk_head_dim
    query_pre_attn_scalar rescale_every shared_expert_intermediate_size shared_intermediate_size
    sliding_window sliding_window_pattern sliding_window_size ssm_state_size state_size topk_group
    """
)
"""Fields that matter in some models only: where nobody read them, another field had settled the matter."""
