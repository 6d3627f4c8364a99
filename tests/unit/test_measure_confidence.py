"""Intervals of one run: there where batches allow them, null with a reason where not."""

from __future__ import annotations

import json

import numpy as np
import pytest
from measure_runs import one_at_a_time, poisson
from scipy import stats

from llmsim.measure.batches import STUDENT_T, batch_means, half_width, is_independent, lag_1
from llmsim.measure.confidence import LEAST_REQUESTS, confidence, intervals, percentile_interval
from llmsim.measure.steady import steady_metrics, steady_window
from llmsim.spec.targets import Slo


@pytest.mark.parametrize("count", STUDENT_T)
def test_students_t_is_that_of_the_tables(count):
    assert STUDENT_T[count] == pytest.approx(stats.t.ppf(0.975, count - 1), rel=1e-9)


def test_half_width_is_that_of_a_t_interval_of_the_batch_means():
    values = np.random.default_rng(1).normal(5, 2, 1000)
    means = batch_means(values, 20)
    low, high = stats.t.interval(0.95, 19, means.mean(), stats.sem(means))
    assert half_width(values, 20) == pytest.approx((high - low) / 2)


def test_values_that_fill_no_batch_are_the_oldest():
    assert batch_means(np.array([9.0, 1, 2, 3, 4]), 2).tolist() == [1.5, 3.5]


def test_batches_of_a_slow_wave_are_not_independent_and_those_of_noise_are():
    noise = np.random.default_rng(2).normal(size=4000)
    assert is_independent(noise, 20)
    assert not is_independent(np.cumsum(noise), 20)
    assert lag_1(np.ones(10)) == 0.0


def test_every_interval_holds_the_figure_of_the_steady_state():
    table = one_at_a_time(poisson(0.5, 12_000, seed=3), 1.0).table
    window = steady_window(table)
    sure, steady = confidence(table, window), steady_metrics(table, Slo(), window)
    names = [name for name in sure if name in steady]
    assert len(names) == 12
    assert all(sure[name][0] <= steady[name] <= sure[name][1] for name in names)
    assert sure["reasons"] == {}


def test_longer_runs_are_surer():
    """Half the width from four times the requests, give or take the spread of a spread."""
    widths = []
    for count in (4000, 16_000):
        low, high = intervals(np.random.default_rng(4).exponential(size=count))[1][0]
        widths.append(high - low)
    assert 0.3 < widths[1] / widths[0] < 0.75


@pytest.mark.parametrize("count, has_mean, has_p99", [(LEAST_REQUESTS - 1, 0, 0), (600, 1, 0), (4000, 1, 1)])
def test_what_is_too_few_depends_on_the_figure(count, has_mean, has_p99):
    _, (mean, *_, p99) = intervals(np.random.default_rng(5).exponential(size=count))
    assert has_mean is not isinstance(mean, str)
    assert has_p99 is not isinstance(p99, str)


def test_too_few_says_how_many_are_needed():
    values = np.random.default_rng(6).exponential(size=600)
    assert "at least 2,000" in percentile_interval(values, np.sort(values), 0.99, 20)


def test_a_constant_has_an_interval_without_width():
    assert intervals(np.full(3000, 7.0)) == (20, [(7.0, 7.0)] * 4)


def test_without_a_window_every_interval_is_null_for_its_reason():
    table = one_at_a_time(poisson(0.5, 1000, seed=7), 1.0).table
    sure = confidence(table, "the queue never stopped growing")
    assert set(sure["reasons"].values()) == {"the queue never stopped growing"}
    assert all(sure[name] is None for name in sure["reasons"])
    json.dumps(sure, allow_nan=False)
