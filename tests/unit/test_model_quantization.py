"""Forms of ``quantization_config``."""

from __future__ import annotations

from typing import Any

import pytest

from llmsim.errors import ModelConfigError
from llmsim.files.hf_config import read_config
from llmsim.spec.model import Quantization

MOE: dict[str, Any] = {
    "model_type": "qwen2_moe", "hidden_size": 512, "num_hidden_layers": 4, "num_attention_heads": 8,
    "vocab_size": 1000, "max_position_embeddings": 4096, "num_experts": 8, "num_experts_per_tok": 2,
    "moe_intermediate_size": 128, "shared_expert_intermediate_size": 256,
}  # fmt: skip

WEIGHTS = {"num_bits": 8, "type": "float", "strategy": "channel"}
ALL = ("attention", "ffn", "expert")


def quantized(config: dict[str, Any], **fields: Any) -> Quantization:
    """The quantization of a small mixture of experts with the given ``quantization_config``."""
    quantization = read_config(
        {**MOE, "quantization_config": config, **fields}, name="tiny", source="config.json"
    ).quantization
    assert quantization is not None
    return quantization


def compressed_tensors(
    weights: dict[str, Any], inputs: dict[str, Any] | None = None, **more: Any
) -> dict[str, Any]:
    """A compressed-tensors config of one group."""
    group = {"targets": ["Linear"], "weights": weights, "input_activations": inputs}
    return {"quant_method": "compressed-tensors", "config_groups": {"group_0": group}, **more}


@pytest.mark.parametrize(
    ("config", "weights", "activations", "group_size"),
    [
        ({"quant_method": "fp8", "weight_block_size": [128, 128]}, "fp8", "fp8", 128),
        ({"quant_method": "fbgemm_fp8"}, "fp8", "fp8", None),
        ({"quant_method": "awq", "bits": 4, "group_size": 128}, "int4", None, 128),
        ({"quant_method": "gptq", "bits": 8, "group_size": -1}, "int8", None, None),
        (
            {"quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_quant_type": "nf4"},
            "nf4",
            None,
            64,
        ),
        ({"quant_method": "bitsandbytes", "load_in_8bit": True}, "int8", "int8", None),
        ({"quant_method": "modelopt", "quant_algo": "NVFP4", "group_size": 16}, "nvfp4", "nvfp4", 16),
        (compressed_tensors(WEIGHTS, WEIGHTS), "fp8", "fp8", None),
        (compressed_tensors({"num_bits": 4, "type": "int", "group_size": 128}), "int4", None, 128),
        (
            compressed_tensors({"num_bits": 8, "type": "int"}, {"num_bits": 8, "type": "int"}),
            "int8",
            "int8",
            None,
        ),
        (compressed_tensors({"num_bits": 4, "type": "float", "group_size": 16}), "nvfp4", None, 16),
        (compressed_tensors({"num_bits": 4, "type": "float", "group_size": 32}), "mxfp4", None, 32),
    ],
)
def test_method(
    config: dict[str, Any], weights: str, activations: str | None, group_size: int | None
) -> None:
    """Each method says how weights and activations are stored, and how many weights share a scale."""
    found = quantized(config)

    assert (dict.fromkeys(ALL, weights), activations, group_size) == (
        found.formats, found.activations, found.group_size,
    )  # fmt: skip


def test_mxfp4_stores_experts_only() -> None:
    """gpt-oss keeps everything but its experts in bfloat16 (model card, §2)."""
    assert quantized({"quant_method": "mxfp4"}).formats == {"expert": "mxfp4"}


def test_expert_dtype_goes_before_the_method() -> None:
    """DeepSeek-V4 stores its experts in FP4 beside FP8 layers."""
    formats = quantized({"quant_method": "fp8"}, expert_dtype="fp4").formats

    assert {"attention": "fp8", "ffn": "fp8", "expert": "mxfp4"} == formats


def test_exceptions_for_every_layer_leave_a_role_alone() -> None:
    """An ``ignore`` list that names attention in each layer keeps attention in bfloat16."""
    ignored = [f"model.layers.{i}.self_attn.q_proj" for i in range(4)] + ["lm_head"]

    assert {"ffn", "expert"} == set(quantized(compressed_tensors(WEIGHTS, ignore=ignored)).formats)


def test_exceptions_for_one_layer_do_not() -> None:
    """A single layer kept in bfloat16 does not decide for the role."""
    ignored = ["model.layers.0.self_attn.q_proj", "model.layers.0.mlp.gate", "re:.*router"]

    assert set(ALL) == set(quantized(compressed_tensors(WEIGHTS, ignore=ignored)).formats)


def test_a_wildcard_names_all_layers() -> None:
    """``model.layers.*.self_attn`` means every layer."""
    config = {"quant_method": "fp8", "modules_to_not_convert": ["model.layers.*.self_attn"]}

    assert {"ffn", "expert"} == set(quantized(config).formats)


def test_kv_cache_scheme() -> None:
    """A checkpoint with scales for its KV cache names the cache's format."""
    assert quantized(compressed_tensors(WEIGHTS, kv_cache_scheme=WEIGHTS)).kv_cache == "fp8"
    assert quantized(compressed_tensors(WEIGHTS, kv_cache_scheme=None)).kv_cache is None


def test_an_unknown_method_is_refused() -> None:
    """The error quotes the method."""
    with pytest.raises(
        ModelConfigError, match="'quantization_config' has a quant_method that is not known: 'aqlm'"
    ):
        quantized({"quant_method": "aqlm"})


def test_nothing_said_means_nothing_quantized() -> None:
    """Without a config, weights are stored as they are served."""
    assert read_config(MOE, name="tiny", source="config.json").quantization is None
