"""Arrivals whose rate jumps or whose gaps change: means, and indices of dispersion against closed forms.

Tolerances are four standard errors, estimated from the spread over independent runs where no formula gives them.
"""

from __future__ import annotations

from math import exp, sqrt
from typing import Any

import numpy as np
import pytest

from llmsim.spec.workload import Workload
from llmsim.workload import modulated, plain
from llmsim.workload.stream import open_stream

MMPP = {"kind": "mmpp", "rates": [2.0, 30.0], "mean_stay_s": [8.0, 2.0]}


def times(arrival: dict[str, Any], seed: int = 0, **end: Any) -> np.ndarray:
    """Arrival times."""
    keys = {"arrival": arrival, "input_tokens": 1, "output_tokens": 1, **end}
    found = open_stream(Workload.model_validate(keys), seed)
    return np.array([req.arrival_s for req in found.requests()])


def dispersion(arrival: dict[str, Any], window_s: float, runs: int = 12, windows: int = 1500) -> np.ndarray:
    """Variance over mean of the counts in windows, run by run. shape (runs,)"""
    found = []
    for seed in range(runs):
        at = times(arrival, seed, duration_s=window_s * windows)
        counts = np.histogram(at, np.arange(windows + 1) * window_s)[0]
        found.append(counts.var(ddof=1) / counts.mean())
    return np.array(found)


def near(expected: float, found: np.ndarray) -> bool:
    """Whether the mean of ``found`` is within four of its standard errors of ``expected``."""
    return bool(abs(found.mean() - expected) < 4 * found.std(ddof=1) / sqrt(len(found)))


@pytest.mark.parametrize(
    "arrival",
    [
        MMPP,
        MMPP | {"request_rate": 3.0},
        {"kind": "mmpp", "rates": [0.0, 5.0, 40.0], "mean_stay_s": [3.0, 2.0, 0.5]},
    ],
)
def test_mmpp_has_its_mean_rate(arrival: dict[str, Any]) -> None:
    """Σ rate·stay / Σ stay, scaled by request_rate, for two states and for three."""
    rates, stays = np.array(arrival["rates"]), np.array(arrival["mean_stay_s"])
    expected = arrival.get("request_rate") or (rates * stays).sum() / stays.sum()
    found = np.array([len(times(arrival, seed, duration_s=2000.0)) / 2000 for seed in range(12)])

    assert near(expected, found)


@pytest.mark.parametrize("window_s", [0.5, 4.0])
def test_mmpp_disperses_as_the_closed_form_says(window_s: float) -> None:
    """Two states: I(t) = 1 + A·(1 − (1 − e^{−σt})/σt) with σ = σ1 + σ2, A = 2·σ1·σ2·(λ1 − λ2)²/(σ²·(λ1·σ2 + λ2·σ1)).

    Source: Heffes and Lucantoni 1986, "A Markov modulated characterization of packetized voice and data traffic",
    IEEE JSAC 4(6), equation 5.
    """
    (one, two), (leave_one, leave_two) = MMPP["rates"], [1 / stay for stay in MMPP["mean_stay_s"]]  # type: ignore[misc, attr-defined]
    jumps = leave_one + leave_two
    most = 2 * leave_one * leave_two * (one - two) ** 2 / (jumps**2 * (one * leave_two + two * leave_one))
    expected = 1 + most * (1 - (1 - exp(-jumps * window_s)) / (jumps * window_s))

    assert near(expected, dispersion(MMPP, window_s))
    assert expected > 3


def test_mmpp_with_equal_rates_is_poisson() -> None:
    """Jumps between equal rates change nothing: variance = mean."""
    assert near(1.0, dispersion({"kind": "mmpp", "rates": [9, 9], "mean_stay_s": [1.0, 3.0]}, 2.0))


def test_mmpp_begins_in_its_steady_state() -> None:
    """The first second is as busy on average as any other: over many seeds its mean is the mean rate."""
    found = np.array([len(times(MMPP, seed, duration_s=1.0)) for seed in range(1500)], dtype=np.float64)

    assert near(7.6, found)


def test_modulated_gaps_have_each_windows_rate_and_burstiness() -> None:
    """Within a window of many gaps: mean 1/rate, squared CV 1/burstiness."""
    arrival = {
        "kind": "modulated_gamma", "request_rate": 30.0, "rates": [1, 3, 2], "burstiness": [4.0, 1.0, 0.25],
        "window_s": 1000.0,
    }  # fmt: skip
    at = times(arrival, duration_s=3000.0)

    for window, (rate, burstiness) in enumerate([(15, 4.0), (45, 1.0), (30, 0.25)]):
        gaps = np.diff(at[(at > 1000 * window) & (at < 1000 * (window + 1))])
        assert 1 / rate == pytest.approx(gaps.mean(), rel=4 / sqrt(burstiness * len(gaps)))
        assert 1 / burstiness == pytest.approx(gaps.var() / gaps.mean() ** 2, rel=0.1)


def test_windows_repeat_and_keep_the_mean_rate() -> None:
    """Short windows, most gaps longer than they are: requests per second over many turns are the mean rate."""
    arrival = {
        "kind": "modulated_gamma", "request_rate": 0.5, "rates": [0, 1, 5], "burstiness": [9, 0.2, 2], "window_s": 1.0
    }  # fmt: skip
    found = np.array([len(times(arrival, seed, duration_s=3000.0)) / 3000 for seed in range(12)])
    at = times(arrival, duration_s=3000.0)

    assert near(0.5, found)
    assert (np.diff(at) >= 0).all()
    assert not ((at % 3 > 1e-6) & (at % 3 < 1 - 1e-6)).any(), "nobody comes while the rate is 0"


def test_one_window_is_the_gamma_process() -> None:
    """The same gaps, to rounding."""
    gamma = times({"kind": "gamma", "request_rate": 7.0, "burstiness": 0.5}, num_requests=5000)
    windows = times(
        {"kind": "modulated_gamma", "request_rate": 7.0, "burstiness": [0.5], "window_s": 1e6}, num_requests=5000
    )  # fmt: skip

    assert gamma.mean() == pytest.approx(windows.mean(), rel=0.1)
    assert np.diff(gamma).std() == pytest.approx(np.diff(windows).std(), rel=0.1)


@pytest.mark.parametrize(
    "arrival",
    [MMPP, {"kind": "modulated_gamma", "request_rate": 5.0, "burstiness": [0.2, 3.0], "window_s": 7.0}],
)
def test_how_many_are_drawn_at_a_time_changes_nothing(
    arrival: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """To the last bit, whatever the blocks of requests and of stays."""
    expected = times(arrival, num_requests=3000)
    monkeypatch.setattr(plain, "BLOCK", 7)

    assert expected.tolist() == times(arrival, num_requests=3000).tolist()
    monkeypatch.setattr(modulated, "STAYS", 1024)
    assert expected.tolist() == times(arrival, num_requests=3000).tolist()
