"""Recurrent layers from a config.json: Mamba, Mamba-2, gated delta net, RWKV, short convolution."""

from __future__ import annotations

from typing import Literal

from llmsim.files.hf.families import Family
from llmsim.files.hf.fields import Fields
from llmsim.spec.model import Projection, Recurrent

_MAMBA2_HEADS = ("mamba_n_heads", "mamba_num_heads", "num_heads")
_STATE = ("mamba_d_state", "ssm_state_size", "state_size", "d_state")
_CONV = ("mamba_d_conv", "conv_kernel", "d_conv")
_EXPAND = ("mamba_expand", "expand")
_BYTES = {"float32": 4.0, "bfloat16": 2.0, "float16": 2.0}

Split = Literal["column", "row", "none"]


def read_recurrent(f: Fields, family: Family, d: int, kind: str) -> Recurrent:
    """The recurrent mixer of one layer of the given kind (see ``stack.MixerKind``)."""
    if kind == "linear":
        return _gated_delta_net(f, d)
    if kind == "conv":
        return _short_convolution(f, d)
    if kind == "rwkv":
        return _rwkv(f, d)
    if f.has(*_MAMBA2_HEADS):
        return _mamba2(f, d)
    return _mamba(f, d)


def _state_bytes(f: Fields) -> float:
    """Recurrences accumulate in float32 unless the config names another format for their state."""
    return _BYTES.get(str(f.get("mamba_ssm_cache_dtype", "mamba_ssm_dtype")), 4.0)


def _projection(name: str, k: int, n: int, split: Split = "column") -> Projection:
    return Projection(name=name, k=k, n=n, split=split)


def _mamba(f: Fields, d: int) -> Recurrent:
    """Mamba (arXiv 2312.00752). Jamba normalises the step and the two state projections."""
    inner = f.count(*_EXPAND, default=2) * d
    state, conv = f.count(*_STATE, default=16), f.count(*_CONV, default=4)
    rank = f.get("mamba_dt_rank", "time_step_rank")
    dt_rank = rank if isinstance(rank, int) else -(-d // 16)
    conv_bias = f.flag("mamba_conv_bias", "use_conv_bias", default=True)
    vectors = inner * (conv + conv_bias + 1 + state + 1)  # convolution, step bias, A, D
    vectors += dt_rank + 2 * state if f.has("mamba_dt_rank") else 0
    return Recurrent(
        family="mamba",
        projections=[
            _projection("in_proj", d, 2 * inner),
            _projection("x_proj", inner, dt_rank + 2 * state, "row"),
            _projection("dt_proj", dt_rank, inner),
            _projection("out_proj", inner, d, "row"),
        ],
        other_parameters=vectors,
        state_size=inner * (state + conv - 1),
        state_bytes_per_element=_state_bytes(f),
    )


def _mamba2(f: Fields, d: int) -> Recurrent:
    """Mamba-2 (arXiv 2405.21060): scalar decay per head, state projections shared by groups."""
    heads, inner = f.count(*_MAMBA2_HEADS), _mamba2_inner(f, d)
    state, conv = f.count(*_STATE, default=128), f.count(*_CONV, default=4)
    channels = inner + 2 * f.count("mamba_n_groups", "n_groups", default=1) * state
    conv_bias = f.flag("mamba_conv_bias", "use_conv_bias", default=True)
    gate_norm = inner if f.flag("mamba_rms_norm", default=True) else 0
    return Recurrent(
        family="mamba2",
        projections=[
            _projection("in_proj", d, inner + channels + heads),
            _projection("out_proj", inner, d, "row"),
        ],
        other_parameters=channels * (conv + conv_bias) + 3 * heads + gate_norm,
        state_size=inner * state + channels * (conv - 1),
        state_bytes_per_element=_state_bytes(f),
    )


def _mamba2_inner(f: Fields, d: int) -> int:
    """Width inside: its own field, else heads times head width, else the expansion of the model's width."""
    head_dim = f.get(
        "mamba_d_head", "mamba_head_dim", *(() if f.has("num_attention_heads") else ("head_dim",))
    )
    if f.has("mamba_d_ssm"):
        return f.count("mamba_d_ssm")
    if isinstance(head_dim, int):
        return f.count(*_MAMBA2_HEADS) * head_dim
    return f.count(*_EXPAND, default=2) * d


def _gated_delta_net(f: Fields, d: int) -> Recurrent:
    """Gated delta net (arXiv 2412.06464) as Qwen3-Next has it: a key-by-value matrix per value head."""
    key_heads, value_heads = f.count("linear_num_key_heads"), f.count("linear_num_value_heads")
    key_dim, value_dim = f.count("linear_key_head_dim"), f.count("linear_value_head_dim")
    conv = f.count("linear_conv_kernel_dim", default=4)
    values = value_heads * value_dim
    channels = 2 * key_heads * key_dim + values
    return Recurrent(
        family="gated_delta_net",
        projections=[
            _projection("in_proj_qkvz", d, channels + values),
            _projection("in_proj_ba", d, 2 * value_heads),
            _projection("out_proj", values, d, "row"),
        ],
        other_parameters=channels * conv + 2 * value_heads + value_dim,
        state_size=value_heads * key_dim * value_dim + channels * (conv - 1),
        state_bytes_per_element=_state_bytes(f),
    )


def _short_convolution(f: Fields, d: int) -> Recurrent:
    """LFM2's gated convolution over the last few tokens."""
    length = f.count("conv_L_cache")
    bias = f.flag("conv_bias")
    return Recurrent(
        family="short_convolution",
        projections=[_projection("in_proj", d, 3 * d), _projection("out_proj", d, d, "row")],
        other_parameters=d * length + (5 * d if bias else 0),
        state_size=d * (length - 1),
        state_bytes_per_element=2.0,
    )


def _rwkv(f: Fields, d: int) -> Recurrent:
    """RWKV's time mixing, and the receptance gate of its channel mixing.

    ``head_size`` marks version 5 (arXiv 2404.05892): a gate, and a matrix of state per head; without it,
    version 4 (arXiv 2305.13048): five vectors of state.
    """
    width = f.count("attention_hidden_size")
    head = f.count("head_size") if f.has("head_size") else None
    names = ["receptance", "key", "value", *(["gate"] if head else [])]
    vectors = (
        2 * width + len(names) * d + 2 * d + (2 * width if head else 0)
    )  # decay, bonus, mixes, group norm
    return Recurrent(
        family="rwkv5" if head else "rwkv4",
        projections=[
            *(_projection(f"time_{name}", d, width) for name in names),
            _projection("time_output", width, d, "row"),
            _projection("channel_receptance", d, d),
        ],
        other_parameters=vectors,
        state_size=width * head + 2 * d if head else 3 * width + 2 * d,
    )
