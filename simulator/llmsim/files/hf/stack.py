"""Which kind of mixer each layer of the stack has."""

from __future__ import annotations

from typing import Literal

from llmsim.files.hf.fields import Fields

MixerKind = Literal["full", "sliding", "chunked", "linear", "mamba", "conv", "rwkv", "parallel", "ffn", "moe"]
"""``ffn`` and ``moe`` are layers without a mixer, as Nemotron-H writes them."""

_ATTENTION_LAYERS: dict[str, MixerKind] = {"full_attn_idxs": "conv", "attn_layer_indices": "mamba"}
"""Fields that list the attention layers, and what the others are then (LFM2, Bamba)."""

_NAMES: dict[str, MixerKind] = {
    "full_attention": "full",
    "attention": "full",
    "sliding_attention": "sliding",
    "chunked_attention": "chunked",
    "linear_attention": "linear",
    "mamba": "mamba",
    "mamba2": "mamba",
    "conv": "conv",
    "mlp": "ffn",
    "moe": "moe",
    "M": "mamba",
    "*": "full",
    "-": "ffn",
    "E": "moe",
}
"""Words of ``layer_types`` and letters of ``hybrid_override_pattern``."""


def mixer_kinds(f: Fields, layers: int) -> list[MixerKind]:
    """The kind of each layer, in order.

    Precedence: a list with an entry per layer; then lists and periods that single layers out; then a
    field that makes all layers alike.
    """
    named = _named(f, layers)
    if named is not None:
        return named
    special = _singled_out(f, layers)
    if special is not None:
        return special
    return [_uniform(f)] * layers


def _named(f: Fields, layers: int) -> list[MixerKind] | None:
    """Kinds from a list (or a string of letters) that names each layer's."""
    pattern = f.get("hybrid_override_pattern")
    if isinstance(pattern, str):
        if len(pattern) != layers:
            f.complain(
                "hybrid_override_pattern", f"has {len(pattern)} layers, but num_hidden_layers is {layers}"
            )
        return _translate(f, "hybrid_override_pattern", list(pattern))
    for field in ("layer_types", "layers_block_type"):
        names = f.per_layer(field, layers)
        if names is not None:
            return _translate(f, field, names)
    windows = f.per_layer("hybrid_layer_pattern", layers)
    return windows and ["sliding" if window else "full" for window in windows]


def _translate(f: Fields, field: str, names: list[str]) -> list[MixerKind]:
    unknown = sorted({str(name) for name in names if name not in _NAMES})
    if unknown:
        f.complain(field, f"has kinds of layer that are not known: {', '.join(unknown)}")
    return [_NAMES.get(name, "full") for name in names]


def _singled_out(f: Fields, layers: int) -> list[MixerKind] | None:
    """Kinds from fields that say which layers differ from the others."""
    if f.has("linear_num_value_heads"):
        period = f.count("full_attention_interval")
        return ["linear" if (i + 1) % period else "full" for i in range(layers)]
    if f.has("attn_layer_period"):
        period, offset = f.count("attn_layer_period"), f.count("attn_layer_offset", default=0, least=0)
        return ["full" if i % period == offset else "mamba" for i in range(layers)]
    for field, other in _ATTENTION_LAYERS.items():
        if f.has(field):
            numbers = f.layer_numbers(field)
            return ["full" if i in numbers else other for i in range(layers)]
    if f.has("attention_chunk_size") and f.has("interleave_moe_layer_step"):
        return _llama4(f, layers)
    return _windows(f, layers)


def _windows(f: Fields, layers: int) -> list[MixerKind] | None:
    """Which layers have the sliding window: all but every n-th (Gemma), or those from one on (Qwen 2)."""
    if f.has("sliding_window_pattern", "_sliding_window_pattern") and f.has("sliding_window"):
        return _window_pattern(f, layers)
    if f.has("use_sliding_window"):
        first = f.count("max_window_layers", default=0, least=0)
        slides = f.flag("use_sliding_window") and f.has("sliding_window")
        return ["sliding" if slides and i >= first else "full" for i in range(layers)]
    return None


def _llama4(f: Fields, layers: int) -> list[MixerKind]:
    """Llama 4: layers with rotary positions (a 1 in ``no_rope_layers``) attend within chunks."""
    rotary = f.per_layer("no_rope_layers", layers)
    if rotary is None:
        period = f.count("no_rope_layer_interval", default=4)
        rotary = [(i + 1) % period for i in range(layers)]
    return ["chunked" if flag else "full" for flag in rotary]


def _window_pattern(f: Fields, layers: int) -> list[MixerKind]:
    """Gemma, Cohere 2: every n-th layer is full; EXAONE 4 writes the period in letters (``LLLG``)."""
    pattern = f.get("sliding_window_pattern", "_sliding_window_pattern")
    if not isinstance(pattern, str):
        pattern = "L" * (f.count("sliding_window_pattern", "_sliding_window_pattern") - 1) + "G"
    return ["full" if pattern[i % len(pattern)] == "G" else "sliding" for i in range(layers)]


def _uniform(f: Fields) -> MixerKind:
    if f.has("attention_hidden_size"):
        return "rwkv"
    if f.has("mamba_d_ssm"):
        return "parallel"
    if f.has("state_size", "mamba_d_state", "ssm_state_size"):
        return "mamba"
    return "sliding" if f.has("sliding_window") else "full"
