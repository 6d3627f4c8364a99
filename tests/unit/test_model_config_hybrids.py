"""Reading a config.json whose layers mix attention with recurrences."""

from __future__ import annotations

from typing import Any

from model_configs import LLAMA

from llmsim.files.hf_config import read_config
from llmsim.spec.model import Attention, ModelShape, MoEFFN, ParallelMixers, Recurrent


def read(config: dict[str, Any] | None = None, **changes: Any) -> ModelShape:
    """The model of LLAMA (or ``config``) with some fields changed."""
    return read_config({**(config or LLAMA), **changes}, name="tiny", source="config.json")


def test_jamba_mixes_mamba_attention_and_experts() -> None:
    """Attention in every 8th layer from the 5th on, experts in every second."""
    shape = read(model_type="jamba", num_hidden_layers=16, mamba_dt_rank=32)
    attends = sum(group.count for group in shape.layers if isinstance(group.mixer, Attention))
    sparse = sum(group.count for group in shape.layers if isinstance(group.ffn, MoEFFN))

    assert (2, 8) == (attends, sparse)


def test_falcon_h1_runs_both_mixers_in_each_layer() -> None:
    """Attention and Mamba-2 side by side: a KV cache and a state."""
    shape = read(model_type="falcon_h1", mamba_d_ssm=512, mamba_n_heads=8, mamba_d_head=64, mamba_d_state=16)

    assert isinstance(shape.layers[0].mixer, ParallelMixers)
    assert 4 * 2 * 2 * 64 == shape.kv_elements_per_token()
    assert shape.state_bytes_per_sequence() > 0


def test_a_hybrid_pattern_in_letters() -> None:
    """Nemotron-H: M is Mamba-2, * attention, - a feed-forward block, E experts; one norm each."""
    shape = read(
        model_type="nemotron_h", hybrid_override_pattern="MM*-", mamba_num_heads=8, mamba_head_dim=64,
        ssm_state_size=16, n_groups=1,
    )  # fmt: skip

    assert ["recurrent", "attention", "none"] == [group.mixer.kind for group in shape.layers]
    assert ["none", "none", "dense"] == [group.ffn.kind for group in shape.layers]


def test_mamba_state_is_float32_unless_the_config_says() -> None:
    """``mamba_ssm_cache_dtype`` names the state's format."""
    mamba = {
        **{k: v for k, v in LLAMA.items() if k != "intermediate_size"},
        "model_type": "mamba",
        "state_size": 16,
    }
    mixer = read(mamba).layers[0].mixer

    assert isinstance(mixer, Recurrent)
    assert 1024 * 16 + 1024 * 3 == mixer.state_size
    assert 2 * read(mamba, mamba_ssm_cache_dtype="bfloat16").state_bytes_per_sequence() == (
        read(mamba).state_bytes_per_sequence()
    )
