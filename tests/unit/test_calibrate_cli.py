"""`llmsim calibrate` as a shell sees it: runs of a made-up server in, an overlay that scenarios name out."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from door_scenarios import write_scenario

import llmsim
from llmsim.cli import main
from llmsim.files.scenario_file import load_scenario
from llmsim.files.scenario_text import scenario_sha256

TRUTH = "{kind: roofline, host_iteration_s: 0.004, request_s: 0.009}"
"""What the made-up server costs; the catalogue knows nothing of it."""


class Server:
    """A folder with a scenario, and results as `vllm bench serve` writes them of a server like TRUTH."""

    def __init__(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        self.folder, self._monkeypatch, self._capsys = folder, monkeypatch, capsys
        self.stdout = self.stderr = ""
        write_scenario(folder, old="engine:\n", new='engine:\n  version: "0.11.0"\n')
        monkeypatch.chdir(folder)

    def llmsim(self, *arguments: str) -> int:
        """The exit code of ``llmsim ARGUMENTS``."""
        self._monkeypatch.setattr(sys, "argv", ["llmsim", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        self.stdout, self.stderr = self._capsys.readouterr()
        return int(ended.value.code or 0)

    def bench(self, users: int, truth: str = TRUTH, **changes: Any) -> str:
        """Writes a result file of that many users and returns its name."""
        lengths = f"input_tokens: 100, output_tokens: 20, num_requests: {60 + 10 * users}"
        workload = f"{{arrival: {{kind: closed, max_concurrency: {users}}}, {lengths}}}"
        sets = [f"workload={workload}", f"fleet.cost_model={truth}"]
        summary = llmsim.run(load_scenario(self.folder / "tiny.yaml", sets)).summary
        result = {
            "model_id": "served-as-something",
            "max_concurrency": users,
            "request_rate": "inf",
            "num_prompts": summary["offered"],
            **{
                key: summary[key]
                for key in ("completed", "total_input_tokens", "total_output_tokens", "duration")
            },
            **{key: value for key, value in summary.items() if key.endswith("_ms")},
            "output_throughput": summary["output_throughput"],
        }
        name = f"users-{users}.json"
        (self.folder / name).write_text(json.dumps(result | changes))
        return name

    def calibrate(self, files: Sequence[str], *options: str) -> Any:
        """The answer of ``llmsim calibrate --json``."""
        assert 0 == self.llmsim("calibrate", *files, "--scenario", "tiny.yaml", "--json", *options), (
            self.stderr
        )
        return json.loads(self.stdout)


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Server:
    """A folder of its own."""
    return Server(tmp_path, monkeypatch, capsys)


def test_the_overlay_makes_the_scenario_predict_the_server(server: Server) -> None:
    """Fitted to two loads, right on a third: end to end, the overlay named beside the scenario."""
    answer = server.calibrate([server.bench(1), server.bench(16)], "--out", "fitted.yaml")
    host = answer["coefficients"]["host_iteration_s"]
    overlay = "fleet.cost_model={kind: roofline, overlay: fitted.yaml}"
    workload = "workload.arrival={kind: closed, max_concurrency: 6}"
    mine, true = (
        llmsim.run(load_scenario(server.folder / "tiny.yaml", [cost_model, workload])).summary
        for cost_model in (overlay, f"fleet.cost_model={TRUTH}")
    )

    assert host["low"] <= 0.004 <= host["high"]
    assert answer["errors"]["mean_tpot_ms"]["before"] > 0.5
    assert answer["errors"]["mean_tpot_ms"]["after"] < 0.02
    for metric in ("mean_tpot_ms", "mean_ttft_ms", "output_throughput"):
        assert mine[metric] == pytest.approx(true[metric], rel=0.03)


def test_the_same_files_give_the_same_overlay(server: Server) -> None:
    """Byte for byte."""
    files = [server.bench(1), server.bench(16)]
    for name in ("a.yaml", "b.yaml"):
        server.calibrate(files, "--fit", "host_iteration_s", "--out", name)
    first, second = ((server.folder / name).read_text() for name in ("a.yaml", "b.yaml"))

    assert first.replace("a.yaml", "b.yaml") == second


def test_the_overlay_says_where_it_comes_from(server: Server) -> None:
    """Sources by content, errors before and after, what was kept; and the run's report names it."""
    server.calibrate([server.bench(1), server.bench(16)], "--out", "fitted.yaml")
    overlay = yaml.safe_load((server.folder / "fitted.yaml").read_text())
    named = ["--set", "fleet.cost_model={kind: roofline, overlay: fitted.yaml}", "--out", "results"]

    assert ["users-1.json", "users-16.json"] == [source["file"] for source in overlay["sources"]]
    assert {64} == {len(source["sha256"]) for source in overlay["sources"]}
    assert set(overlay["options"]) == set(overlay["intervals_80"])
    assert {"bandwidth_factor", "compute_factor"} <= set(overlay["kept"])
    assert 0 == server.llmsim("run", "tiny.yaml", *named)
    assert "fitted.yaml: " in " ".join(server.stdout.split())
    assert "fitted to 2 server runs" in " ".join(server.stdout.split())


def test_an_asynchronous_engine_that_the_host_paces_tells_its_hidden_time(server: Server) -> None:
    """A small model computes in less time than the host needs to schedule: what hides sets the pace."""
    text = (server.folder / "tiny.yaml").read_text().replace("0.11.0", "0.23.0")
    (server.folder / "tiny.yaml").write_text(text)
    files = [server.bench(users, "{kind: roofline, hidden_iteration_s: 0.006}") for users in (1, 16)]
    found = server.calibrate(files, "--out", "fitted.yaml")["coefficients"]["hidden_iteration_s"]

    assert found["low"] <= 0.006 <= found["high"]
    assert 0.006 == pytest.approx(found["after"], rel=0.03)


def test_another_overlay_is_another_scenario(server: Server) -> None:
    """The hash is of the overlay's content, wherever it lies."""
    server.calibrate([server.bench(1)], "--out", "one.yaml")
    text = (server.folder / "one.yaml").read_text()
    (server.folder / "same.yaml").write_text(text)
    (server.folder / "other.yaml").write_text(text.replace("fitted_on", "# changed\nfitted_on"))
    hashes = [
        scenario_sha256(
            load_scenario(
                "tiny.yaml", [f"fleet.cost_model={{kind: roofline, overlay: {name}.yaml}}"]
            ).scenario
        )
        for name in ("one", "same", "other")
    ]

    assert hashes[0] == hashes[1] != hashes[2]


def test_one_load_level_keeps_the_efficiencies_and_says_why(server: Server) -> None:
    """In words, for each coefficient that stays."""
    server.llmsim("calibrate", server.bench(8), "--scenario", "tiny.yaml", "--out", "fitted.yaml")
    words = " ".join(server.stdout.split())

    assert "Kept as they were" in words
    assert "bandwidth_factor 1.000 these runs hardly feel it" in words or "does the same as" in words
    assert "host time per iteration" in words
    assert "80% interval" in words


def test_only_the_coefficients_asked_for_are_fitted(server: Server) -> None:
    """--fit leaves the others out altogether; one that does not exist is named."""
    files = [server.bench(1), server.bench(16)]
    answer = server.calibrate(files, "--fit", "host_iteration_s", "--out", "fitted.yaml")

    assert (["host_iteration_s"], {}) == (list(answer["coefficients"]), answer["kept"])
    assert 2 == server.llmsim("calibrate", *files, "--scenario", "tiny.yaml", "--fit", "host_iteration")
    assert "--fit host_iteration: no such coefficient; did you mean 'host_iteration_s'" in server.stderr


def test_a_server_faster_than_its_kernels_is_refused(server: Server) -> None:
    """Negative overhead is an error that names it, and nothing is written."""
    summary = json.loads(
        (server.folder / server.bench(8, "{kind: roofline, host_iteration_s: 0}")).read_text()
    )
    faster = {
        key: summary[key] / 1.4 for key in ("mean_ttft_ms", "mean_tpot_ms", "mean_itl_ms", "mean_e2el_ms")
    }
    (server.folder / "fast.json").write_text(
        json.dumps({key: value for key, value in summary.items() if not key.endswith("_ms")} | faster)
    )

    assert 2 == server.llmsim("calibrate", "fast.json", "--scenario", "tiny.yaml", "--out", "fitted.yaml")
    assert "host_iteration_s: the runs would need host time per iteration of about -" in server.stderr
    assert "a time below zero" in server.stderr
    assert not (server.folder / "fitted.yaml").exists()


CSV = (
    "id,gpu,model,engine,engine_version,arrival,concurrency,num_requests,input_mean,output_mean,tensor_parallel,"
    "tpot_ms_mean\n"
)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (
            "r1,A100-SXM4-80GB,,vllm,,closed,4,50,100,20,1,5",
            "runs.csv:2: r1: its accelerator is a100-sxm-80gb",
        ),
        ("r1,,,vllm,,closed,4,50,100,20,2,5", "runs.csv:2: r1: tensor_parallel is 2, the scenario's 1"),
        (
            "r1,,llama-3.1-8b,vllm,,closed,4,50,100,20,1,5",
            "runs.csv:2: r1: its model is llama-3.1-8b, the scenario's",
        ),
        (
            "r1,,,vllm,0.6.3,closed,4,50,100,20,1,5",
            "runs.csv:2: r1: its engine is vllm-v0, the scenario's vllm-v1",
        ),
        ("r1,,,vllm,,closed,,50,100,20,1,5", "runs.csv:2: r1: a closed loop without concurrency"),
        ("r1,,,vllm,,closed,4,50,100,20,1,-5", "runs.csv:2: r1: tpot_ms_mean is -5"),
        ("r1,,,vllm,,closed,4,50,100,20,1,", "none of the runs has a metric that depends on the server"),
    ],
)
def test_rows_that_cannot_be_fitted_to_are_named(server: Server, row: str, message: str) -> None:
    """With file and line; nothing is written."""
    (server.folder / "runs.csv").write_text(CSV + row + "\n")

    assert 2 == server.llmsim("calibrate", "runs.csv", "--scenario", "tiny.yaml", "--out", "fitted.yaml")
    assert message in server.stderr
    assert not (server.folder / "fitted.yaml").exists()


@pytest.mark.parametrize(
    ("overlay", "message"),
    [
        ("absent.yaml", "fleet.0.cost_model.overlay: no such file"),
        ("config.json", "fitted_on: Field required"),
        ("wrong.yaml", "options.host_iteration_s: Input should be greater than or equal to 0"),
    ],
)
def test_an_overlay_that_is_none_is_refused(server: Server, overlay: str, message: str) -> None:
    """Missing, something else, or changed by hand to what cannot be."""
    server.calibrate([server.bench(1)], "--out", "right.yaml")
    data = yaml.safe_load((server.folder / "right.yaml").read_text())
    data["options"]["host_iteration_s"] = -1.0
    (server.folder / "wrong.yaml").write_text(yaml.safe_dump(data))

    named = f"fleet.cost_model={{kind: roofline, overlay: {overlay}}}"
    assert 2 == server.llmsim("run", "tiny.yaml", "--set", named)
    assert message in server.stderr


def test_a_factor_beyond_the_datasheet_is_refused(server: Server) -> None:
    """A share of the peak above 1 is no efficiency, whoever sets it."""
    for name in ("compute_factor", "bandwidth_factor"):
        assert 2 == server.llmsim(
            "run", "tiny.yaml", "--set", f"fleet.cost_model={{kind: roofline, {name}: 2.5}}"
        )
        assert f"{name} 2.5 makes a share of the datasheet's" in server.stderr


def test_a_file_that_is_no_overlay_is_not_written_over(server: Server) -> None:
    """The scenario, say."""
    before = (server.folder / "tiny.yaml").read_text()

    assert 2 == server.llmsim("calibrate", server.bench(1), "--scenario", "tiny.yaml", "--out", "tiny.yaml")
    assert "tiny.yaml: is there already, and not written by this command" in server.stderr
    assert before == (server.folder / "tiny.yaml").read_text()


def test_what_cannot_be_written_leaves_nothing(server: Server) -> None:
    """No overlay, and no part of one."""
    result = server.bench(1)
    before = sorted(server.folder.iterdir())

    for out in ("absent/fitted.yaml", "tiny.yaml/fitted.yaml"):
        assert 2 == server.llmsim("calibrate", result, "--scenario", "tiny.yaml", "--out", out)
        assert f"{out}: cannot be written" in server.stderr
    assert before == sorted(server.folder.iterdir())


@pytest.mark.parametrize(
    "arguments",
    [
        ["calibrate"],
        ["calibrate", "runs.csv"],
        ["calibrate", "--scenario", "tiny.yaml"],
        ["calibrate", "--kernels", "dir"],
    ],
)
def test_what_is_missing_is_said(server: Server, arguments: list[str]) -> None:
    """Usage errors end with 2."""
    assert 2 == server.llmsim(*arguments)
    assert "--scenario" in server.stderr or "--accelerator" in server.stderr


def test_a_real_result_file_is_read(server: Server) -> None:
    """What vLLM 0.33 saved: 50 requests at 10 a second, 113 tokens in and 20 out on average."""
    sample = Path(__file__).parents[3] / "shared" / "data" / "samples" / "vllm_0.33_bench_serve.json"
    if not sample.exists():
        pytest.skip("../shared/data is not beside this checkout")
    answer = server.calibrate([str(sample)], "--set", "model=llama-3.1-8b", "--out", "fitted.yaml")

    assert ["mean_tpot_ms", "mean_ttft_ms"] == [row["metric"] for row in answer["runs"]]
    assert [10.011, 52.641] == pytest.approx([row["measured"] for row in answer["runs"]], abs=1e-3)
    assert answer["errors"]["mean_tpot_ms"]["after"] < 0.02 < answer["errors"]["mean_tpot_ms"]["before"]
    assert {"bandwidth_factor", "compute_factor", "host_sequence_s"} <= set(answer["kept"])


KERNELS = ("op_gemm", "op_attn_prefill", "op_attn_decode")


def kernel_tables(folder: Path, gpu: str = "L40S") -> Path:
    """The published timings of one GPU, as `measure_gpu.py` would write them."""
    data = Path(__file__).parents[3] / "shared" / "data" / "calibration"
    if not data.exists():
        pytest.skip("../shared/data is not beside this checkout")
    tables = folder / "timings"
    tables.mkdir()
    for name in KERNELS:
        lines = (data / f"{name}.csv").read_text().splitlines()
        own = [line for line in lines if line.startswith((gpu + ",", "gpu,"))]
        (tables / f"{name}.csv").write_text("\n".join(own) + "\n")
    return tables


def test_kernel_timings_become_an_efficiency_that_scenarios_name(server: Server) -> None:
    """Errors are printed; the file replaces the catalogue's and the report says so."""
    kernel_tables(server.folder)
    fitted = ["--kernels", "timings", "--accelerator", "l40s", "--out", "mine.yaml"]
    named = ["--set", "fleet.cost_model={kind: roofline, efficiency: mine.yaml}"]

    assert 0 == server.llmsim("calibrate", *fitted)
    assert "decode attention" in server.stdout
    assert {"gemm", "prefill", "decode"} <= set(yaml.safe_load((server.folder / "mine.yaml").read_text()))
    assert 0 == server.llmsim("run", "tiny.yaml", "--set", "fleet.0.accelerator=l40s", *named)
    assert "fitted to kernel timings: mine.yaml" in " ".join(server.stdout.split())
    assert 2 == server.llmsim("run", "tiny.yaml", *named)
    assert "is of l40s, not of h100-sxm" in server.stderr


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text.replace(",k,", ",depth,"), "op_gemm.csv: has no column k"),
        (lambda text: text.replace("linear,1,4096,4096", "linear,1,4096,-1", 1), "k is '-1'"),
        (lambda text: text.replace("L40S,vllm", "H20,vllm", 1), "holds timings of H20, L40S"),
    ],
)
def test_kernel_timings_that_cannot_be_are_refused(server: Server, change: Any, message: str) -> None:
    """With table, row and reason; nothing is written."""
    table = kernel_tables(server.folder) / "op_gemm.csv"
    table.write_text(change(table.read_text()))

    assert 2 == server.llmsim(
        "calibrate", "--kernels", "timings", "--accelerator", "l40s", "--out", "mine.yaml"
    )
    assert message in server.stderr
    assert not (server.folder / "mine.yaml").exists()
