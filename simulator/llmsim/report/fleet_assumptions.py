"""What a fleet that changes took as given: where capacity comes from, how long a start takes, what joins machines."""

from __future__ import annotations

from llmsim.files import catalog
from llmsim.files.prices import pool_prices
from llmsim.measure.fleet_log import FleetLog
from llmsim.measure.records import RunRecord
from llmsim.report.facts import Fact
from llmsim.report.format import dollars, figures, seconds
from llmsim.spec.provisioning import Provisioning
from llmsim.spec.serving import Pool
from llmsim.spec.spot import PriceTrace, Spot


def fleet_assumptions(record: RunRecord, pools: list[Pool]) -> list[Fact]:
    """Per pool that can change its spot capacity, price and start; then machines, storage and links."""
    if record.fleet is None:
        return []
    facts = []
    for pool in pools:
        if not pool.is_fixed:
            prefix = f"{pool.name}: " if len(pools) > 1 else ""
            of_pool = [*_spot(pool, record.fleet.capacity.get(pool.name, "")), _start(pool.provisioning)]
            facts += [fact._replace(label=prefix + fact.label) for fact in of_pool]
    return [*facts, *_machines(record.fleet)]


def _machines(log: FleetLog) -> list[Fact]:
    """What joins replicas, and where weights are read: one fact for all of a kind."""
    kinds: dict[str, list[Fact]] = {}
    for label, value, source in log.assumed:
        kind, _, name = label.partition(" ")
        kinds.setdefault(kind, []).append(Fact(kind, f"{name}: {value}", source))
    return [
        Fact(
            kind,
            "; ".join(fact.value for fact in facts),
            "; ".join(dict.fromkeys(fact.source for fact in facts)),
        )
        for kind, facts in kinds.items()
    ]


def _spot(pool: Pool, capacity: str) -> list[Fact]:
    """Where it comes from, what is done about reclaims, and the price."""
    spot = pool.spot
    if spot is None:
        return []
    source = "" if spot.hazard else capacity
    return [Fact("Spot", f"{_capacity(spot)}; {_answer(spot)}", source), _price(pool, spot)]


def _capacity(spot: Spot) -> str:
    if spot.hazard is None:
        return f"capacity of a trace, {seconds(spot.notice_s)} notice"
    hazard = spot.hazard
    zones = f"{len(hazard.zones)} zone{'s' * (len(hazard.zones) != 1)}"
    rate = f"{figures(hazard.reclaims_per_instance_hour)} reclaims per instance-hour in {zones}"
    return f"{rate}, back after {seconds(hazard.mean_outage_s)} on average, {seconds(spot.notice_s)} notice"


def _answer(spot: Spot) -> str:
    """What a reclaim does, and what stands by."""
    parts = [f"on reclaim {spot.on_reclaim.kind}"]
    if spot.num_overprovision:
        parts.append(f"{spot.num_overprovision} more than needed")
    if spot.base_ondemand_fallback_replicas:
        parts.append(f"{spot.base_ondemand_fallback_replicas} always on demand")
    if spot.dynamic_ondemand_fallback:
        parts.append("on demand while spot is missing")
    return ", ".join(parts)


def _price(pool: Pool, spot: Spot) -> Fact:
    price = pool_prices(pool).spot
    if price is None:
        return Fact("Spot price", "unknown", "give spot.price to have costs")
    if isinstance(spot.price, PriceTrace):
        low, high = min(price.usd_per_hour), max(price.usd_per_hour)
        return Fact("Spot price", f"{dollars(low)} to {dollars(high)} an hour each", spot.price.trace)
    source = "the pool's spot.price"
    if spot.price is None:
        listed = catalog.instance(pool.instance) if pool.instance else catalog.accelerator(pool.accelerator)
        cited = listed.sources().get("spot_usd_per_hour")
        source = "" if cited is None else cited.citation + (" (unverified)" if cited.unverified else "")
    return Fact("Spot price", f"{dollars(price.at(0.0))} an hour each", source)


def _start(provisioning: Provisioning) -> Fact:
    """How long an instance takes until it loads weights, and where those come from."""
    delay_s = provisioning.startup_delay_s
    usual = Provisioning.model_fields["startup_delay_s"].default
    value = (
        f"{seconds(delay_s)} until an instance runs its image, then weights from {provisioning.weights_from}"
    )
    return Fact("Start", value, "assumed" if delay_s == usual else "")
