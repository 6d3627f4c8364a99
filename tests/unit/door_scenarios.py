"""Scenario files for the tests of what users type."""

from __future__ import annotations

import json
from pathlib import Path

CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 512,
    "intermediate_size": 1024,
    "num_attention_heads": 8,
    "num_key_value_heads": 8,
    "num_hidden_layers": 4,
    "vocab_size": 1000,
    "max_position_embeddings": 2048,
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
    "hidden_act": "silu",
}
"""A small model, of one tenth of a second's work per thousand requests."""

SCENARIO = """\
name: tiny
model: ./config.json
fleet:
  - name: main
    accelerator: h100-sxm
engine:
  max_num_seqs: 64
workload:
  arrival: {kind: poisson, request_rate: 10}
  input_tokens: 100
  output_tokens: 20
  num_requests: 30
slo: {ttft_ms: 500}
"""


def write_scenario(folder: Path, text: str = SCENARIO, *, old: str = "", new: str = "") -> Path:
    """A scenario file with its model beside it; ``old`` in the text, which must be there, becomes ``new``."""
    if old not in text:
        raise ValueError(f"{old!r} is not in the scenario")
    (folder / "config.json").write_text(json.dumps(CONFIG))
    path = folder / "tiny.yaml"
    path.write_text(text.replace(old, new, 1) if old else text)
    return path
