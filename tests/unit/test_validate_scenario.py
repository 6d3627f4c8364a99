"""A measured run becomes a scenario: names, defaults of the engine's version, lengths, and what cannot be said."""

from __future__ import annotations

import pytest

from llmsim.calibrate.runs import MeasuredRun
from llmsim.calibrate.runs_scenario import express
from llmsim.calibrate.runs_workload import NotExpressible
from llmsim.workload.stream import open_stream


def run_of(texts=None, **numbers):
    base = {
        "id": "r",
        "gpu": "H100-SXM-80GB",
        "model": "meta-llama/Llama-3.1-8B-Instruct",
        "engine": "vllm",
        "engine_version": "0.11.0",
        "arrival": "closed",
    }
    cells = {"concurrency": 4.0, "input_mean": 512.0, "output_mean": 128.0, **numbers}
    return MeasuredRun("x.csv:2", base | (texts or {}), {k: v for k, v in cells.items() if v is not None})


def scenario_of(*args, **numbers):
    return express(run_of(*args, **numbers)).loaded.scenario


@pytest.mark.parametrize(
    ("gpu", "version", "limits"),
    [
        ("H100-SXM-80GB", "0.11.0", (1024, 8192)),
        ("H200", "0.23.0", (1024, 8192)),
        ("B200", "0.15.1", (1024, 8192)),
        ("A100-SXM4-80GB", "0.11.0", (256, 2048)),
        ("L40S", "0.11.0", (256, 2048)),
        ("RTX-4090", "0.19.0", (256, 2048)),
        ("H100-SXM-80GB", "0.6.3", (256, 8192)),
    ],
)
def test_empty_limits_are_those_of_version_and_accelerator(gpu, version, limits):
    engine = scenario_of({"gpu": gpu, "engine_version": version}).engine

    assert limits == (engine.max_num_seqs, engine.max_num_batched_tokens)


def test_given_limits_win():
    engine = scenario_of(max_num_seqs=16.0, max_num_batched_tokens=4096.0, num_kv_blocks=100.0).engine

    assert (16, 4096, 1600) == (engine.max_num_seqs, engine.max_num_batched_tokens, engine.num_kv_tokens)


@pytest.mark.parametrize(
    ("engine", "version", "profile"),
    [
        ("vllm", "0.6.3.post1", "vllm-v0"),
        ("vllm", "0.13.0", "vllm-v1"),
        ("vLLM", "v0.14.0", "vllm-v1-async"),
        ("trtllm", "1.0.0rc3", "tensorrt-llm-pytorch"),
        ("tensorrt-llm (Triton backend)", "0.14.0", "tensorrt-llm"),
        ("sglang", "0.5.2", "sglang"),
        ("vllm", "", "vllm-v1-async"),
    ],
)
def test_the_generation_follows_the_version(engine, version, profile):
    assert profile == express(run_of({"engine": engine, "engine_version": version})).profile.name


@pytest.mark.parametrize(
    ("gpu", "name"),
    [
        ("NVIDIA H100 80GB HBM3", "h100-sxm"),
        ("A100-80GB-SXM", "a100-sxm-80gb"),
        ("L40S-48GB", "l40s"),
        ("RTX-PRO-6000-Blackwell", "rtx-pro-6000"),
    ],
)
def test_spellings_of_accelerators(gpu, name):
    assert name == scenario_of({"gpu": gpu}).fleet[0].accelerator


def test_a_quantised_checkpoint_is_its_base_model_in_that_format():
    scenario = scenario_of(
        {"model": "Qwen/Qwen3-14B-FP8", "dtype": "fp8", "kv_dtype": "fp8"}, tensor_parallel=2.0, num_gpus=4.0
    )

    assert ("qwen3-14b", "fp8", "fp8") == (
        scenario.model.name,
        scenario.engine.quantization,
        scenario.engine.kv_cache_dtype,
    )
    assert (2, 2) == (scenario.fleet[0].tensor_parallel_size, scenario.fleet[0].replicas)


@pytest.mark.parametrize(
    ("texts", "numbers", "words"),
    [
        ({"gpu": "abacus"}, {}, "unknown accelerator"),
        ({"model": "nobody/knows-1b"}, {}, "unknown model"),
        ({"engine": "lmdeploy"}, {}, "no profile of the engine"),
        ({}, {"input_mean": None}, "input_mean is not given"),
        ({}, {"concurrency": None}, "a closed loop without concurrency"),
        ({"arrival": "trace"}, {}, "arrivals of a trace"),
        ({"arrival": "poisson"}, {}, "without request_rate"),
        ({"dtype": "ternary"}, {}, "number format 'ternary'"),
        ({}, {"num_gpus": 3.0, "tensor_parallel": 2.0, "data_parallel": 1.0}, "3 GPUs"),
        ({}, {"expert_parallel": 8.0}, "expert parallelism"),
        ({"output_dist": "zipf"}, {}, "lengths 'zipf'"),
    ],
)
def test_what_cannot_be_said_has_a_reason(texts, numbers, words):
    with pytest.raises(NotExpressible, match=words):
        express(run_of(texts, **numbers))


@pytest.mark.parametrize(
    ("dist", "numbers", "least", "most"),
    [
        ("fixed", {}, 512, 512),
        ("uniform", {"input_min": 500.0, "input_max": 524.0}, 500, 524),
        ("uniform", {"input_std": 57.735}, 412, 612),
        ("bimodal", {"input_min": 24.0, "input_max": 1000.0}, 24, 1000),
        ("normal", {"input_std": 20.0}, 400, 640),
        ("sharegpt", {}, 1, 8000),
    ],
)
def test_lengths_have_the_mean_of_the_row(dist, numbers, least, most):
    scenario = scenario_of({"input_dist": dist}, num_requests=4000.0, **numbers)
    stream = open_stream(scenario.workload, 0)
    lengths = [stream.draw(0.0).input_tokens for _ in range(4000)]

    assert 512 == pytest.approx(sum(lengths) / len(lengths), rel=0.03)
    assert least <= min(lengths) <= max(lengths) <= most


def test_cached_tokens_leave_the_last_to_compute():
    scenario = scenario_of(cached_input_mean=512.0, num_requests=1.0)
    req = open_stream(scenario.workload, 0).draw(0.0)

    assert 511 == req.cached_tokens == req.computed


def test_what_was_assumed_is_said():
    said = " ".join(express(run_of()).assumed)

    assert "max_num_seqs 1,024: default of vllm-v1" in said
    assert "num_requests 64: not given" in said
