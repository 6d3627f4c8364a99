"""Errors over runs, intervals and their coverage, and the command itself."""

from __future__ import annotations

import json
from math import exp, log
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from llmsim.calibrate.engines_fit import ProfileFit, with_fit, with_floor
from llmsim.calibrate.intervals import SpreadFit, fit_spreads, weighted_quantile, with_spreads
from llmsim.calibrate.runs import METRICS, MeasuredRun
from llmsim.calibrate.validate import Comparison, Validated, validate_run
from llmsim.calibrate.validate_summary import as_json, by_group, by_metric, coverage, headlines, over_sources
from llmsim.cli.app import app
from llmsim.cost.engines import EngineProfile, engine_profile
from llmsim.cost.intervals import Spreads, Z, gpu_class, metric_class, model_spread, spreads
from llmsim.files import catalog
from llmsim.files.catalog import read, root
from llmsim.measure.errors import HEADLINES, model_error

RUNS = (
    "id,source,gpu,model,engine,engine_version,arrival,concurrency,num_requests,input_mean,output_mean,"
    "ttft_ms_mean,tpot_ms_mean\n"
    "one,lab@1,h100-sxm,llama-3.1-8b,vllm,0.15.1,closed,4,12,256,32,30,7\n"
    "two,lab@1,h100-sxm,no-such-model,vllm,0.15.1,closed,4,12,256,32,30,7\n"
)


def item(source="a@1", regime="stable", **pairs):
    run = MeasuredRun("x:1", {"id": "r", "source": source})
    metrics = {name: Comparison(*values) for name, values in pairs.items()}
    groups = {"gpu": "h100-sxm", "model": "m", "engine": "e", "regime": regime}
    return Validated(run, "simulated", "", metrics, (), groups)


def test_errors_are_signed_and_relative():
    assert 0.1 == pytest.approx(Comparison(110.0, 100.0).error)
    assert -0.5 == Comparison(50.0, 100.0).error


def test_statistics_are_of_absolute_errors():
    stats = by_metric([item(tpot_ms_mean=(110, 100)), item(tpot_ms_mean=(70, 100))])["tpot_ms_mean"]

    assert (2, pytest.approx(0.2), pytest.approx(0.2), pytest.approx(0.28)) == (
        stats.n,
        stats.median,
        stats.mean,
        stats.p90,
    )


def test_ttft_counts_only_below_saturation():
    found = headlines([item(ttft_ms_mean=(110, 100)), item(regime="overloaded", ttft_ms_mean=(900, 100))])

    assert 1 == found["ttft_below_saturation"].n


def test_a_large_source_does_not_outvote_a_small_one():
    many = [item("a@1", tpot_ms_mean=(101, 100))] * 9
    few = [item("b@1", tpot_ms_mean=(120, 100))]

    assert 0.01 == pytest.approx(headlines(many + few)["tpot_itl"].median)
    assert (2, pytest.approx(0.105)) == (
        over_sources(many + few)["tpot_itl"].n,
        over_sources(many + few)["tpot_itl"].median,
    )


def test_groups_hold_their_own_runs():
    groups = by_group([item(tpot_ms_mean=(110, 100)), item(regime="closed loop", tpot_ms_mean=(100, 100))])

    assert {"stable", "closed loop"} == set(groups["regime"])
    assert 0.0 == groups["regime"]["closed loop"]["tpot_itl"].median


def test_coverage_is_the_share_of_intervals_that_hold():
    pairs = [(100.0, 100.0, 90.0, 110.0), (100.0, 120.0, 90.0, 110.0)]
    found = coverage([item(tpot_ms_mean=pair) for pair in pairs] + [item(tpot_ms_mean=(1.0, 1.0))])

    assert {"tpot_ms_mean": 0.5, "all": 0.5} == found


def test_fitted_spreads_cover_what_they_were_fitted_to():
    errors = [-0.3, -0.1, 0.05, 0.1, 0.4]
    items = [item(tpot_ms_mean=(100 * exp(e), 100.0)) for e in errors]
    spread = fit_spreads(items)["tpot"].spread

    assert 0.3 / Z == pytest.approx(spread, abs=5e-4)
    assert 0.05 == pytest.approx(fit_spreads(items)["tpot"].median)


def test_the_quantile_counts_weights():
    assert 1.0 == weighted_quantile([1.0, 5.0], [8.0, 2.0], 0.8)
    assert 5.0 == weighted_quantile([1.0, 5.0], [7.0, 3.0], 0.8)


def test_every_metric_has_a_spread():
    assert {metric_class(field) for field in METRICS.values()} <= set(spreads().validation)
    assert {metric_class(field) for field in HEADLINES} <= set(spreads().validation)


def test_less_known_is_less_sure():
    measured, prior = engine_profile("vllm", "0.23.0"), engine_profile("sglang")
    h100, l4 = catalog.accelerator("h100-sxm"), catalog.accelerator("l4")
    known, elsewhere, engine = (
        model_spread(h100, measured),
        model_spread(l4, measured),
        model_spread(h100, prior),
    )

    assert ("measured", "transferred") == (gpu_class(h100), gpu_class(l4))
    assert all(known[metric] < elsewhere[metric] for metric in known)
    assert all(known[metric] < engine[metric] for metric in known)


def test_the_interval_of_a_run_is_that_of_its_least_certain_replica():
    replicas = [SimpleNamespace(model_spread=dict.fromkeys(spreads().validation, s)) for s in (0.1, 0.2)]
    found = model_error(replicas, {"mean_ttft_ms": 50.0, "p99_itl_ms": None})

    assert {"mean_ttft_ms"} == set(found)
    assert 0.2 * Z == pytest.approx(log(found["mean_ttft_ms"]["high"] / 50.0))
    assert 0.2 * Z == pytest.approx(log(50.0 / found["mean_ttft_ms"]["low"]))
    assert model_error([SimpleNamespace(model_spread={})], {"mean_ttft_ms": 50.0}) is None


def test_fits_are_written_into_their_files():
    text = (root() / "hardware" / "engines" / "vllm-v1.yaml").read_text()
    values = {"host_iteration_s": 0.00123, "host_sequence_s": 4e-06, "request_s": 0.0077}
    fit = ProfileFit(values, dict.fromkeys(values, 0.4), {"tpot": 0.02}, 9, {})
    profile = EngineProfile.model_validate(_yaml(with_fit(text, fit)))

    assert (0.00123, 4e-06, 0.0077, 9, {"tpot": 0.02}) == (
        profile.host.iteration_s.value,
        profile.host.sequence_s.value,
        profile.front_end.request_s.value,
        profile.points,
        profile.fit,
    )
    assert with_fit(with_fit(text, fit), fit) == with_fit(text, fit)
    assert 0.5 == EngineProfile.model_validate(_yaml(with_floor(text, 0.5))).kernel_floor.value


def test_spreads_are_written_into_their_file():
    text = (root() / "hardware" / "intervals.yaml").read_text()
    written = with_spreads(text, {"ttft": SpreadFit(0.5, 3, 4, -0.1), "tpot_tail": SpreadFit(0.6, 5, 6, 0.1)})
    validation = Spreads.model_validate(_yaml(written)).validation

    assert (0.5, 3, 4, -0.1) == tuple(vars(validation["ttft"]).values())
    assert 0.6 == validation["tpot_tail"].spread
    assert spreads().validation["tpot"] == validation["tpot"]


def _yaml(text):
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.yaml"
        path.write_text(text)
        return read(path)


def test_a_run_is_simulated_and_compared(tmp_path):
    path = tmp_path / "runs.csv"
    path.write_text(RUNS)
    result = CliRunner().invoke(app, ["validate", str(path), "--json", "--workers", "1"])
    answer = json.loads(result.stdout)
    one, two = answer["runs"]
    pair = one["metrics"]["tpot_ms_mean"]

    assert ("simulated", "not expressible") == (one["status"], two["status"])
    assert "unknown model" in two["reason"]
    assert pair["error"] == pytest.approx((pair["predicted"] - 7) / 7)
    assert pair["low"] < pair["predicted"] < pair["high"]
    assert {"runs": 2, "simulated": 1, "not_expressible": 1, "refused": 0, "failed": 0} == answer["counts"]
    assert {"n", "median", "mean", "p90"} == set(answer["summary"]["tpot_ms_mean"])


def test_the_report_names_what_was_left_out(tmp_path):
    path = tmp_path / "runs.csv"
    path.write_text(RUNS)
    text = CliRunner().invoke(app, ["validate", str(path), "--workers", "1"]).stdout

    assert "1 of 2 runs simulated" in text
    assert "not expressible: two: " in text
    assert "80% intervals hold" in text


def test_an_empty_answer_is_an_answer():
    assert {} == as_json([Validated(MeasuredRun("x", {"id": "r"}), "not expressible", "why")])["summary"]


def test_a_scenario_that_does_not_fit_is_not_skipped():
    texts = {"id": "r", "gpu": "rtx-4090", "model": "llama-3.1-70b", "engine": "vllm", "arrival": "closed"}
    run = MeasuredRun(
        "x", texts, {"concurrency": 1.0, "input_mean": 9.0, "output_mean": 9.0}, {"tpot_ms_mean": 9.0}
    )
    found = validate_run(run)

    assert "not expressible" == found.status
    assert "does not fit" in found.reason


def command(tmp_path, text, *options):
    path = tmp_path / "runs.csv"
    path.write_text(text)
    return CliRunner().invoke(app, ["validate", str(path), "--workers", "1", *options])


def test_when_nothing_can_be_simulated_the_command_fails_and_says_why(tmp_path):
    result = command(tmp_path, RUNS, "--set", "gpu=abacus")

    assert 2 == result.exit_code
    assert "0 of 2 runs simulated" in result.stdout
    assert "runs.csv:2: one: unknown accelerator 'abacus'" in result.stderr
    assert "median" not in result.stdout


def test_a_refused_figure_fails_the_command_but_not_the_other_rows(tmp_path):
    head, one, *_ = RUNS.splitlines()
    cells = dict(zip(head.split(","), one.split(","), strict=True))
    wrong = ",".join((cells | {"id": "wrong", "ttft_ms_mean": "30000", "tpot_ms_mean": ""}).values())
    right = ",".join((cells | {"id": "right"}).values())
    result = command(tmp_path, "\n".join([head, right, wrong]), "--json")
    statuses = {run["id"]: run["status"] for run in json.loads(result.stdout)["runs"]}

    assert 2 == result.exit_code
    assert {"right": "simulated", "wrong": "refused"} == statuses
    assert "runs.csv:3: wrong: ttft_ms_mean 30000 is about a thousand times" in result.stderr


def test_quiet_prints_nothing_where_all_is_well(tmp_path):
    result = command(tmp_path, RUNS, "--quiet")

    assert (0, "") == (result.exit_code, result.stdout)


def test_the_report_says_what_was_assumed(tmp_path):
    assert "assumed in 1 of them: max_num_seqs" in command(tmp_path, RUNS).stdout
