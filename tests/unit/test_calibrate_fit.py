"""The fit of a user's runs on made-up servers whose truth is known: what it finds, keeps and refuses."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmsim.calibrate.identify import Coefficient, select, standard_errors
from llmsim.calibrate.server_fit import Fit, Target, fit
from llmsim.errors import UserError

HOST = Coefficient("host_iteration_s", "host time per iteration", 1e-3, 1e-3)
SEQUENCE = Coefficient("host_sequence_s", "host time per sequence and iteration", 2e-5, 2e-5)
BANDWIDTH = Coefficient("bandwidth_factor", "the factor on all memory bandwidths", 1.0, 0.1, most=1.12)
ALL = (HOST, BANDWIDTH, SEQUENCE)


def tpot_ms(batch: float, values: dict[str, float]) -> float:
    """A server: weights and KV from memory, host time per iteration and per sequence."""
    memory_ms = (6.0 + 0.25 * batch) / values["bandwidth_factor"]
    return memory_ms + 1e3 * (values["host_iteration_s"] + values["host_sequence_s"] * batch)


def fitted(batches: Sequence[float], truth: dict[str, float], noise: Sequence[float] = ()) -> Fit:
    measured = [tpot_ms(batch, truth) for batch in batches]
    targets = [
        Target(index, "mean_tpot_ms", value * float(np.exp(error)), 0.02)
        for index, (value, error) in enumerate(zip(measured, noise or [0.0] * len(measured), strict=True))
    ]
    return fit(lambda values: [tpot_ms(b, values) for b in batches], targets, ALL, lambda: batches)


def truth(host: float = 2e-3, bandwidth: float = 0.95, sequence: float = 2e-5) -> dict[str, float]:
    return {"host_iteration_s": host, "bandwidth_factor": bandwidth, "host_sequence_s": sequence}


@settings(max_examples=30, deadline=None)
@given(host=st.floats(1e-4, 6e-3), bandwidth=st.floats(0.75, 1.1))
def test_runs_from_small_to_large_batches_tell_host_time_from_bandwidth(
    host: float, bandwidth: float
) -> None:
    """Exact runs give the truth back; what is kept is at its true default."""
    found = {f.coefficient.name: f.value for f in fitted([1, 2, 64, 128, 256], truth(host, bandwidth)).fitted}

    assert {
        "host_iteration_s": pytest.approx(host, rel=0.01),
        "bandwidth_factor": pytest.approx(bandwidth, rel=0.01),
    } == found


def test_exact_runs_have_no_error_left() -> None:
    """Before and after, as logarithms of predicted / measured."""
    result = fitted([1, 64, 256], truth())

    assert max(map(abs, result.after)) < 1e-3
    assert max(map(abs, result.before)) > 0.05


@pytest.mark.parametrize(
    ("batches", "words"),
    [([16], "one run, mean batch 16"), ([16, 17, 16], "one load level, mean batch 16 to 17")],
)
def test_one_load_level_fits_host_time_and_keeps_the_bandwidth(batches: list[float], words: str) -> None:
    """A longer host time and a smaller bandwidth are the same to it; the reason says so."""
    result = fitted(batches, truth())
    left = {coefficient.name: why for coefficient, why in result.left}

    assert ["host_iteration_s"] == [each.coefficient.name for each in result.fitted]
    assert words in left["bandwidth_factor"]
    assert "does the same as host time per iteration" in left["bandwidth_factor"]
    assert "other batch sizes" in left["bandwidth_factor"]


def test_what_runs_do_not_feel_is_kept_with_the_reason() -> None:
    """20 µs a sequence in a batch of one is nothing beside the noise."""
    left = {coefficient.name: why for coefficient, why in fitted([1.0], truth()).left}

    assert "these runs hardly feel it: one spread (0 µs to 40 µs)" in left["host_sequence_s"]


def test_a_bandwidth_above_the_datasheet_is_refused_with_its_value() -> None:
    """Not clamped to 1.12, where the share of the peak is 1."""
    with pytest.raises(
        UserError, match=r"bandwidth_factor: the runs would need .* of about 1\.3\d\d .*datasheet's peak"
    ):
        fitted([1, 2, 64, 128, 256], truth(host=1e-3, bandwidth=1.35))


def test_a_negative_host_time_is_refused_with_its_value() -> None:
    """A server faster than its kernels is a scenario that does not describe it."""
    with pytest.raises(
        UserError, match=r"host_iteration_s: the runs would need .* of about -2[.0-9]* ms .*below zero"
    ) as caught:
        fitted([1, 2, 64, 128, 256], truth(host=-2e-3, bandwidth=1.0))
    assert caught.value.hint is not None
    assert "model, dtype, accelerator" in caught.value.hint


def test_a_time_of_zero_within_its_uncertainty_is_not_refused() -> None:
    """Noise may put the best value a little below zero; the interval then starts at zero."""
    result = fitted([16, 16, 16], truth(host=-0.5e-4, bandwidth=1.0), noise=[0.02, -0.02, 0.0])

    assert (0.0, 0.0) == (result.fitted[0].value, result.fitted[0].low)
    assert (result.fitted[0].beyond or 0.0) < 0.0  # what the runs alone would make it is said
    assert result.fitted[0].high > 1e-4


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    """200 servers with 2% noise: 80% intervals, so about 160 hold (binomial: 140 to 180 nearly always)."""
    rng = np.random.default_rng(0)
    held = 0
    batches = [1.0, 2.0, 4.0, 64.0, 128.0, 256.0]
    for _ in range(200):
        host = rng.uniform(1e-3, 4e-3)
        result = fitted(batches, truth(host, 0.95), noise=list(rng.normal(0.0, 0.02, len(batches))))
        held += result.fitted[0].low <= host <= result.fitted[0].high

    assert 140 <= held <= 190


def test_a_wrong_model_widens_the_intervals() -> None:
    """The scatter that is left over counts, not the noise that was hoped for."""
    batches = [1.0, 2.0, 4.0, 64.0, 128.0, 256.0]
    exact, scattered = (
        fitted(batches, truth(), noise=[size, -size, size, -size, size, -size]) for size in (0.0, 0.2)
    )
    widths = [result.fitted[0].high - result.fitted[0].low for result in (exact, scattered)]

    assert widths[1] > 3 * widths[0]


def test_standard_errors_are_those_of_least_squares() -> None:
    """sqrt(diag((JᵀJ)⁻¹)); infinite for columns that depend on each other."""
    jacobian = np.array([[1.0, 1.0], [1.0, 2.0], [1.0, 4.0]])
    expected = np.sqrt(np.diag(np.linalg.inv(jacobian.T @ jacobian)))

    assert np.allclose(expected, standard_errors(jacobian))
    assert [inf, inf] == standard_errors(np.array([[1.0, 2.0], [2.0, 4.0]]))
    assert [inf, inf] == standard_errors(np.array([[1.0, 2.0]]))


def test_the_first_of_two_alike_is_the_one_that_is_fitted() -> None:
    """Preference is the order given."""
    column = np.array([[8.0], [4.0]])
    assert [0] == select(ALL[:2], np.hstack([column, column]), [4.0, 8.0]).told
    assert [0] == select(ALL[1::-1], np.hstack([column, column]), [4.0, 8.0]).told


def test_positions_are_values_and_back() -> None:
    """Spreads from the default: additive for times, in logarithms for factors."""
    for coefficient in ALL:
        for x in (-1.0, 0.0, 0.5, 2.0):
            assert x == pytest.approx(coefficient.position(coefficient.value(x)))
    assert (-1.0, inf) == HOST.limits
    assert 1.12 == pytest.approx(BANDWIDTH.value(BANDWIDTH.limits[1]))
