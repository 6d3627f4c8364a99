"""Device time, price and energy."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from measure_runs import make_record, make_replica, one_at_a_time

from llmsim.measure import money

HOUR_S = 3600.0


@pytest.fixture(autouse=True)
def accelerators(monkeypatch):
    """Two devices: one whose powers are known, one whose idle power is not."""
    known = SimpleNamespace(tdp_w=700.0, idle_w=100.0)
    devices = {"known": known, "unknown": SimpleNamespace(tdp_w=700.0, idle_w=None)}
    monkeypatch.setattr(money.catalog, "accelerator", devices.__getitem__)


def test_every_device_counts_for_the_whole_run():
    """Two replicas of four devices hold eight devices, busy or not."""
    record = make_record([], replicas=[make_replica(i, num_accelerators=4) for i in range(2)])

    assert 80.0 == money.accelerator_seconds(record, 10.0)


def test_cost_is_hours_times_price():
    """Half an hour at $4 and at $2 is $3; a million and a half tokens make it $2 a million."""
    record = make_record([], replicas=[make_replica(0, usd_per_hour=4.0), make_replica(1, usd_per_hour=2.0)])

    assert 3.0 == money.cost_usd(record, HOUR_S / 2)
    assert 2.0 == money.usd_per_million(3.0, 1_500_000)


def test_one_unknown_price_makes_the_cost_unknown():
    """A sum with a hole is no sum; no tokens, no price of one."""
    record = make_record([], replicas=[make_replica(0, usd_per_hour=4.0), make_replica(1)])

    assert money.cost_usd(record, HOUR_S) is None
    assert money.usd_per_million(3.0, 0) is None


def test_energy_lies_between_idle_and_tdp_by_the_busy_time():
    """2 s busy of 10 s: 10 s of idle power and 2 s of the rest, for each of two devices."""
    record = one_at_a_time([0.0, 9.0], 1.0)
    record.replicas[:] = [make_replica(accelerator="known", num_accelerators=2)]

    assert 2 * (100 * 10 + 600 * 2) == pytest.approx(money.energy_j(record, 10.0))


def test_pipeline_stages_work_in_turn():
    """With four stages each device works a quarter of every iteration."""
    record = one_at_a_time([0.0], 4.0)
    record.replicas[:] = [make_replica(accelerator="known", stages=[None] * 4)]

    assert {0: 1.0} == pytest.approx(money.busy_s(record, 10.0))


def test_unknown_power_makes_the_energy_unknown():
    """No idle power, no energy."""
    record = one_at_a_time([0.0], 1.0)
    record.replicas[:] = [make_replica(accelerator="unknown")]

    assert money.energy_j(record, 1.0) is None
