"""M/G/c against closed forms."""

from __future__ import annotations

from math import exp

import pytest

from llmsim.errors import InvariantError
from llmsim.planning.bounds.offered import may_miss
from llmsim.planning.bounds.queueing import erlang_c, late_share, servers_for


def test_erlang_c_of_one_server_is_its_load():
    """M/M/1: an arrival waits with probability ρ."""
    assert pytest.approx(0.7) == erlang_c(1, 0.7)


def test_erlang_c_of_two_servers():
    """M/M/2: 2ρ²/(1 + ρ) with ρ = a/2 (Gross et al., §2.3)."""
    assert pytest.approx(2 * 0.5**2 / 1.5) == erlang_c(2, 1.0)


def test_a_queue_without_steady_state_is_refused():
    """A load of c or more has no chance to wait: it is certain, and grows."""
    with pytest.raises(InvariantError, match="no steady state"):
        erlang_c(2, 2.0)


def test_waits_in_an_exponential_queue():
    """M/M/1: P(W > t) = ρ·exp(−(1 − ρ)t/E[S])."""
    assert pytest.approx(0.5 * exp(-0.5 * 3.0)) == late_share(1, 0.5, 1.0, 1.0, 3.0)


def test_an_overloaded_queue_is_late_for_everyone():
    """Saturated: all wait."""
    assert 1.0 == late_share(3, 3.5, 1.0, 1.0, 100.0)


def test_fewest_servers():
    """One fewer would make more late than may be."""
    servers = servers_for(5.2, 1.0, 1.0, 0.5, 0.01, most=100)

    assert late_share(servers, 5.2, 1.0, 1.0, 0.5) <= 0.01 < late_share(servers - 1, 5.2, 1.0, 1.0, 0.5)
    assert 7 == servers_for(5.2, 1.0, 1.0, 0.5, 0.01, most=7)


@pytest.mark.parametrize(("offered", "share"), [(100, 0.99), (3, 1 / 3), (7, 1.0), (1, 0.5), (1000, 0.999)])
def test_may_miss_is_the_most_that_still_meets_the_share(offered, share):
    """By the very comparison that judges a run."""
    spare = may_miss(offered, share)

    assert (offered - spare) / offered >= share
    assert spare == offered or (offered - spare - 1) / offered < share
