"""Replications put together: honest names, no mixing of saturated runs, and a stopping rule."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy import stats

from llmsim.errors import UserError
from llmsim.planning.precision import StoppingRule, read_precision
from llmsim.planning.replicate import replications

FIELDS = ("mean_ttft_ms", "p99_ttft_ms")


def summary(mean=10.0, p99=30.0, saturation="stable", completed=5000):
    return {
        "mean_ttft_ms": mean,
        "p99_ttft_ms": p99,
        "saturation": saturation,
        "completed": completed,
    }


def test_a_mean_over_seeds_of_a_p99_is_named_as_such():
    found = replications([(seed, summary(p99=30.0 + seed)) for seed in range(5)], FIELDS)
    p99 = found.estimates["p99_ttft_ms"]
    assert p99.name == "mean over 5 seeds of p99_ttft_ms"
    low, high = stats.t.interval(0.95, 4, 32, stats.sem([30, 31, 32, 33, 34]))
    assert (p99.mean, p99.interval.low, p99.interval.high) == pytest.approx((32, low, high))
    json.dumps(found.as_dict(), allow_nan=False)


def test_one_seed_is_no_mean_and_has_no_interval():
    only = replications([(7, summary())], FIELDS).estimates["mean_ttft_ms"]
    assert (only.name, only.interval, only.mean) == ("mean_ttft_ms of one seed", None, 10.0)


def test_overloaded_seeds_are_never_averaged_with_others():
    runs = [
        (0, summary()),
        (1, summary(mean=900.0, saturation="overloaded")),
        (2, summary(12.0, 31.0, "backlogged")),
    ]
    found = replications(runs, FIELDS)
    assert found.is_mixed
    assert found.estimates == {}
    kept_up, over = found.groups
    assert (kept_up.seeds, kept_up.estimates["mean_ttft_ms"].mean) == ((0, 2), 11.0)
    assert (over.seeds, over.estimates["mean_ttft_ms"].mean) == ((1,), 900.0)
    assert "1 of 3 replications are overloaded (seed 1)" in found.notes[0]


def test_overloaded_throughout_is_estimated_with_a_warning():
    found = replications([(seed, summary(saturation="overloaded")) for seed in range(3)], FIELDS)
    assert found.estimates["mean_ttft_ms"].count == 3
    assert "every replication is overloaded" in found.notes[0]


def test_a_field_that_any_seed_lacks_has_no_estimate():
    found = replications([(0, summary()), (1, summary(mean=None))], FIELDS)
    assert list(found.estimates) == ["p99_ttft_ms"]


def test_short_runs_and_failures_are_noted():
    found = replications([(0, summary(completed=200)), (1, None)], FIELDS)
    assert (found.seeds, found.failed) == ((0,), (1,))
    failed, thin = found.notes
    assert failed == "1 of 2 replications failed: seed 1"
    assert "1000 requests" in thin
    assert "more seeds" in thin


def replicated(rule, draw):
    """Replicate as a command does; the replications, and how many were run each time."""
    runs, rounds = [], []
    while more := rule.more(replications(runs, FIELDS)):
        rounds.append(more)
        runs += [(len(runs) + i, draw(len(runs) + i)) for i in range(more)]
    return replications(runs, FIELDS), rounds


def test_it_stops_where_the_interval_is_narrow_enough():
    rng = np.random.default_rng(1)
    rule = StoppingRule(0.05, most=100, fields=FIELDS)
    found, rounds = replicated(rule, lambda seed: summary(rng.normal(10, 1.0), 30.0))
    assert found.estimates["mean_ttft_ms"].relative_half_width <= 0.05 / 1.05
    assert 5 < len(found.seeds) < 100
    assert rounds[0] == 5
    assert "replications reach ±5% of the mean" in rule.ended(found)


def test_it_stops_at_the_most_allowed_and_says_what_is_still_wide():
    rng = np.random.default_rng(2)
    rule = StoppingRule(0.01, most=8, fields=FIELDS)
    found, _ = replicated(rule, lambda seed: summary(rng.normal(10, 3.0), 30.0))
    assert len(found.seeds) == 8
    assert "8 replications, the most allowed, leave mean_ttft_ms at ±" in rule.ended(found)


def test_mixed_or_failed_replications_end_it():
    rule = StoppingRule(0.01, fields=FIELDS)
    mixed, _ = replicated(
        rule, lambda seed: summary(10.0 + seed, 30.0, "overloaded" if seed == 2 else "stable")
    )
    assert (mixed.tried, "not make one figure" in rule.ended(mixed)) == (5, True)
    failed, _ = replicated(rule, lambda seed: None)
    assert (failed.tried, "no figure" in rule.ended(failed)) == (5, True)


@pytest.mark.parametrize("text, share", [("5%", 0.05), ("0.05", 0.05), ("12.5%", 0.125)])
def test_precision_is_a_share(text, share):
    assert read_precision(text) == pytest.approx(share)


@pytest.mark.parametrize("text", ["", "five", "0", "150%", "-5%", "nan"])
def test_anything_else_is_refused_with_the_way_to_write_it(text):
    with pytest.raises(UserError, match="--precision"):
        read_precision(text)
