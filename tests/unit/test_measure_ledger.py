"""Cost is the integral of price over what was held, however it is cut; classes add up to the whole."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from measure_runs import complete, make_record, make_replica, make_request, one_at_a_time, scenario_like

from llmsim.files.prices import PoolPrices
from llmsim.files.spot.prices import PriceSeries
from llmsim.measure import ledger, money
from llmsim.measure.allocation import by_class, shared_time_s
from llmsim.measure.costs import class_costs, costs
from llmsim.measure.ledger import Holding
from llmsim.measure.records import RunRecord
from llmsim.spec.energy import Energy
from llmsim.spec.targets import Slo

HOUR_S = 3600.0
times = st.floats(-1e5, 1e6)


@st.composite
def series(draw: st.DrawFn) -> PriceSeries:
    """A price that changes up to eight times."""
    starts = sorted(draw(st.sets(st.integers(0, 100_000), min_size=1, max_size=8)))
    prices = draw(st.lists(st.floats(0, 100), min_size=len(starts), max_size=len(starts)))
    return PriceSeries(tuple(map(float, starts)), tuple(prices))


def held(start_s: float = 0.0, end_s: float = HOUR_S, usd: float | None = 1.0, **fields: object) -> Holding:
    """Some accelerators held."""
    price = None if usd is None else PriceSeries.constant(usd)
    given = {"pool": "main", "accelerator": "h100-sxm", "devices": 4, "price": price, "on_demand": price}
    return Holding(start_s=start_s, end_s=end_s, **(given | fields))  # type: ignore[arg-type]


def test_a_price_holds_until_the_next() -> None:
    """$2 for an hour and $5 for half of one are $4.50; before the first change, the first price."""
    price = PriceSeries((0.0, HOUR_S), (2.0, 5.0))

    assert (2.0, 2.0, 5.0) == (price.at(-1), price.at(HOUR_S - 1), price.at(HOUR_S))
    assert 4.5 == price.integral_usd(0, 1.5 * HOUR_S)
    assert 3.0 == price.mean_usd_per_hour(0, 1.5 * HOUR_S)


@given(series(), times, times, times)
def test_integrals_add_up(price: PriceSeries, a: float, b: float, c: float) -> None:
    """From a to b and from b to c is from a to c, and no mean is outside the prices."""
    a, b, c = sorted((a, b, c))
    whole = price.integral_usd(a, c)

    assert whole == pytest.approx(price.integral_usd(a, b) + price.integral_usd(b, c), abs=1e-6)
    assert min(price.usd_per_hour) - 1e-9 <= price.mean_usd_per_hour(a, c) <= max(price.usd_per_hour) + 1e-9


@given(series(), st.floats(0, 5e4), st.floats(0.25, 4))
def test_a_cut_series_costs_what_the_whole_one_does(price: PriceSeries, start_s: float, scale: float) -> None:
    """From ``start_s`` on, with time stretched, an hour of the trace costs ``scale`` times as much."""
    cut = price.from_start(start_s, scale)

    assert cut.integral_usd(0, 9e4 * scale) == pytest.approx(
        scale * price.integral_usd(start_s, start_s + 9e4), rel=1e-9, abs=1e-6
    )


@given(series(), st.floats(0, 1e5), st.floats(0, 1e5), st.floats(0, 1))
def test_cost_does_not_depend_on_the_cuts(
    price: PriceSeries, start_s: float, held_s: float, at: float
) -> None:
    """Holding in two parts, in time or in devices, costs the same; and so do hours of accelerators."""
    one = held(start_s, start_s + held_s, price=price)
    cut_s = start_s + at * held_s
    in_time = [replace(one, end_s=cut_s), replace(one, start_s=cut_s)]
    in_devices = [replace(one, devices=1), replace(one, devices=3)]
    for parts in (in_time, in_devices):
        assert ledger.cost_usd([one]) == pytest.approx(ledger.cost_usd(parts), abs=1e-6)
        assert ledger.accelerator_seconds([one]) == pytest.approx(ledger.accelerator_seconds(parts))


def test_a_fleet_held_throughout_costs_what_a_fixed_one_does() -> None:
    """The ledger of a fixed fleet gives the fixed fleet's figures."""
    record = make_record(
        [complete(make_request(0, 10.0), 11.0, 12.0, 110.0)],
        replicas=[make_replica(0, num_accelerators=4, usd_per_hour=8.0, idle_w=100.0, load_w=700.0)],
    )
    fixed = costs(record, record.table, scenario_like(), 100.0)
    record.holdings = [held(0.0, 500.0, usd=2.0, replica=0)]
    by_ledger = costs(record, record.table, scenario_like(), 100.0)

    for key in ("accelerator_seconds", "cost_usd", "usd_per_hour", "on_demand_usd", "energy_j"):
        assert fixed[key] == pytest.approx(by_ledger[key])
    assert by_ledger["saving"] is None


def test_saving_is_against_the_same_holdings_on_demand() -> None:
    """SpotServe's prices: $1.9 instead of $3.9 an hour saves 51%; an on-demand fallback saves less."""
    spot = held(usd=1.9, on_demand=PriceSeries.constant(3.9), is_spot=True)

    assert 1 - 1.9 / 3.9 == pytest.approx(ledger.saving([spot]))
    assert 0 < (ledger.saving([spot, held(usd=3.9)]) or 0) < 1 - 1.9 / 3.9
    assert ledger.saving([held()]) is None


def test_one_unknown_price_makes_the_sum_unknown() -> None:
    """A sum with a hole is no sum."""
    assert ledger.cost_usd([held(), held(usd=None)]) is None


def test_pools_are_kept_apart() -> None:
    """Each pool's holdings add up on their own, spot time told."""
    pools = ledger.by_pool([held(), held(pool="cheap", usd=0.5, is_spot=True), held()])

    assert [8.0, 2.0] == [pool["cost_usd"] for pool in pools.values()]
    assert [0.0, 4 * HOUR_S] == [pool["spot_accelerator_seconds"] for pool in pools.values()]


def test_accelerators_over_time() -> None:
    """What is held from each change on, spot and on demand."""
    steps = ledger.accelerators_held([held(0, 20), held(10, 30, is_spot=True, devices=1)])

    assert [(0, 0, 4), (10, 1, 4), (20, 1, 0), (30, 0, 0)] == steps


def test_an_instance_is_paid_for_as_a_whole() -> None:
    """One device of a machine of four costs the machine."""
    prices = PoolPrices(PriceSeries.constant(1.0), PriceSeries.constant(0.25), num_accelerators=4)
    rented = Holding.of_pool(
        "main", prices, 5, is_spot=True, accelerator="t4", start_s=0.0, end_s=HOUR_S, replica=0
    )

    assert (8, 2.0, 8.0) == (
        rented.devices,
        ledger.cost_usd([rented]),
        ledger.on_demand_usd([rented]),
    )


@given(
    st.lists(st.tuples(st.integers(0, 50), st.integers(0, 20)), min_size=1, max_size=12),
)
def test_shared_time_is_the_time_anybody_is_there(stays: list[tuple[int, int]]) -> None:
    """Σ ∫ dt/n over stays is the length of their union; alone, a stay owns all of its time."""
    starts = np.array([float(start) for start, _ in stays])
    ends = starts + np.array([float(length) for _, length in stays])
    moments = np.arange(80) + 0.5
    present = (starts[:, None] <= moments) & (moments < ends[:, None])
    expected = (present / np.maximum(1, present.sum(axis=0))).sum(axis=1)

    assert shared_time_s(starts, ends) == pytest.approx(expected)


def two_classes() -> RunRecord:
    """Two replicas: one serves two classes at once for 10 s, the other only the second class."""
    requests = [
        complete(make_request(0, 0.0, class_name="chat", output_tokens=5), 0.0, 1.0, 10.0),
        complete(make_request(1, 0.0, class_name="code", output_tokens=15), 0.0, 1.0, 10.0),
        complete(make_request(2, 0.0, class_name="code", output_tokens=15), 0.0, 1.0, 4.0),
    ]
    requests[2].replica = 1
    replicas = [make_replica(i, usd_per_hour=36.0 * (i + 1), idle_w=50.0, load_w=100.0) for i in range(2)]
    return make_record(requests, replicas=replicas)


def test_classes_share_what_they_use() -> None:
    """Replica 0 ($0.10) is shared in halves, replica 1 ($0.20) is all the second class's, idle or not."""
    record = two_classes()
    spent = class_costs(record, record.table, 10.0)

    assert (0.05, 0.25) == pytest.approx((spent["chat"]["cost_usd"], spent["code"]["cost_usd"]))
    assert 1e6 * 0.05 / 5 == pytest.approx(spent["chat"]["usd_per_million_output_tokens"])


def test_classes_add_up_to_the_run() -> None:
    """Cost and energy of the classes sum to the run's, also where no replica is to blame."""
    record = two_classes()
    for holdings in ([], [held(-5.0, 20.0, replica=1), held(0.0, 3.0), held(2.0, 9.0, replica=0)]):
        record.holdings = holdings
        spent = class_costs(record, record.table, 10.0)
        for key, total in (
            ("cost_usd", money.cost_usd(record, 10.0)),
            ("energy_j", money.energy_j(record, 10.0)),
        ):
            assert total == pytest.approx(sum(one[key] or 0.0 for one in spent.values()))


def test_nobody_served_nobody_charged() -> None:
    """Without a served request there is nobody to charge."""
    assert by_class(make_record([make_request(0, 0.0)]).table, {0: 1.0}) is None


def test_good_tokens_cost_more_than_all() -> None:
    """Two of four requests within 1.5 s: their tokens carry the whole cost."""
    record = one_at_a_time([0.0, 10.0, 10.0, 10.0], 1.5)
    record.replicas[:] = [make_replica(usd_per_hour=1.0)]
    summary = costs(record, record.table, scenario_like(Slo(e2el_ms=1500)), 14.5)

    assert 2 * summary["usd_per_million_output_tokens"] == pytest.approx(
        summary["usd_per_million_good_tokens"]
    )


def test_the_site_multiplies_what_the_devices_draw() -> None:
    """LLMCarbon: carbon is energy × PUE × intensity; 1 kWh at PUE 1.2 and 400 g/kWh is 480 g."""
    record = one_at_a_time([0.0], 1.0)
    record.replicas[:] = [make_replica(idle_w=1000.0, load_w=1000.0)]
    scenario = scenario_like()
    scenario.energy = Energy(pue=1.2, carbon_g_per_kwh=400)
    summary = costs(record, record.table, scenario, HOUR_S)

    assert (3.6e6, 1.2 * 3.6e6, 480.0) == pytest.approx(
        (summary["energy_j"], summary["facility_energy_j"], summary["carbon_g"])
    )


def test_energy_of_what_is_held_without_work() -> None:
    """A warm spare draws its idle power; without a replica of its pool, the catalogue's."""
    record = make_record(
        [complete(make_request(0, 0.0), 0.0, 1.0, 100.0)],
        replicas=[make_replica(accelerator="t4", idle_w=10.0, load_w=70.0)],
    )
    record.holdings = [held(0, 100, accelerator="t4", devices=1), held(50, 100, accelerator="t4", devices=2)]

    assert 10.0 * 100 + 2 * 10.0 * 50 == pytest.approx(money.energy_j(record, 100.0))
    record.holdings.append(held(0, 100, pool="spare", accelerator="t4"))
    assert money.energy_j(record, 100.0) is None
