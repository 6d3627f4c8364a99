"""Real config.json files against what their publishers say of the models."""

from __future__ import annotations

from pathlib import Path

import pytest

from llmsim.files.hf_config import load_config
from llmsim.spec.model import ModelShape

DATA = Path(__file__).parents[2].parent / "shared/data/models"
BF16 = 2

pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="the folder of published configs is not here")

PUBLISHED: list[tuple[str, float, int, str]] = [
    # Hugging Face id, parameters, KV bytes per token (2 · layers · KV heads · head width · 2 B), source
    ("01-ai/Yi-34B", 34.4e9, 2 * 60 * 8 * 128 * BF16, "model card: 34B; checkpoint index: 34.4B"),
    ("CohereForAI/aya-23-8B", 8.03e9, 2 * 32 * 8 * 128 * BF16, "model card: 8.03B"),
    ("HuggingFaceTB/SmolLM2-360M", 362e6, 2 * 32 * 5 * 64 * BF16, "model card: 362M"),
    ("MiniMaxAI/MiniMax-M2.5", 230e9, 2 * 62 * 8 * 128 * BF16, "model card: 230B total, 10B active"),
    ("Qwen/Qwen1.5-MoE-A2.7B", 14.3e9, 2 * 24 * 16 * 128 * BF16, "model card: 14.3B total, 2.7B active"),
    ("Qwen/Qwen2.5-7B-Instruct", 7.61e9, 2 * 28 * 4 * 128 * BF16, "model card: 7.61B"),
    ("Qwen/Qwen3-0.6B", 0.6e9, 2 * 28 * 8 * 128 * BF16, "model card: 0.6B"),
    ("Qwen/Qwen3-8B", 8.2e9, 2 * 36 * 8 * 128 * BF16, "model card: 8.2B"),
    ("Qwen/Qwen3-14B", 14.8e9, 2 * 40 * 8 * 128 * BF16, "model card: 14.8B"),
    ("Qwen/Qwen3-32B", 32.8e9, 2 * 64 * 8 * 128 * BF16, "model card: 32.8B"),
    ("Qwen/Qwen3-30B-A3B", 30.5e9, 2 * 48 * 4 * 128 * BF16, "model card: 30.5B total, 3.3B active"),
    ("Qwen/Qwen3-235B-A22B", 235e9, 2 * 94 * 4 * 128 * BF16, "model card: 235B total, 22B active"),
    ("Qwen/Qwen3.5-27B", 27e9, 2 * 16 * 4 * 256 * BF16, "model card: 27B; 16 of 64 layers attend"),
    ("Qwen/Qwen3.5-397B-A17B", 397e9, 2 * 15 * 2 * 256 * BF16, "model card: 397B total, 17B active"),
    ("RWKV/rwkv-5-world-3b", 3.06e9, 0, "Eagle and Finch, arXiv 2404.05892: 3.06B; no KV cache"),
    ("TinyLlama/TinyLlama-1.1B-Chat-v1.0", 1.1e9, 2 * 22 * 4 * 64 * BF16, "model card: 1.1B"),
    ("XiaomiMiMo/MiMo-V2-Flash", 309e9, (9 * 4 + 39 * 8) * (192 + 128) * BF16, "arXiv 2601.02780: 309B"),
    ("allenai/OLMo-2-32B", 32.2e9, 2 * 64 * 8 * 128 * BF16, "model card: 32.2B"),
    ("bigcode/starcoder2", 7.17e9, 2 * 32 * 4 * 128 * BF16, "StarCoder2-7B's checkpoint index: 7.17B"),
    ("codellama/CodeLlama-34b-Instruct-hf", 33.7e9, 2 * 48 * 8 * 128 * BF16, "model card: 33.7B"),
    ("deepseek-ai/DeepSeek-V2-Lite", 15.7e9, 27 * (512 + 64) * BF16, "arXiv 2405.04434: 15.7B"),
    ("deepseek-ai/DeepSeek-V3", 671e9, 61 * (512 + 64) * BF16, "arXiv 2412.19437: 671B, 70 KB per token"),
    ("deepseek-ai/DeepSeek-V3.2", 671e9, 61 * (512 + 64 + 128) * BF16, "model card: 671B; indexer keys"),
    ("deepseek-ai/DeepSeek-V4-Flash", 284e9,
     (43 * 512 + 21 * (512 + 128) // 4 + 20 * 512 // 128) * BF16, "model card: 284B total, 13B active"),
    ("google/gemma-2-2b-it", 2.61e9, 2 * 26 * 4 * 256 * BF16, "arXiv 2408.00118, table 2: 590M + 2,024M"),
    ("google/gemma-2-9b-it", 9.24e9, 2 * 42 * 8 * 256 * BF16, "arXiv 2408.00118: 918M + 8,324M"),
    ("google/gemma-2-27b-it", 27.2e9, 2 * 46 * 16 * 128 * BF16, "arXiv 2408.00118: 1,180M + 26,047M"),
    ("google/gemma-2b", 2.51e9, 2 * 18 * 1 * 256 * BF16, "arXiv 2403.08295: 524M + 1,982M"),
    ("google/gemma-3-1b-it", 1.0e9, 2 * 26 * 1 * 256 * BF16, "arXiv 2503.19786: 302M + 698M"),
    ("google/gemma-4-26B-A4B", 25.2e9, 2 * (25 * 8 * 256 + 5 * 2 * 512) * BF16, "model card: 25.2B"),
    ("meta-llama/Llama-2-7b-hf", 6.74e9, 2 * 32 * 32 * 128 * BF16, "checkpoint index: 6.74B"),
    ("meta-llama/Llama-2-70b-hf", 69.0e9, 2 * 80 * 8 * 128 * BF16, "checkpoint index: 69.0B"),
    ("meta-llama/Llama-3.2-1B-Instruct", 1.24e9, 2 * 16 * 8 * 64 * BF16, "model card: 1.23B"),
    ("meta-llama/Llama-3.2-3B-Instruct", 3.21e9, 2 * 28 * 8 * 128 * BF16, "model card: 3.21B"),
    ("meta-llama/Llama-4-Maverick-17B-128E-Instruct", 400e9, 2 * 48 * 8 * 128 * BF16, "model card: 400B"),
    ("meta-llama/Meta-Llama-3.1-8B", 8.03e9, 2 * 32 * 8 * 128 * BF16, "checkpoint index: 8.03B"),
    ("meta-llama/Meta-Llama-3.1-70B", 70.6e9, 2 * 80 * 8 * 128 * BF16, "checkpoint index: 70.6B"),
    ("meta-llama/Meta-Llama-3.1-405B", 405e9, 2 * 126 * 8 * 128 * BF16, "arXiv 2407.21783: 405B"),
    ("microsoft/Phi-3.5-mini-instruct", 3.82e9, 2 * 32 * 32 * 96 * BF16, "model card: 3.8B; index: 3.82B"),
    ("microsoft/phi-2", 2.78e9, 2 * 32 * 32 * 80 * BF16, "checkpoint index: 2.78B"),
    ("mistralai/Mistral-7B-Instruct-v0.3", 7.25e9, 2 * 32 * 8 * 128 * BF16, "checkpoint index: 7.25B"),
    ("mistralai/Mistral-Nemo-Instruct-2407", 12.2e9, 2 * 40 * 8 * 128 * BF16, "checkpoint index: 12.2B"),
    ("mistralai/Mixtral-8x7B-v0.1", 46.7e9, 2 * 32 * 8 * 128 * BF16, "publisher: 46.7B total, 12.9B active"),
    ("mistralai/Mixtral-8x22B-v0.1", 141e9, 2 * 56 * 8 * 128 * BF16, "publisher: 141B total, 39B active"),
    ("nvidia/Llama-3.1-70B-Instruct-FP8", 70.6e9, 2 * 80 * 8 * 128 * 1, "as Llama 3.1 70B; FP8 KV cache"),
    ("nvidia/NVIDIA-Nemotron-3-Nano-30B-A3B-BF16", 31.6e9, 2 * 6 * 2 * 128 * BF16, "arXiv 2512.20848: 31.6B"),
    ("nvidia/Nemotron-H-56B-Base-8K", 56e9, 2 * 10 * 8 * 128 * BF16, "arXiv 2504.03624: 56B, 10 attend"),
    ("openai/gpt-oss-20b", 20.9e9, 2 * 24 * 8 * 64 * BF16, "model card, table 1: 20.91B"),
    ("openai/gpt-oss-120b", 116.8e9, 2 * 36 * 8 * 64 * BF16, "model card, table 1: 116.83B"),
    ("openai-community/gpt2", 124e6, 2 * 12 * 12 * 64 * BF16, "model card: 124M"),
    ("stepfun-ai/Step-3.7-Flash", 196e9, 2 * 45 * 8 * 128 * BF16, "model card: 196B without vision"),
    ("togethercomputer/RedPajama-INCITE-3B_gpt_neox", 2.8e9, 2 * 32 * 32 * 80 * BF16, "model card: 2.8B"),
    ("zai-org/GLM-5", 744e9, 78 * (512 + 64 + 128) * BF16, "model card: 744B total, 40B active"),
]  # fmt: skip

ACTIVE = [
    ("Qwen/Qwen3-30B-A3B", 3.3e9),
    ("Qwen/Qwen3-235B-A22B", 22e9),
    ("deepseek-ai/DeepSeek-V3", 37e9),
    ("google/gemma-4-26B-A4B", 3.8e9),
    ("meta-llama/Llama-4-Maverick-17B-128E-Instruct", 17e9),
    ("mistralai/Mixtral-8x7B-v0.1", 12.9e9),
    ("mistralai/Mixtral-8x22B-v0.1", 39e9),
    ("nvidia/NVIDIA-Nemotron-3-Nano-30B-A3B-BF16", 3.6e9),
]
"""Active parameters with embeddings, as the publishers count them."""


def model(repository: str) -> ModelShape:
    """The model of a Hugging Face repository, from its config."""
    return load_config(DATA / f"{repository.replace('/', '--')}.json")


def real_files() -> list[Path]:
    """Published configs: neither class defaults nor quantization side files."""
    return [f for f in sorted(DATA.glob("[!_]*.json")) if ".hf_quant_config" not in f.name]


def test_there_are_65_real_files() -> None:
    """No published config goes untested."""
    assert len(real_files()) == 65


@pytest.mark.parametrize("path", real_files(), ids=lambda path: path.stem)
def test_every_real_config_loads(path: Path) -> None:
    """Every published config is read to the last layer (issue 2, What must work 3)."""
    shape = load_config(path)

    assert shape.parameters() > 1e8
    assert all(group.count > 0 for group in shape.layers)


@pytest.mark.parametrize(("repository", "parameters", "_kv", "_source"), PUBLISHED, ids=str)
def test_parameters_match_the_published_size(
    repository: str, parameters: float, _kv: int, _source: str
) -> None:
    """F1 gives the published number of parameters within 1%."""
    assert model(repository).parameters() == pytest.approx(parameters, rel=0.01)


@pytest.mark.parametrize(("repository", "_parameters", "kv_bytes", "_source"), PUBLISHED, ids=str)
def test_kv_bytes_per_token(repository: str, _parameters: float, kv_bytes: int, _source: str) -> None:
    """F4 gives the KV bytes per token that layers, heads and widths make by hand."""
    shape = model(repository)
    is_fp8 = shape.quantization is not None and shape.quantization.kv_cache == "fp8"

    assert kv_bytes == shape.kv_elements_per_token() * (1 if is_fp8 else BF16)


@pytest.mark.parametrize(("repository", "active"), ACTIVE)
def test_active_parameters_match_the_published_number(repository: str, active: float) -> None:
    """A token passes through the experts it is sent to and everything else: the published number."""
    assert model(repository).active_parameters() == pytest.approx(active, rel=0.02)


@pytest.mark.parametrize("path", sorted(DATA.glob("_defaults--*.json")), ids=lambda path: path.stem)
def test_class_defaults_load_where_they_say_enough(path: Path) -> None:
    """transformers' class defaults are whole models, but for DeepSeek-V2's, which leaves a number open."""
    if path.stem == "_defaults--DeepseekV2Config":
        pytest.skip("num_experts_per_tok is null in it; the error is tested with the reader's")

    assert load_config(path).parameters() > 0
