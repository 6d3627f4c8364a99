"""What can never run is refused before anything is simulated."""

from __future__ import annotations

import pytest

import llmsim
from llmsim.errors import ScenarioError

HEAD = "name: x\nmodel: llama-3.1-8b\nfleet: {accelerator: h100-sxm}\n"
WORK = (
    "workload: {arrival: {kind: poisson, request_rate: 5}, input_tokens: 512, output_tokens: 128, "
    "num_requests: 20}\n"
)


def run(tmp_path, *sets: str) -> llmsim.Result:
    path = tmp_path / "x.yaml"
    path.write_text(HEAD + WORK)
    return llmsim.run(llmsim.load(path, sets))


def test_a_fixed_length_larger_than_the_pool_is_an_error(tmp_path):
    """interface.md: a fixed length that can never fit is an input error, not a run of rejections."""
    with pytest.raises(ScenarioError, match="100,000 input and 128 output tokens can never run"):
        run(tmp_path, "fleet.accelerator=rtx-4090", "workload.input_tokens=100000")


def test_a_group_that_leaves_a_node_half_empty_is_refused(tmp_path):
    """Twelve of GPT-3's heads a device fit no whole number of nodes of eight; sixteen devices would be two."""
    with pytest.raises(ScenarioError, match=r"tensor_parallel_size: 12 neither fit in a node of 8"):
        run(tmp_path, "fleet.tensor_parallel_size=12", "model=gpt-3-175b")


@pytest.mark.parametrize("model", ["mamba-2.8b", "rwkv-5-world-3b"])
def test_models_without_attention_run(tmp_path, model):
    """No KV cache, no span to track: states only."""
    assert 20 == run(tmp_path, f"model={model}").summary["completed"]
