"""Results in other tools' files: their keys and units, the figures of the summary, and back again."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from door_scenarios import write_scenario

import llmsim
from llmsim import plugins
from llmsim.calibrate.runs import read_runs
from llmsim.calibrate.validate import validate
from llmsim.cli.app import app
from llmsim.errors import UserError
from llmsim.report.exports.base import FinishedRun, read_formats

SAMPLES = Path(__file__).parents[3] / "shared" / "data" / "samples"
needs_samples = pytest.mark.skipif(not SAMPLES.is_dir(), reason="../shared/data is not there")

FIXED = "input_tokens: 500, output_tokens: 60, num_requests: 300"
ARRIVALS = {
    "poisson": "arrival: {kind: poisson, request_rate: 12}",
    "gamma": "arrival: {kind: gamma, request_rate: 12, burstiness: 0.4}",
    "constant": "arrival: {kind: constant, request_rate: 12}",
    "burst": "arrival: {kind: burst}",
    "closed": "arrival: {kind: closed, max_concurrency: 7}",
    "rate and cap": "arrival: {kind: poisson, request_rate: 40}, max_concurrency: 9",
}
RUNS = {
    "chat": ("chatbot", ["workload.duration_s=60"]),
    "preempted": ("chatbot", ["workload.duration_s=60", "engine.num_kv_tokens=16000"]),
    "some rejected": (
        "chatbot",
        ["workload.duration_s=60", "engine.num_kv_tokens=4096", "engine.max_model_len=2048"],
    ),
    "all rejected": ("chatbot", ["workload.duration_s=5", "engine.num_kv_tokens=16"]),
    "cut off": ("chatbot", ["workload.duration_s=60", "simulation.max_duration_s=20"]),
    "no targets": ("chatbot", ["workload.duration_s=60", "slo={}"]),
    "pipeline": ("pipeline", ["workload.num_requests=100"]),
    "roles": ("disaggregated-70b", ["workload.num_requests=60"]),
    "spot": ("chatbot-on-spot", ["workload.duration_s=60"]),
    "static": ("static-batching", ["workload.num_requests=100"]),
    "experts": ("moe", ["workload.num_requests=40"]),
    "uniform": ("chatbot", ["workload={" + ARRIVALS["rate and cap"] + ", num_requests: 50, input_tokens: "
                            "{kind: uniform, min: 1, max: 9}, output_tokens: {kind: normal, mean: 9, std: 2}}"]),
}  # fmt: skip


def exported(result: llmsim.Result, name: str) -> str:
    run = FinishedRun(result.record, result.summary, result.loaded)
    return "".join(plugins.EXPORTS.get(name)().pieces(run))


@pytest.fixture(scope="module", params=RUNS.values(), ids=RUNS.keys())
def result(request):
    path, sets = request.param
    return llmsim.run(llmsim.load(path, sets))


def test_vllm_bench_lists_are_the_requests_of_the_summary(result):
    """vLLM's own formulas over the lists give the totals and statistics beside them."""
    found, summary = json.loads(exported(result, "vllm-bench")), result.summary
    ok = [not error for error in found["errors"]]
    lists = (
        "input_lens",
        "output_lens",
        "ttfts",
        "itls",
        "latencies",
        "start_times",
        "queue_times",
        "errors",
    )
    assert {summary["offered"]} == {len(found[name]) for name in lists}
    assert (summary["completed"], summary["offered"] - sum(ok)) == (sum(ok), found["failed"])
    assert summary["total_output_tokens"] == sum(found["output_lens"])
    for fine, tokens, gaps in zip(ok, found["output_lens"], found["itls"], strict=True):
        assert len(gaps) == (tokens - 1 if fine else 0)
    if any(ok):
        done = {name: [x for x, fine in zip(found[name], ok, strict=True) if fine] for name in lists}
        gaps = np.concatenate(done["itls"])
        statistics = {"ttft": done["ttfts"], "itl": gaps, "e2el": done["latencies"]}
        if summary["unfinished"]:  # the pool of gaps holds those of requests that were cut off
            del statistics["itl"]
        for metric, values in statistics.items():
            assert found[f"mean_{metric}_ms"] == pytest.approx(1e3 * np.mean(values), abs=1e-5)
            assert found[f"p99_{metric}_ms"] == pytest.approx(1e3 * np.percentile(values, 99), abs=1e-5)
        if result.loaded.scenario.engine.scheduler.kind != "static":  # whose users get all tokens at the end
            whole = [first + sum(rest) for first, rest in zip(done["ttfts"], done["itls"], strict=True)]
            assert done["latencies"] == pytest.approx(whole, abs=1e-5)


@needs_samples
def test_vllm_bench_has_every_key_of_the_real_file(result):
    """In its order; what is more is metadata and the lists of ``--save-detailed``."""
    real = list(json.loads((SAMPLES / "vllm_0.33_bench_serve.json").read_text()))
    found = list(json.loads(exported(result, "vllm-bench")))

    assert real == [key for key in found if key in real]
    metadata = {"llmsim_version", "scenario", "scenario_sha256", "workload"}
    detailed = {"input_lens", "output_lens", "ttfts", "itls", "start_times", "errors"}
    assert metadata | detailed == set(found) - set(real)


@pytest.mark.parametrize("arrival", ARRIVALS.values(), ids=ARRIVALS.keys())
def test_a_result_validated_against_its_own_scenario_has_no_error(arrival, tmp_path):
    """Written as vLLM's file, read as a measured run, simulated again: the same figures."""
    engine = ["engine.max_num_seqs=64", "engine.max_num_batched_tokens=2048"]
    result = llmsim.run(llmsim.load("chatbot", [f"workload={{{arrival}, {FIXED}}}", *engine]))
    path = tmp_path / "measured.json"
    path.write_text(exported(result, "vllm-bench"))
    server = {"gpu": "h100-sxm", "max_num_seqs": "64", "max_num_batched_tokens": "2048"}
    (item,) = validate(read_runs(path, server), workers=1)

    assert "simulated" == item.status, item.reason
    errors = {name: pair.error for name, pair in item.metrics.items()}
    assert errors == pytest.approx(dict.fromkeys(errors, 0.0), abs=1e-9)
    assert len(errors) == 19


def test_aiperf_metrics_are_those_of_the_summary(result):
    """Under AIPerf's names: its ITL is vLLM's TPOT, its inter-chunk latency vLLM's ITL."""
    found, summary = json.loads(exported(result, "aiperf")), result.summary
    names = {
        "time_to_first_token": "ttft", "inter_token_latency": "tpot", "inter_chunk_latency": "itl",
        "request_latency": "e2el",
    }  # fmt: skip
    for theirs, ours in names.items():
        if summary[f"mean_{ours}_ms"] is None:
            assert theirs not in found
            continue
        metric = found[theirs]
        pairs = {"avg": "mean", "std": "std", "p50": "p50", "p90": "p90", "p95": "p95", "p99": "p99"}
        for key, ours_key in pairs.items():
            assert summary[f"{ours_key}_{ours}_ms"] == pytest.approx(metric[key], rel=1e-9)
        assert metric["min"] <= metric["p1"] <= metric["p99"] <= metric["max"]
        assert metric["sum"] == pytest.approx(metric["avg"] * metric["count"])
    assert summary["completed"] == found["request_count"]["avg"]
    assert (
        sum(error["count"] for error in found["error_summary"]) == summary["offered"] - summary["completed"]
    )


@needs_samples
def test_aiperf_metrics_have_the_shape_and_units_of_the_real_file(result):
    """Metric by metric: no name of our own, the same unit, the same statistics."""
    real = json.loads((SAMPLES / "aiperf_0.13_profile_export_aiperf.json").read_text())
    found = json.loads(exported(result, "aiperf"))

    assert {"llmsim_version"} == set(found) - set(real)
    for name, metric in found.items():
        if isinstance(metric, dict) and "unit" in metric:
            assert real[name].keys() == metric.keys(), name
            assert real[name]["unit"] == metric["unit"]
    assert type(real["input_config"]["phases"][0]) is type(found["input_config"]["phases"][0])


@needs_samples
def test_llm_d_reports_keep_the_published_schema(result):
    """Version 0.2.1, every mistake listed."""
    jsonschema = pytest.importorskip("jsonschema")
    schema = json.loads((SAMPLES / "llm-d_benchmark_report_v0.2.1.schema.json").read_text())
    report = yaml.safe_load(exported(result, "llm-d"))

    assert [] == [
        f"{error.json_path}: {error.message}"
        for error in jsonschema.Draft202012Validator(schema).iter_errors(report)
    ]
    aggregate = report["results"]["request_performance"]["aggregate"]
    requests = aggregate["requests"]
    assert (
        result.summary["offered"] - result.summary["completed"]
        == requests["failures"] + requests["incomplete"]
    )
    if result.summary["completed"]:
        ttft = aggregate["latency"]["time_to_first_token"]
        assert ("ms", result.summary["p99_ttft_ms"]) == (ttft["units"], pytest.approx(ttft["p99"]))


def test_equal_runs_have_equal_files():
    """To the byte: no clock, no random id."""
    results = [llmsim.run(llmsim.load("chatbot", ["workload.duration_s=20"])) for _ in range(2)]
    for name in plugins.EXPORTS.names():
        first, second = (exported(result, name) for result in results)
        assert first == second


def test_run_writes_the_formats_asked_for(tmp_path):
    """Repeated or separated by commas, each once, beside the usual files."""
    out = tmp_path / "out"
    path = str(write_scenario(tmp_path))
    args = ["run", path, "--out", str(out), "--quiet", "--export", "vllm-bench,aiperf", "--export", "aiperf"]
    app(args, standalone_mode=False)

    assert {"vllm-bench.json", "profile_export_aiperf.json", "summary.json"} <= {
        p.name for p in out.iterdir()
    }
    assert not (out / "benchmark_report_v0.2.1.yaml").exists()


def test_an_unknown_format_is_named_with_the_nearest():
    with pytest.raises(UserError) as caught:
        read_formats(["vlm-bench,aiperf", "llmd"])

    assert ["--export vlm-bench", "--export llmd"] == [problem.where for problem in caught.value.problems]
    assert "did you mean 'vllm-bench'" in str(caught.value)
    assert "did you mean 'llm-d'" in str(caught.value)
