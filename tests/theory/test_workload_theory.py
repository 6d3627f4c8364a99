"""Draws match the formulas they are named after, and profiles the traces they come from.

Tolerances are four standard errors of the statistic at the sample's size, unless a test says otherwise.
"""

from __future__ import annotations

import csv
import subprocess
import sys
from datetime import datetime, timedelta
from math import exp, log, sqrt
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from llmsim.files.traces import read_trace
from llmsim.spec.workload import Workload
from llmsim.workload.diurnal import SHAPES
from llmsim.workload.profile import load_profile
from llmsim.workload.stream import open_stream

ROOT = Path(__file__).parents[2]
TRACES = ROOT.parent / "shared/data/traces"
N = 50_000
PROFILES = {
    "azure-2023-conversation": "azure_llm_2023_conv.csv",
    "azure-2023-code": "azure_llm_2023_code.csv",
}


def _draws(seed: int = 0, **keys: Any) -> np.ndarray:
    """Arrival times, prompt and output lengths of a workload. shape (num_requests, 3)"""
    stream = open_stream(Workload.model_validate(keys), seed)
    rows = [(req.arrival_s, req.input_tokens, req.output_tokens) for req in stream.requests()]
    return np.array(rows, dtype=np.float64)


def _gaps(arrival: dict[str, Any]) -> np.ndarray:
    times = _draws(arrival=arrival, input_tokens=1, output_tokens=1, num_requests=N)[:, 0]
    return np.diff(times, prepend=0.0)


def _lengths(tokens: dict[str, Any]) -> np.ndarray:
    return _draws(arrival={"kind": "burst"}, input_tokens=tokens, output_tokens=1, num_requests=N)[:, 1]


def _trace(name: str) -> np.ndarray:
    path = TRACES / PROFILES[name]
    if not path.exists():
        pytest.skip(f"{path} is not here")
    trace = read_trace(path)
    assert trace.arrival_s is not None
    return np.stack([trace.arrival_s, trace.input_tokens, trace.output_tokens], axis=1)


@pytest.mark.parametrize("burstiness", [0.25, 1.0, 4.0])
def test_gamma_gaps_have_vllms_moments(burstiness: float) -> None:
    """Mean gap 1/rate and squared CV 1/burstiness, as `vllm bench serve --burstiness` means it."""
    gaps = _gaps({"kind": "gamma", "request_rate": 20.0, "burstiness": burstiness})
    cv = 1 / sqrt(burstiness)

    assert 1 / 20 == pytest.approx(gaps.mean(), rel=4 * cv / sqrt(N))
    assert cv**2 == pytest.approx(gaps.var() / gaps.mean() ** 2, rel=0.08)


def test_poisson_counts_have_equal_mean_and_variance() -> None:
    """Requests per second of a Poisson process: variance = mean, within four standard errors."""
    times = np.cumsum(_gaps({"kind": "poisson", "request_rate": 20.0}))
    counts = np.histogram(times, np.arange(0, int(times[-1])))[0]

    assert 1 == pytest.approx(counts.var() / counts.mean(), abs=4 * sqrt(2 / len(counts)))


def test_poisson_gaps_are_exponential() -> None:
    """The share of gaps longer than x means is exp(-x)."""
    gaps = _gaps({"kind": "poisson", "request_rate": 20.0})

    for means in (0.1, 1.0, 3.0):
        share = exp(-means)
        assert share == pytest.approx((gaps > means / 20).mean(), abs=4 * sqrt(share * (1 - share) / N))


def test_uniform_lengths_reach_both_ends_equally_often() -> None:
    """Each of 3, 4, 5, 6, 7 is a fifth of the draws."""
    lengths, counts = np.unique(_lengths({"kind": "uniform", "min": 3, "max": 7}), return_counts=True)

    assert [3, 4, 5, 6, 7] == lengths.tolist()
    assert [0.2] * 5 == pytest.approx((counts / N).tolist(), abs=4 * sqrt(0.16 / N))


def test_normal_lengths_have_their_moments() -> None:
    """Far from the limits, mean and standard deviation are those asked for."""
    lengths = _lengths({"kind": "normal", "mean": 500, "std": 50})

    assert 500 == pytest.approx(lengths.mean(), abs=4 * 50 / sqrt(N))
    assert 50 == pytest.approx(lengths.std(), rel=4 / sqrt(2 * N))


def test_lognormal_lengths_have_their_moments() -> None:
    """mean and std are of the lengths; the median is mean/√(1 + std²/mean²)."""
    lengths = _lengths({"kind": "lognormal", "mean": 1000, "std": 500})

    assert 1000 == pytest.approx(lengths.mean(), abs=4 * 500 / sqrt(N))
    assert 500 == pytest.approx(lengths.std(), rel=0.05)
    assert 1000 / sqrt(1.25) == pytest.approx(np.median(lengths), rel=4 * 1.2533 * sqrt(log(1.25) / N))


def test_draws_outside_the_limits_are_drawn_again_not_clipped() -> None:
    """A normal cut at its mean keeps its shape: the limit itself is no more frequent than its neighbour."""
    lengths = _lengths({"kind": "normal", "mean": 100, "std": 20, "min": 100})
    at_limit, next_to_it = (lengths == 100).mean(), (lengths == 101).mean()

    assert 100 == lengths.min()
    assert at_limit == pytest.approx(next_to_it, rel=0.15)


def test_quantile_lengths_have_their_quantiles() -> None:
    """Percentiles come back as they were given, straight lines between them."""
    table = {"percentiles": [0, 50, 90, 100], "tokens": [10, 100, 200, 1000]}
    lengths = _lengths({"kind": "quantiles", **table})

    assert [10, 55, 100, 200] == pytest.approx(np.percentile(lengths, [0, 25, 50, 90]), rel=0.03)
    assert lengths.max() <= 1000


def test_choice_follows_its_weights() -> None:
    """Weights 3 and 1 make three quarters and one quarter."""
    lengths = _lengths({"kind": "choice", "tokens": [100, 900], "weights": [3, 1]})

    assert 0.75 == pytest.approx((lengths == 100).mean(), abs=4 * sqrt(0.1875 / N))


@pytest.mark.parametrize("name", PROFILES)
def test_profile_offers_the_traces_rate(name: str) -> None:
    """The number of requests over the profile is the trace's within 2%, averaged over five seeds."""
    offered = np.mean([len(_draws(seed, profile=name)) for seed in range(5)])

    assert len(_trace(name)) == pytest.approx(offered, rel=0.02)


@pytest.mark.parametrize("name", PROFILES)
@pytest.mark.parametrize("column", [1, 2])
def test_profile_has_the_traces_lengths(name: str, column: int) -> None:
    """Mean within 3% and P50, P90, P99 within 5% (or 2 tokens) of the trace's."""
    real = _trace(name)[:, column]
    drawn = _draws(profile=name, num_requests=200_000)[:, column]

    assert real.mean() == pytest.approx(drawn.mean(), rel=0.03)
    for percentile in (50, 90, 99):
        assert np.percentile(real, percentile) == pytest.approx(
            np.percentile(drawn, percentile), rel=0.05, abs=2
        )


def test_profile_keeps_the_correlation_of_lengths() -> None:
    """Longer prompts go with shorter answers in the conversation trace, as much as in the profile."""
    real, drawn = (
        np.corrcoef(rows[:, 1:].T)[0, 1]
        for rows in (
            _trace("azure-2023-conversation"),
            _draws(profile="azure-2023-conversation", num_requests=200_000),
        )
    )

    assert real < -0.1
    assert real == pytest.approx(drawn, abs=0.02)


@pytest.mark.parametrize("name", PROFILES)
@pytest.mark.parametrize("window_s", [1, 10, 60])
def test_profile_is_as_bursty_as_the_trace(name: str, window_s: int) -> None:
    """Counts per window vary as in the trace: variance over mean within 30% (mean of five seeds)."""

    def dispersion(times: np.ndarray) -> float:
        counts = np.histogram(times, np.arange(0, 3420, window_s))[0]
        return float(counts.var() / counts.mean())

    drawn = np.mean([dispersion(_draws(seed, profile=name)[:, 0]) for seed in range(5)])

    assert dispersion(_trace(name)[:, 0]) == pytest.approx(drawn, rel=0.3)


def test_profile_follows_the_rate_over_time() -> None:
    """The busiest ten minutes of the conversation trace are the profile's too: 1.9 times its quietest."""
    times = np.concatenate([_draws(seed, profile="azure-2023-conversation")[:, 0] for seed in range(5)])
    counts = np.histogram(times, np.arange(0, 3001, 600))[0] / 5
    real = np.histogram(_trace("azure-2023-conversation")[:, 0], np.arange(0, 3001, 600))[0]

    assert real.tolist() == pytest.approx(counts.tolist(), rel=0.05)


def _counts_per_window(arrival: dict[str, Any], windows: int, days: int) -> np.ndarray:
    """Requests in each window of each day. shape (days, windows)"""
    period_s = arrival.get("period_s", 86400.0)
    times = _draws(arrival=arrival, input_tokens=1, output_tokens=1, duration_s=days * period_s)[:, 0]
    return np.histogram(times, np.linspace(0, days * period_s, days * windows + 1))[0].reshape(days, windows)


@pytest.mark.parametrize("shape", ["conversation", "code"])
def test_diurnal_arrivals_bring_each_hours_requests(shape: str) -> None:
    """Counts per hour of a day are Poisson around the shape's share: within four standard deviations each."""
    counts = _counts_per_window({"kind": "diurnal", "request_rate": 1.0, "shape": shape}, 24, 1)[0]
    expected = 3600 * np.array(SHAPES[shape]) / np.mean(SHAPES[shape])

    assert (abs(counts - expected) < 4 * np.sqrt(expected)).all()


def test_diurnal_days_repeat_at_random() -> None:
    """Over 200 short days, seven windows have their proportions, an empty one stays empty, and counts vary as
    Poisson's do: the mean of each is within four standard errors, and so is variance over mean, of 1."""
    shape = [1.0, 0.0, 2.0, 4.0, 3.0, 2.0, 2.0]
    arrival = {"kind": "diurnal", "request_rate": 10.0, "shape": shape, "period_s": 70.0}
    counts = _counts_per_window(arrival, 7, 200)
    expected = 700 * np.array(shape) / sum(shape)

    assert (abs(counts.mean(axis=0) - expected) <= 4 * np.sqrt(expected / 200)).all()
    busy = counts[:, expected > 0]
    dispersion = busy.var(axis=0, ddof=1) / busy.mean(axis=0)
    assert 1 == pytest.approx(dispersion.mean(), abs=4 * sqrt(2 / (199 * busy.shape[1])))


@pytest.mark.parametrize(("shape", "trace"), [("conversation", "conv"), ("code", "code")])
def test_diurnal_shapes_are_those_of_azures_weekdays(shape: str, trace: str) -> None:
    """Each hour's share is the mean of the published rates on Monday to Friday, to three digits."""
    path = TRACES / "azure_llm_2024_rate_profile.csv"
    if not path.exists():
        pytest.skip(f"{path} is not here")
    hours: dict[int, list[float]] = {}
    with path.open() as lines:
        for row in csv.DictReader(lines):
            moment = datetime.fromisoformat(row["start_date_utc"]) + timedelta(seconds=float(row["offset_s"]))
            if row["trace"] == trace and moment.weekday() < 5:
                hours.setdefault(moment.hour, []).append(float(row["requests_per_s"]))
    means = np.array([np.mean(hours[hour]) for hour in range(24)])

    assert (means / means.mean()).tolist() == pytest.approx(list(SHAPES[shape]), rel=0.006)


@pytest.mark.parametrize("name", PROFILES)
def test_profile_is_derived_by_the_script(name: str) -> None:
    """The shipped profile is what benchmarks/derive_profile.py makes of the trace, byte for byte."""
    _trace(name)
    script = ROOT / "benchmarks/derive_profile.py"
    command = [sys.executable, script, name, TRACES / PROFILES[name]]
    made = subprocess.run(command, capture_output=True, check=True).stdout

    assert (ROOT / f"workloads/{name}.yaml").read_bytes() == made


@pytest.mark.parametrize("name", PROFILES)
def test_profile_is_small_and_says_where_it_comes_from(name: str) -> None:
    """A profile is under 20 kB and carries source and licence."""
    profile = load_profile(name, ROOT)

    assert (ROOT / f"workloads/{name}.yaml").stat().st_size < 20_000
    assert "Splitwise" in profile.source
    assert "CC-BY-4.0" == profile.licence
