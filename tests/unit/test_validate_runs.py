"""Reading measured runs: what is accepted, and what is refused with its row and reason."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from llmsim.calibrate.runs import read_runs
from llmsim.errors import RunsError

HEAD = (
    "id,gpu,model,engine,arrival,concurrency,input_mean,output_mean,"
    "ttft_ms_mean,tpot_ms_mean,e2e_ms_mean,requests_per_s,output_tokens_per_s"
)
GOOD = "a,h100-sxm,llama-3.1-8b,vllm,closed,4,512,128,30,8,1046,3.8,486"
SAMPLE = Path(__file__).parents[3] / "shared" / "data" / "samples" / "vllm_0.33_bench_serve.json"


def written(tmp_path, row, head=HEAD):
    path = tmp_path / "runs.csv"
    path.write_text(f"# a remark\n{head}\n{row}\n")
    return path


def problem(path):
    with pytest.raises(RunsError) as caught:
        read_runs(path)
    return str(caught.value)


def test_a_row_is_read_with_its_line(tmp_path):
    (run,) = read_runs(written(tmp_path, GOOD))

    assert run.where.endswith("runs.csv:3")
    assert {"concurrency": 4, "input_mean": 512, "output_mean": 128} == run.numbers
    assert 8.0 == run.metrics["tpot_ms_mean"]


def test_empty_cells_are_absent(tmp_path):
    (run,) = read_runs(written(tmp_path, "a,h100-sxm,llama-3.1-8b,vllm,closed,4,512,128,,8,,,"))

    assert {"tpot_ms_mean"} == set(run.metrics)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (",30,", ",-30,", "ttft_ms_mean is -30"),
        (",8,1046,", ",0,1046,", "tpot_ms_mean is 0"),
        (",30,8,1046,", ",2000,8,1046,", "ttft_ms_mean 2000 is more than e2e_ms_mean 1046"),
        (",512,128,", ",512,0,", "output_mean is 0"),
        (",512,128,", ",0,128,", "input_mean is 0"),
        (",30,8,1046,", ",30,8,1.046,", "ttft_ms_mean 30 is more than e2e_ms_mean 1.046"),
        (",30,8,1046,", ",0.03,0.008,1.046,", "seconds?"),
        (",30,8,1046,", ",30000,8000,1046000,", "microseconds?"),
        (",30,8,1046,", ",30,8,1046000,", "e2e_ms_mean 1.046e+06 does not go with"),
        (",30,8,", ",0.03,8,", "less than a hundredth of a step"),
        (",3.8,486", ",3.8,486000", "output_tokens_per_s 486000 does not go with"),
        (",4,512,", ",four,512,", "'four', not a number"),
        (",8,1046,", ",nan,1046,", "tpot_ms_mean is nan"),
    ],
)
def test_what_cannot_be_is_refused_with_its_row(tmp_path, old, new, words):
    assert old in GOOD
    message = problem(written(tmp_path, GOOD.replace(old, new)))

    assert "runs.csv:3: a: " in message
    assert words in message


def test_every_problem_is_named_at_once(tmp_path):
    rows = "\n".join([GOOD.replace(",30,", ",-1,"), GOOD.replace("a,", "b,", 1).replace(",512,", ",0,")])
    message = problem(written(tmp_path, rows))

    assert "runs.csv:3: a: ttft" in message
    assert "runs.csv:4: b: input_mean" in message


def test_missing_columns_are_named(tmp_path):
    assert "lacks the columns model, engine" in problem(
        written(tmp_path, "a,x,closed,1,1,9", "id,gpu,arrival,input_mean,output_mean,tpot_ms_mean")
    )


def test_a_file_without_any_metric_is_refused(tmp_path):
    head = "id,gpu,model,engine,arrival,input_mean,output_mean"
    assert "no measured metric" in problem(written(tmp_path, "a,x,y,z,closed,1,1", head))


def test_cells_too_many_are_refused(tmp_path):
    assert "14 cells under 13 columns" in problem(written(tmp_path, GOOD + ",1"))


def test_percentiles_may_not_fall(tmp_path):
    head = HEAD.replace("ttft_ms_mean", "ttft_ms_p50").replace("e2e_ms_mean", "ttft_ms_p99")
    message = problem(written(tmp_path, GOOD.replace(",1046,", ",12,"), head))

    assert "ttft_ms_p50 30 is more than ttft_ms_p99 12" in message


def bench_result(**changes):
    return {
        "model_id": "meta-llama/Llama-3.1-8B-Instruct",
        "num_prompts": 100,
        "completed": 100,
        "total_input_tokens": 51200,
        "total_output_tokens": 12800,
        "duration": 27.0,
        "request_rate": "inf",
        "max_concurrency": 4,
        "burstiness": 1.0,
        "mean_ttft_ms": 30.0,
        "mean_tpot_ms": 8.0,
        "median_tpot_ms": 8.0,
        "mean_e2el_ms": 1046.0,
        "request_throughput": 3.7,
        **changes,
    }


def test_a_bench_result_is_read(tmp_path):
    path = tmp_path / "one.json"
    path.write_text(json.dumps(bench_result()))
    (run,) = read_runs(path, {"gpu": "h100-sxm", "tensor_parallel": "2"})

    assert ("closed", 4, 512, 128, 2) == (
        run.text("arrival"),
        run.count("concurrency"),
        run.count("input_mean"),
        run.count("output_mean"),
        run.count("tensor_parallel"),
    )
    assert 8.0 == run.metrics["tpot_ms_p50"]


def test_a_directory_of_results_is_read(tmp_path):
    for name in ("b", "a"):
        (tmp_path / f"{name}.json").write_text(
            json.dumps(bench_result(max_concurrency=None, request_rate=5.0))
        )
    runs = read_runs(tmp_path)

    assert ["a", "b"] == [run.id for run in runs]
    assert {"poisson"} == {run.text("arrival") for run in runs}


def test_other_json_is_refused(tmp_path):
    path = tmp_path / "x.json"
    path.write_text("{}")
    assert "no result of `vllm bench serve`: it lacks model_id" in problem(path)
    path.write_text("{")
    assert "is not JSON" in problem(path)


@pytest.mark.skipif(not SAMPLE.is_file(), reason="the shared data folder is not beside the checkout")
def test_a_real_result_file_is_read():
    (run,) = read_runs(SAMPLE)

    assert ("poisson", 10.0, 50) == (
        run.text("arrival"),
        run.number("request_rate"),
        run.count("num_requests"),
    )
    assert 52.64 == pytest.approx(run.metrics["ttft_ms_mean"], rel=1e-3)
    assert 20 == run.number("output_mean")
