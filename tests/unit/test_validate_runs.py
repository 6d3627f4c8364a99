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
        (",30,8,", ",0.03,8,", "less than a thirtieth of a step"),
        (",3.8,486", ",3.8,486000", "does not go with output_tokens_per_s 486000"),
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


ONLY = HEAD.partition(",ttft")[0]


@pytest.mark.parametrize(
    ("head", "cells", "words"),
    [
        ("ttft_ms_mean", "0.03", "ttft_ms_mean is 0.03: seconds?"),
        ("e2e_ms_mean", "1.046", "e2e_ms_mean is 1.046 for 128 tokens: seconds?"),
        ("output_tokens_per_s", "486000", "more than 4 users can be served"),
        ("output_tokens_per_s", "0.486", "leaves each of 4 users"),
        ("ttft_ms_mean,ttft_ms_p99", "40,90000", "ttft_ms_p99 90000 cannot be with ttft_ms_mean 40"),
        ("ttft_ms_mean,ttft_ms_p99", "40000,90", "far more than ttft_ms_p99 90"),
        ("total_tokens_per_s,requests_per_s", "2400,3800", "does not go with total_tokens_per_s 2400"),
    ],
)
def test_one_figure_alone_can_have_a_wrong_unit(tmp_path, head, cells, words):
    row = GOOD.partition(",30,8")[0]

    assert words in problem(written(tmp_path, f"{row},{cells}", f"{ONLY},{head}"))


@pytest.mark.parametrize("factor", [1e3, 1e-3])
def test_no_column_of_a_full_row_passes_a_thousand_off(tmp_path, factor):
    metrics = ["ttft_ms_mean", "tpot_ms_mean", "e2e_ms_mean", "requests_per_s", "output_tokens_per_s"]
    cells = dict(zip(HEAD.split(","), GOOD.split(","), strict=True))
    for name in metrics:
        wrong = cells | {name: str(float(cells[name]) * factor)}
        assert name in problem(written(tmp_path, ",".join(wrong.values())))


def test_a_run_that_is_there_twice_is_refused(tmp_path):
    assert "runs.csv:4: the same run as" in problem(written(tmp_path, f"{GOOD}\n{GOOD}"))


def test_unlike_runs_of_one_id_are_told_apart(tmp_path):
    runs = read_runs(written(tmp_path, f"{GOOD}\n{GOOD.replace(',4,', ',5,')}"))

    assert ["a (3)", "a (4)"] == [run.id for run in runs]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (f"{HEAD}\n".encode(), "has no row"),
        (f"{HEAD}\n{GOOD}\n".replace(",", ";").encode(), "separated by ';'; separate them by commas"),
        (f"{HEAD}\n{GOOD}\n".encode("utf-16"), "is not UTF-8 text"),
        (f"{HEAD}\n{GOOD}\n".replace("output_mean", "ouput_mean").encode(), "did you mean 'output_mean'?"),
        (f"{HEAD},model\n{GOOD},x\n".encode(), "has the columns model twice"),
    ],
)
def test_files_that_are_no_runs_file_say_why(tmp_path, content, words):
    path = tmp_path / "runs.csv"
    path.write_bytes(content)

    assert words in problem(path)


def test_a_byte_order_mark_and_other_columns_do_no_harm(tmp_path):
    path = tmp_path / "runs.csv"
    path.write_text(f"{HEAD},date\n{GOOD},yesterday\n", "utf-8-sig")

    assert ["a"] == [run.id for run in read_runs(path)]


def test_set_columns_hold_for_every_row(tmp_path):
    (run,) = read_runs(written(tmp_path, GOOD), {"gpu": "l40s", "tensor_parallel": "2"})

    assert ("l40s", 2) == (run.text("gpu"), run.count("tensor_parallel"))


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("gpuu", "l40s", "no such column; did you mean 'gpu'?"),
        ("tensor_parallel", "two", "'two' is not a number"),
        ("ttft_ms_mean", "3", "no such column"),
    ],
)
def test_set_columns_that_cannot_be_are_refused(tmp_path, name, value, words):
    with pytest.raises(RunsError, match=words):
        read_runs(written(tmp_path, GOOD), {name: value})


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"total_input_tokens": None}, "total_input_tokens is None"),
        ({"completed": "100"}, "completed is '100'"),
        ({"completed": 0}, "no request completed"),
        ({"request_rate": "fast", "max_concurrency": None}, "request_rate is 'fast'"),
        ({"mean_ttft_ms": "30"}, "mean_ttft_ms is '30', not a number"),
        ({"mean_ttft_ms": float("nan")}, "ttft_ms_mean is nan"),
    ],
)
def test_a_bench_result_with_a_wrong_value_is_refused(tmp_path, changes, words):
    path = tmp_path / "one.json"
    path.write_text(json.dumps(bench_result(**changes)))

    assert words in problem(path)


def test_appended_results_are_runs_of_their_own(tmp_path):
    path = tmp_path / "two.json"
    path.write_text(json.dumps(bench_result()) + "\n" + json.dumps(bench_result(max_concurrency=8)))

    assert [4, 8] == [run.count("concurrency") for run in read_runs(path)]


@pytest.mark.parametrize(
    ("changes", "arrival"),
    [
        ({"max_concurrency": None}, "burst"),
        ({"max_concurrency": None, "request_rate": float("inf")}, "burst"),
        ({"max_concurrency": 4, "request_rate": float("inf")}, "closed"),
        ({"max_concurrency": 400, "request_rate": 3.7}, "poisson"),
        ({"max_concurrency": 4, "request_rate": 100.0}, "poisson"),
        ({"max_concurrency": None, "request_rate": 3.7, "burstiness": "inf"}, "constant"),
    ],
)
def test_a_cap_on_users_makes_a_closed_loop_only_without_a_rate(tmp_path, changes, arrival):
    path = tmp_path / "one.json"
    path.write_text(json.dumps(bench_result(**changes)))

    assert [arrival] == [run.text("arrival") for run in read_runs(path)]
