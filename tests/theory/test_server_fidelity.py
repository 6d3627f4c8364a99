"""Real server runs, published by others: the simulation against them, with its errors stated."""

from __future__ import annotations

from pathlib import Path

import pytest

from llmsim.calibrate.runs import read_runs
from llmsim.calibrate.validate import validate
from llmsim.calibrate.validate_summary import coverage, headlines, over_sources

RUNS = Path(__file__).parents[3] / "shared" / "data" / "calibration" / "measured_runs.csv"
pytestmark = pytest.mark.skipif(
    not RUNS.is_file(), reason="the shared data folder is not beside the checkout"
)


@pytest.fixture(scope="module")
def validated():
    return validate(read_runs(RUNS))


def test_every_run_is_simulated_or_named_with_its_reason(validated):
    missing = {item.run.id: item.reason for item in validated if item.status != "simulated"}

    assert 73 == len(validated)
    assert {
        "isotel-jan21-llama7b-train-1": "arrivals of a trace, whose times the row does not hold",
        "yobitel-llama8b-h100-c1": "input_mean is not given",
        "yobitel-llama8b-h100-c4": "input_mean is not given",
    } == missing


@pytest.mark.parametrize(
    ("headline", "target"),
    [("tpot_itl", 0.04), ("throughput", 0.04), ("e2e", 0.05), ("ttft_below_saturation", 0.12)],
)
def test_median_errors_meet_their_targets(validated, headline, target):
    assert headlines(validated)[headline].median <= target


@pytest.mark.parametrize(
    ("headline", "limit"),
    [("tpot_itl", 0.06), ("throughput", 0.06), ("e2e", 0.06), ("ttft_below_saturation", 0.15)],
)
def test_no_large_source_makes_the_median(validated, headline, limit):
    assert over_sources(validated)[headline].median <= limit


def test_about_eighty_percent_of_the_intervals_hold(validated):
    assert 0.72 <= coverage(validated)["all"] <= 0.92
