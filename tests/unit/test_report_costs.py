"""What the report says of money and energy."""

from __future__ import annotations

from measure_runs import complete, make_record, make_replica, make_request, scenario_like

from llmsim.files.spot.prices import PriceSeries
from llmsim.measure.ledger import Holding
from llmsim.measure.records import RunRecord
from llmsim.measure.summary import summarise
from llmsim.report.facts import request_facts, use_facts
from llmsim.spec.energy import Energy


def run(**replica: object) -> RunRecord:
    """An hour on four accelerators, two classes."""
    requests = [
        complete(make_request(id, 0.0, class_name=name), 0.0, 1.0, 3600.0)
        for id, name in enumerate(("chat", "code"))
    ]
    return make_record(requests, replicas=[make_replica(num_accelerators=4, **replica)])


def said(record: RunRecord, energy: Energy | None = None) -> dict[str, str]:
    """Label to text of the report's facts."""
    scenario = scenario_like()
    scenario.energy = energy or Energy()
    summary = summarise(record, scenario, sha256="x", version="0")
    facts = [*use_facts(summary, record), *request_facts(summary, record)]
    return {fact.label: f"{fact.value} [{fact.source}]" for fact in facts}


def hour(pool: str, usd: float, *, is_spot: bool) -> Holding:
    """Four accelerators for an hour, $3 each on demand."""
    price, on_demand = PriceSeries.constant(usd), PriceSeries.constant(3.0)
    return Holding(pool, "h100-sxm", 4, 0.0, 3600.0, price, on_demand, is_spot=is_spot, replica=0)


def test_spot_says_what_it_saved() -> None:
    """$4 of spot and $12 of on demand instead of $24: a third."""
    record = run()
    record.holdings = [hour("spot", 1.0, is_spot=True), hour("fallback", 3.0, is_spot=False)]
    facts = said(record)

    assert "$16.00 an hour; $24.00 on demand, so 33.3% saved" in facts["Spot"]
    assert "$4.00" in facts["Cost of spot"]
    assert "$8.00" in facts["Class chat"]


def test_a_fixed_fleet_says_nothing_of_spot() -> None:
    """No saving, no line; one pool, no lines of pools."""
    assert not {"Spot", "Site", "Cost of main"} & said(run(usd_per_hour=8.0)).keys()


def test_given_powers_are_no_upper_bound() -> None:
    """Powers that the pool gives are taken at their word; the site's figures are told."""
    facts = said(run(idle_w=250.0, load_w=250.0), Energy(pue=1.5, carbon_g_per_kwh=400))

    assert facts["Energy"].startswith("1.00 kWh")
    assert "1.50 kWh by the facility, 0.6 kg of CO2" in facts["Site"]


def test_unknown_power_says_which_keys_to_give() -> None:
    """Named accelerator, named keys."""
    record = run(accelerator="t4")

    assert "no idle or peak power is known of t4; give idle_power, load_power" in said(record)["Energy"]
