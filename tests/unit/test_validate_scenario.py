"""A measured run becomes a scenario: names, defaults of the engine's version, lengths, and what cannot be said."""

from __future__ import annotations

import pytest

from llmsim.calibrate.runs import MeasuredRun
from llmsim.calibrate.runs_scenario import express
from llmsim.calibrate.runs_workload import NotExpressible
from llmsim.calibrate.validate import validate_run
from llmsim.workload.stream import open_stream

MIXTRAL = "mistralai/Mixtral-8x7B-Instruct-v0.1"


def run_of(texts=None, metrics=None, **numbers):
    base = {
        "id": "r",
        "gpu": "H100-SXM-80GB",
        "model": "meta-llama/Llama-3.1-8B-Instruct",
        "engine": "vllm",
        "engine_version": "0.11.0",
        "arrival": "closed",
    }
    cells = {"concurrency": 4.0, "input_mean": 512.0, "output_mean": 128.0, **numbers}
    known = {k: v for k, v in cells.items() if v is not None}
    return MeasuredRun("x.csv:2", base | (texts or {}), known, metrics or {})


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
        ("NVIDIA RTX PRO 6000 Blackwell Server Edition", "rtx-pro-6000"),
        ("NVIDIA GeForce RTX 4090 24GB", "rtx-4090"),
        ("H200 SXM5 141GB", "h200-sxm"),
        ("A100 80GB PCIe", "a100-pcie-80gb"),
        ("NVIDIA B200", "b200-sxm"),
        ("L40S PCIe", "l40s"),
        ("AMD Instinct MI300X OAM", "mi300x"),
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
        ({"gpu": "H100-NVX"}, {}, "unknown accelerator 'H100-NVX'"),
        ({"gpu": ""}, {}, "the row names no gpu; give it with --set gpu=NAME"),
        ({"arrival": "posion"}, {}, "arrival 'posion'; should be closed, burst, poisson"),
        ({"model": "nobody/knows-1b"}, {}, "unknown model"),
        ({"engine": "lmdeploy"}, {}, "no profile of the engine"),
        ({}, {"input_mean": None}, "input_mean is not given"),
        ({}, {"concurrency": None}, "a closed loop without concurrency"),
        ({"arrival": "trace"}, {}, "arrivals of a trace"),
        ({"arrival": "poisson"}, {}, "without request_rate"),
        ({"dtype": "ternary"}, {}, "number format 'ternary'"),
        ({}, {"tensor_parallel": 3.0}, "tensor_parallel_size: 3 does not divide the 32 attention heads"),
        ({}, {"input_mean": 2e5}, "input_tokens: 200000 leaves no room for output"),
        ({}, {"num_gpus": 3.0, "tensor_parallel": 2.0, "data_parallel": 1.0}, "3 GPUs"),
        ({}, {"expert_parallel": 8.0}, "expert parallelism of 8, but llama-3.1-8b is dense"),
        (
            {"model": MIXTRAL},
            {"expert_parallel": 6.0, "tensor_parallel": 4.0},
            "6 over 4 tensor-parallel ranks",
        ),
        ({}, {"num_gpus": 3.0, "tensor_parallel": 2.0}, "3 GPUs are no whole number of copies"),
        ({}, {"tensor_parallel": 12.0}, "12 does not divide"),
        ({"output_dist": "zipf"}, {}, "lengths 'zipf'"),
    ],
)
def test_what_cannot_be_said_has_a_reason(texts, numbers, words):
    with pytest.raises(NotExpressible, match=words):
        express(run_of(texts, **numbers))


@pytest.mark.parametrize(
    ("model", "engine", "degrees", "pool", "router"),
    [
        # TP, PP, EP, DP, GPUs (0: an empty cell); replicas, TP, DP ranks that share experts, whole experts
        ("llama-3.1-8b", "vllm", (2, 1, 1, 4, 8), (4, 2, 1, False), "round_robin"),
        ("llama-3.1-8b", "vllm", (2, 1, 0, 0, 8), (4, 2, 1, False), "round_robin"),
        ("llama-3.1-8b", "vllm", (2, 0, 0, 0, 0), (1, 2, 1, False), "least_requests"),
        (MIXTRAL, "vllm", (1, 1, 8, 8, 8), (1, 1, 8, True), "least_requests"),
        (MIXTRAL, "vllm", (2, 1, 8, 0, 8), (1, 2, 4, True), "least_requests"),
        (MIXTRAL, "vllm", (1, 1, 0, 4, 4), (1, 1, 4, True), "least_requests"),
        (MIXTRAL, "vllm", (4, 1, 4, 2, 8), (2, 4, 1, True), "round_robin"),
        (MIXTRAL, "vllm", (4, 1, 0, 0, 8), (2, 4, 1, False), "round_robin"),
        (MIXTRAL, "sglang", (8, 1, 8, 8, 8), (1, 1, 8, True), "round_robin"),
        (MIXTRAL, "tensorrt-llm", (8, 1, 2, 0, 8), (1, 8, 1, False), "least_requests"),
    ],
)
def test_data_and_expert_parallelism_become_ranks_or_copies(model, engine, degrees, pool, router):
    """Every device is used once, whoever counts them: vLLM's DP multiplies TP, SGLang's divides it."""
    columns = ("tensor_parallel", "pipeline_parallel", "expert_parallel", "data_parallel", "num_gpus")
    cells = {name: float(value) for name, value in zip(columns, degrees, strict=True) if value}
    scenario = scenario_of({"model": model, "engine": engine, "engine_version": ""}, **cells)
    fleet = scenario.fleet[0]

    assert router == scenario.router.kind
    assert pool == (
        fleet.replicas,
        fleet.tensor_parallel_size,
        fleet.data_parallel_size,
        fleet.enable_expert_parallel,
    )


@pytest.mark.parametrize(
    ("model", "degrees"),
    [
        ("Meta-Llama-3.1-405B", {"tensor_parallel": 16.0}),
        (MIXTRAL, {"data_parallel": 4.0, "expert_parallel": 4.0}),
    ],
)
def test_groups_over_nodes_and_ranks_that_share_experts_are_simulated(model, degrees):
    """Sixteen H100s are two nodes; four ranks deal each other tokens."""
    found = validate_run(run_of({"model": model}, {"tpot_ms_mean": 30.0}, num_requests=8.0, **degrees))

    assert "simulated" == found.status, found.reason


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


@pytest.mark.parametrize(
    ("model", "dtype", "name", "weights"),
    [
        ("Qwen/Qwen3-14B-AWQ", "", "qwen3-14b", "int4"),
        ("Qwen/Qwen3-14B-FP8", "bf16", "qwen3-14b", "fp8"),
        ("Qwen/Qwen2.5-72B-Instruct-GPTQ-Int4", "fp16", "qwen2.5-72b", "int4"),
        ("RedHatAI/Meta-Llama-3.1-70B-Instruct-quantized.w4a16", "", "llama-3.1-70b", "int4"),
        ("nvidia/DeepSeek-R1-FP4", "", "deepseek-r1", "nvfp4"),
        ("deepseek-ai/DeepSeek-R1", "fp8", "deepseek-r1", None),
        ("openai/gpt-oss-120b", "bf16", "gpt-oss-120b", None),
        ("Qwen/Qwen3-30B-A3B-Instruct-2507", "bf16", "qwen3-30b-a3b", None),
        ("meta-llama/Llama-3.1-8B-Instruct", "awq", "llama-3.1-8b", "int4"),
    ],
)
def test_the_format_is_the_rows_or_that_of_the_checkpoints_name(model, dtype, name, weights):
    """What is stored already is not quantised again."""
    scenario = scenario_of({"model": model, "dtype": dtype})

    assert (name, weights) == (scenario.model.name, scenario.engine.quantization)


@pytest.mark.parametrize(
    ("gpu", "tokens"), [("RTX-4090", 2048), ("L40S", 4096), ("A100-80GB", 8192), ("B200", 16384)]
)
def test_sglang_cuts_batches_of_prompts_by_device_memory(gpu, tokens):
    engine = scenario_of({"gpu": gpu, "engine": "sglang", "engine_version": "0.5.2"}).engine

    assert tokens == engine.max_num_batched_tokens


def test_without_a_version_the_newest_generation_is_simulated_in_full():
    """Its front end too, so that TTFT is comparable and has an interval."""
    expressed = express(run_of({"engine_version": ""}))
    pair = validate_run(run_of({"engine_version": ""}, num_requests=8.0, metrics={"ttft_ms_mean": 40.0}))

    assert "vllm-v1-async" == expressed.profile.name
    assert "engine_version: not given; the newest generation, vllm-v1-async" in expressed.assumed
    assert pair.metrics["ttft_ms_mean"].low < pair.metrics["ttft_ms_mean"].predicted


def test_a_figure_a_thousand_times_the_simulated_one_is_refused():
    """Nothing else in the row tells; the run's own size does."""
    validated = validate_run(run_of(num_requests=8.0, metrics={"ttft_ms_mean": 30_000.0}))

    assert "refused" == validated.status
    assert "ttft_ms_mean 30000 is about a thousand times" in validated.reason


def test_a_fault_in_one_row_is_named_and_does_not_take_the_others_along(monkeypatch):
    def broken(run):
        raise KeyError("ttft")

    monkeypatch.setattr("llmsim.calibrate.validate.express", broken)
    validated = validate_run(run_of())

    assert "failed" == validated.status
    assert "KeyError" in validated.reason


def test_what_was_assumed_is_said():
    said = " ".join(express(run_of()).assumed)

    assert "max_num_seqs 1,024: default of vllm-v1" in said
    assert "num_requests 64: not given" in said
