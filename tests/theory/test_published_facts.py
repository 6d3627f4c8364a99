"""Published results, in the papers' own settings, through whole scenarios."""

from __future__ import annotations

from pathlib import Path

import pytest

import llmsim

ROOT = Path(__file__).parents[2]
AZURE = ROOT.parent / "shared" / "data" / "traces" / "azure_llm_2023_conv.csv"


def scenario(tmp_path: Path, text: str) -> llmsim.Result:
    path = tmp_path / "scenario.yaml"
    path.write_text(text)
    return llmsim.run(path)


@pytest.mark.parametrize("scheduler", ["orca", "chunked_prefill"])
def test_reserving_2048_tokens_batches_seven(tmp_path, scheduler):
    """vLLM paper (arXiv 2309.06180) Fig. 13a: Orca(Max) on OPT-13B, 12 GiB of KV, 2 req/s: 7.00 requests."""
    result = scenario(
        tmp_path,
        f"""
name: orca-max
model: opt-13b
fleet: {{accelerator: a100-sxm-40gb}}
engine: {{scheduler: {scheduler}, kv_cache: contiguous_max, max_model_len: 2048, num_kv_tokens: 15728}}
workload:
  arrival: {{kind: poisson, request_rate: 2}}
  input_tokens: {{kind: lognormal, mean: 161, std: 150, max: 1024}}
  output_tokens: {{kind: lognormal, mean: 338, std: 250, max: 1023}}
  duration_s: 3600
simulation: {{max_duration_s: 3600}}
""",
    )

    assert 7 == result.summary["num_kv_blocks"]
    assert "7.00" == f"{result.summary['mean_batch_size']:.2f}"
    assert 7 == result.record.steps.column("sequences").max()


def test_the_azure_profile_stands_for_the_trace(tmp_path):
    """TTFT and TPOT of the shipped profile and of the real hour of traffic, on one H100."""
    if not AZURE.exists():
        pytest.skip(f"{AZURE} is not here")
    head = "name: azure\nmodel: llama-3.1-8b\nfleet: {accelerator: h100-sxm}\n"
    trace = scenario(tmp_path, f"{head}workload: {{trace: {AZURE}}}\n").summary
    profile = scenario(tmp_path, f"{head}workload: {{profile: azure-2023-conversation}}\n").summary

    assert 0.02 * trace["offered"] > abs(trace["offered"] - profile["offered"])
    for metric in ("ttft_ms", "tpot_ms", "e2el_ms"):
        assert trace[f"mean_{metric}"] == pytest.approx(profile[f"mean_{metric}"], rel=0.05)
        assert trace[f"p50_{metric}"] == pytest.approx(profile[f"p50_{metric}"], rel=0.08)
        assert trace[f"p99_{metric}"] == pytest.approx(profile[f"p99_{metric}"], rel=0.15)
