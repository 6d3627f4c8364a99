"""The curves of a comparison: quantiles of the latencies of completed requests."""

from __future__ import annotations

import numpy as np
from measure_runs import complete, make_request, one_at_a_time, poisson

from llmsim.measure.quantiles import LEVELS, curves
from llmsim.measure.requests import RequestTable


def test_levels_rise_from_least_to_greatest_and_are_denser_in_the_tails():
    assert (LEVELS[0], LEVELS[-1]) == (0.0, 1.0)
    steps = np.diff(LEVELS)
    assert (steps > 0).all()
    assert steps[-1] < steps[len(steps) // 2]
    assert {0.5, 0.9, 0.95, 0.99, 0.999} <= set(LEVELS)


def test_a_curve_agrees_with_the_percentiles_of_a_summary_and_knows_the_extremes():
    table = RequestTable.of(one_at_a_time(poisson(0.8, 500, seed=1), 1.0).requests, 1e4)
    found = dict(zip(LEVELS, curves(table)["ttft_ms"], strict=True))
    assert found[0.99] == np.percentile(table.ttft_ms, 99)
    assert (found[0.0], found[1.0]) == (table.ttft_ms.min(), table.ttft_ms.max())


def test_only_completed_requests_count_and_a_metric_without_samples_has_no_quantiles():
    one = complete(make_request(0, 0.0, output_tokens=1), 0.5, 1.0, 1.0)
    cut_off = make_request(1, 0.0, scheduled_s=1.0, first_token_s=50.0)
    found = curves(RequestTable.of([one, cut_off], 60.0))
    assert set(found["ttft_ms"]) == {1e3}
    assert found["tpot_ms"] == []
