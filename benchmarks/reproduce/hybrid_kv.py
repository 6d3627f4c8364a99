"""vLLM's hybrid KV cache manager: what its startup logs say that pools hold."""

from __future__ import annotations

from pathlib import Path

from llmsim.cost.kv_layout import KVLayout, kv_layout
from llmsim.cost.plan import Formats, ParallelPlan
from llmsim.files.catalog import model
from reproduce.page import Reproduction, relative

GEMMA_TOKENS, GEMMA_LONGEST, GEMMA = 317_136, 3072, 102.78
"""Gemma-3-4B: ``GPU KV cache size``, ``max_model_len``, and ``Maximum concurrency``."""
GPT_OSS_LONGEST, GPT_OSS, GPT_OSS_UNIFORM = 131_072, 196.83, 104.71
"""gpt-oss-120b: ``max_model_len``; ``Maximum concurrency`` with the manager and without it."""
QWEN_TOKENS, QWEN_LONGEST, QWEN, QWEN_BLOCK = 290_864, 32_768, 33.04, 784
"""Qwen3.5-27B; 290,864 tokens are 371 blocks of 784 for each of four groups."""
QWEN_SHARDED_BLOCK = 1568
"""Of Qwen3.8-27B, whose layers are alike, with TP2 and fp8 KV."""


def layout(name: str, new_tokens: int, block: int = 16, tp: int = 1, kv: str = "bf16") -> KVLayout:
    """The groups of a model's layers."""
    found = kv_layout(model(name).layers, ParallelPlan(tp), Formats(kv=kv), block, new_tokens)
    assert found is not None
    return found


def reproduce(data: Path) -> Reproduction:
    """Logs of three models; ``data`` is not needed."""
    gemma, gpt_oss = layout("gemma-3-4b", 8192), layout("gpt-oss-120b", 8192, 64)
    qwen, sharded = layout("qwen3.5-27b", 16_384), layout("qwen3.5-27b", 8192, tp=2, kv="fp8")
    gain = gpt_oss.concurrency(gpt_oss.num_groups * GPT_OSS_LONGEST // 64, GPT_OSS_LONGEST)
    return Reproduction(
        "vLLM: pools of models with windows and states",
        "startup logs of vLLM 0.11 (ovg-project/kvcached#215), 0.19 (vllm-project/vllm#40691), and of 2026 "
        "(gpt-oss-120b with and without `--disable-hybrid-kv-cache-manager`, a comparison of LMCache of 2026-09-02; "
        "mitchross/talos-argocd-proxmox#1995)",
        "The number of blocks is the log's; how layers are put in groups, and what a sequence takes, is ours.",
        [
            relative(
                "Gemma-3-4B: sequences of 3,072 tokens in 317,136",
                GEMMA,
                gemma.concurrency(GEMMA_TOKENS // 16 * gemma.num_groups, GEMMA_LONGEST),
                within=0.01,
            ),
            relative(
                "gpt-oss-120b: sequences of 131,072 tokens, against a pool that keeps all",
                GPT_OSS / GPT_OSS_UNIFORM,
                gain,
                within=0.01,
                unit="×",
                digits=4,
            ),
            relative("Qwen3.5-27B: tokens in a block", QWEN_BLOCK, qwen.block_tokens, within=0.03, digits=0),
            relative(
                "Qwen3.5-27B: sequences of 32,768 tokens",
                QWEN,
                qwen.concurrency(QWEN_TOKENS // QWEN_BLOCK * 4 + 3, QWEN_LONGEST),
                within=0.03,
            ),
            relative(
                "the same layers, TP2, fp8 KV: tokens in a block",
                QWEN_SHARDED_BLOCK,
                sharded.block_tokens,
                within=0.03,
                digits=0,
            ),
        ],
        [
            f"Gemma-3-4B: {gemma.in_words()}; one place of the last group is padding, as the log says.",
            "gpt-oss-120b: blocks of 64 tokens, and 8,192 new tokens an iteration: a window and these are what a "
            "prompt takes while it is computed.",
            "Qwen3.5: a page of attention has to hold a layer's state. The catalogue keeps the convolution's window in "
            "float32, vLLM in bf16: 2% more.",
        ],
    )
