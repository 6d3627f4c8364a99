"""When a fleet counts as enough."""

from __future__ import annotations

import pytest

from llmsim.planning.fleet_trial import MOST_REPLICATIONS, Rules, Trial
from llmsim.planning.outcome import Outcome
from llmsim.spec.targets import Slo

SLO = Slo(ttft_ms=100, percentile=0.9)


def outcome(share: float, saturation: str = "stable", offered: int = 1_000_000) -> Outcome:
    """A run in which that share of the requests met the targets: so many that chance among them is nothing."""
    summary = {
        "offered": offered,
        "slo_attainment": share,
        "slo_attainment_by_metric": {"ttft_ms": share},
        "saturation": saturation,
        "usd_per_million_output_tokens": 1.0,
        "cost_usd": 2.0,
        "duration": 3600.0,
    }
    return Outcome({}, 0, "", summary)


def trial(*shares: float, rules: Rules | None = None) -> Trial:
    """A trial whose first seeds met the targets by these shares."""
    rules = rules or Rules(SLO)
    return Trial(0, 1, rules, dict(zip(rules.seeds(len(shares)), map(outcome, shares), strict=True)))


def test_the_first_seed_alone_then_the_others():
    """Most fleets fail the first, and then nothing more is run."""
    assert [0] == trial().missing()
    assert [1, 2] == trial(0.95).missing()
    assert [] == trial(0.85).missing()


def test_met_when_the_interval_is_above_the_target():
    """Mean ± t·s/√n: 0.95 ± 4.30·0.01/√3."""
    found = trial(0.94, 0.95, 0.96)

    assert "met" == found.state
    assert found.interval == pytest.approx((0.95 - 4.302653 * 0.01 / 3**0.5, 0.95 + 4.302653 * 0.01 / 3**0.5))


def test_one_seed_that_misses_is_enough_to_fail():
    """However well the others do; and an overloaded run never counts as met."""
    assert "failed" == trial(0.99, 0.89, 0.99).state
    assert "failed" == Trial(0, 1, Rules(SLO), {0: outcome(1.0, "overloaded")}).state


def test_a_close_call_is_refined_and_then_said():
    """All seeds pass, but the interval reaches below the target: twice as many seeds, up to the most."""
    close = trial(0.901, 0.93, 0.99)
    most = trial(*[0.9, 1.0, 0.9] * (MOST_REPLICATIONS // 3), rules=Rules(Slo(ttft_ms=1, percentile=0.9)))

    assert "open" == close.state
    assert [3, 4, 5] == close.missing()
    assert most.state in ("met", "too close to call")
    assert [] == most.missing()


def test_precision_asks_for_more_even_where_it_passes():
    """Half the interval has to be at most the given share of the mean."""
    shares = (0.94, 0.95, 0.96)

    assert "open" == trial(*shares, rules=Rules(SLO, precision=0.01)).state
    assert "met" == trial(*shares, rules=Rules(SLO, precision=0.05)).state


def test_few_requests_are_not_certain_because_seeds_agree():
    """Nothing late in 3 × 10 requests leaves 88.6% possible (Wilson), in 6 × 10 94.0%."""
    few, more = (
        Trial(0, 1, Rules(SLO), {seed: outcome(1.0, offered=10) for seed in range(count)}) for count in (3, 6)
    )
    assert "open" == few.state
    assert few.interval == pytest.approx((0.8865, 1.0), abs=1e-4)
    assert [3, 4, 5] == few.missing()
    assert "met" == more.state
    assert more.interval == pytest.approx((0.9398, 1.0), abs=1e-4)


def test_where_every_request_has_to_meet_the_targets_the_seeds_decide():
    """No number of requests shows that none would ever be late."""
    rules = Rules(Slo(ttft_ms=100, percentile=1))
    assert "met" == Trial(0, 1, rules, {seed: outcome(1.0, offered=10) for seed in range(3)}).state


def test_a_replay_needs_one_run():
    """Nothing is drawn at random, so the figure is exact."""
    found = trial(0.95, rules=Rules(SLO, is_replay=True))

    assert "met" == found.state
    assert (0.95, 0.95) == found.interval


def test_clear_failures():
    """By five points, or overloaded; a near miss is none."""
    assert trial(0.8).is_clear
    assert not trial(0.88).is_clear
    assert Trial(0, 1, Rules(SLO), {0: outcome(0.9, "overloaded")}).is_clear


def test_what_was_paid_by_the_hour():
    """$2 for an hour."""
    assert 2.0 == trial(0.95).spent_usd_per_hour
