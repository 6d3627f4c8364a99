"""Reading a config.json by its fields: precedence and defaults."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from model_configs import LLAMA

from llmsim.files.hf_config import load_config, read_config
from llmsim.spec.attention import Span
from llmsim.spec.model import (
    Attention,
    DenseFFN,
    LatentAttention,
    ModelShape,
    MoEFFN,
)


def read(config: dict[str, Any] | None = None, assume: str | None = None, **changes: Any) -> ModelShape:
    """The model of LLAMA (or ``config``) with some fields changed."""
    return read_config({**(config or LLAMA), **changes}, name="tiny", source="config.json", assume=assume)


def attention(shape: ModelShape, group: int = 0) -> Attention:
    """The attention of a group of layers."""
    mixer = shape.layers[group].mixer
    assert isinstance(mixer, Attention)
    return mixer


def test_a_plain_config() -> None:
    """F1 of a grouped-query, gated, untied model, by hand."""
    layer = 512 * (8 + 2 * 2) * 64 + 512 * 512 + 3 * 512 * 1024 + 2 * 512

    assert 4 * layer + 2 * 1000 * 512 + 512 == read().parameters()


def test_the_name_does_not_matter() -> None:
    """Fields decide, not what the model or its class is called."""
    assert read() == read(_name_or_path="someone/else", architectures=["OtherForCausalLM"])


def test_missing_kv_heads_mean_one_per_query_head() -> None:
    """transformers: ``num_key_value_heads`` defaults to ``num_attention_heads``."""
    assert attention(read(num_key_value_heads=None)).num_kv_heads == 8


def test_head_dim_goes_before_the_quotient() -> None:
    """``head_dim`` need not be ``hidden_size / num_attention_heads`` (Mistral Nemo, Qwen 3)."""
    assert attention(read(head_dim=128)).head_dim == 128
    assert attention(read()).head_dim == 64


def test_multi_query_means_one_kv_head() -> None:
    """GPT-BigCode and Falcon-7B: one key and value for all heads, whatever ``num_kv_heads`` says."""
    falcon = {
        "model_type": "falcon",
        "multi_query": True,
        "num_kv_heads": 8,
        "new_decoder_architecture": False,
    }

    assert attention(read(**falcon, num_key_value_heads=None)).num_kv_heads == 1
    assert (
        attention(read(**{**falcon, "new_decoder_architecture": True}, num_key_value_heads=None)).num_kv_heads
        == 8
    )


@pytest.mark.parametrize(
    ("model_type", "tied"),
    [("llama", False), ("gemma2", True), ("cohere", True), ("gpt_neox", False), ("opt", True)],
)
def test_tied_embeddings_default_as_in_transformers(model_type: str, tied: bool) -> None:
    """Without the field, each family's own default holds; the field goes before it."""
    assert tied == read(model_type=model_type).tied_embeddings
    assert read(model_type=model_type, tie_word_embeddings=not tied).tied_embeddings == (not tied)


def test_null_keeps_a_familys_default_away() -> None:
    """Mistral without ``sliding_window`` has 4096 (v0.1); with null it has none (v0.3)."""
    longer = {"model_type": "mistral", "max_position_embeddings": 32768}

    assert [Span("window", 4096)] == read(**longer).spans()
    assert [Span("full")] == read(**longer, sliding_window=None).spans()


def test_a_window_as_long_as_the_context_is_full_attention() -> None:
    """Phi-3's window of 262,144 never slides in a context of 131,072."""
    assert [Span("full")] == read(model_type="phi3", sliding_window=4096).spans()


def test_layer_types_go_before_a_pattern() -> None:
    """A list with an entry per layer is more exact than a period."""
    types = ["full_attention", "sliding_attention", "sliding_attention", "sliding_attention"]
    shape = read(model_type="gemma3", layer_types=types, sliding_window_pattern=2, sliding_window=256)

    assert [1, 3] == [group.count for group in shape.layers]


def test_gemma_3_is_full_every_sixth_layer() -> None:
    """Five sliding layers to a full one (arXiv 2503.19786)."""
    shape = read(model_type="gemma3", num_hidden_layers=12, sliding_window=256)

    assert {"window": 10, "full": 2} == {
        attention(shape, i).span: g.count for i, g in enumerate(shape.layers)
    }


def test_qwen_2_windows_only_when_told() -> None:
    """``sliding_window`` counts for nothing while ``use_sliding_window`` is false."""
    assert [Span("full")] == read(model_type="qwen2", sliding_window=128, use_sliding_window=False).spans()


def test_qwen_2_biases_queries_keys_and_values() -> None:
    """Qwen 2's code has biases that no field names; only the output goes without."""
    mixer = attention(read(model_type="qwen2"))

    assert (True, False) == (mixer.qkv_bias, mixer.out_bias)


def test_parallel_residual() -> None:
    """GPT-NeoX asks for it by field, Cohere and phi-2 by nature."""
    assert read(model_type="gpt_neox", use_parallel_residual=True).parallel_residual
    assert not read(model_type="gpt_neox", use_parallel_residual=False).parallel_residual
    assert read(model_type="cohere").parallel_residual


def test_opt_projects_narrow_embeddings() -> None:
    """OPT-350M: embeddings of 512 are projected to 1024 and back; two position rows are spare."""
    opt = {"model_type": "opt", "ffn_dim": 2048, "intermediate_size": None, "word_embed_proj_dim": 256}
    shape = read(**opt)

    assert 1000 * 256 == shape.embedding_parameters
    assert 2 * 256 * 512 == shape.other_parameters
    assert 4096 + 2 == shape.learned_positions


def test_dense_layers_come_before_experts() -> None:
    """``first_k_dense_replace`` layers at the bottom have a dense block of the general width."""
    shape = read(
        model_type="deepseek_v3", n_routed_experts=16, num_experts_per_tok=2, moe_intermediate_size=128,
        n_shared_experts=2, first_k_dense_replace=1, kv_lora_rank=64, q_lora_rank=None, qk_nope_head_dim=32,
        qk_rope_head_dim=16, v_head_dim=32,
    )  # fmt: skip
    dense, sparse = (group.ffn for group in shape.layers)

    assert isinstance(shape.layers[0].mixer, LatentAttention)
    assert isinstance(dense, DenseFFN)
    assert isinstance(sparse, MoEFFN)
    assert 1024 == dense.intermediate_size
    assert 2 * 128 == sparse.shared_intermediate_size
    assert [1, 3] == [group.count for group in shape.layers]


@pytest.mark.parametrize(
    ("changes", "sparse"),
    [
        ({"decoder_sparse_step": 2}, 2),
        ({"mlp_only_layers": [0, 3]}, 2),
        ({"moe_layer_freq": [0, 1, 1, 1]}, 3),
        ({}, 4),
    ],
)
def test_which_layers_have_experts(changes: dict[str, Any], sparse: int) -> None:
    """Steps, exceptions and lists each say which layers are mixtures of experts."""
    experts = {
        "model_type": "qwen3_moe",
        "num_experts": 8,
        "num_experts_per_tok": 2,
        "moe_intermediate_size": 64,
    }
    shape = read(**experts, **changes)

    assert sparse == sum(group.count for group in shape.layers if isinstance(group.ffn, MoEFFN))


def test_prediction_heads_are_left_out() -> None:
    """A multi-token-prediction layer is not part of the served model."""
    assert read() == read(num_nextn_predict_layers=1, mtp_num_hidden_layers=1)


def test_the_text_part_of_a_multimodal_config() -> None:
    """The language model's fields count; what it leaves out comes from the level above it."""
    config = {
        "model_type": "llava", "torch_dtype": "float16", "tie_word_embeddings": True, "hidden_size": 7,
        "text_config": LLAMA, "vision_config": {"hidden_size": 99, "num_hidden_layers": 99},
    }  # fmt: skip

    assert read(torch_dtype="float16", tie_word_embeddings=True) == read(config)


def test_float32_checkpoints_are_served_in_bfloat16() -> None:
    """As under vLLM's ``dtype: auto``."""
    assert read(torch_dtype="float32").dtype == "bfloat16"
    assert read(dtype="torch.float16").dtype == "float16"


def test_the_file_beside_says_how_weights_are_stored(tmp_path: Path) -> None:
    """``hf_quant_config.json`` counts where the config itself says nothing."""
    side = {
        "quantization": {"quant_algo": "FP8", "kv_cache_quant_algo": "FP8", "exclude_modules": ["lm_head"]}
    }
    (tmp_path / "config.json").write_text(json.dumps(LLAMA))
    (tmp_path / "hf_quant_config.json").write_text(json.dumps(side))
    quantization = load_config(tmp_path / "config.json").quantization

    assert quantization is not None
    assert ({"attention": "fp8", "ffn": "fp8"}, "fp8") == (quantization.formats, quantization.kv_cache)
