"""What the zones of a changing fleet exchange without a link, and machines that cannot break as asked."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from itertools import combinations

from llmsim import plugins
from llmsim.errors import CatalogError, TraceError
from llmsim.files import catalog
from llmsim.files.spot.read import read_capacity
from llmsim.files.topology import num_devices
from llmsim.registry import nearest
from llmsim.spec.base import Place
from llmsim.spec.scenario import Scenario
from llmsim.spec.serving import Pool
from llmsim.spec.spot import Spot
from llmsim.spec.topology import PEER, Topology, missing_links, unknown_zone

Exchange = tuple[Place, str | None, str | None]


def fleet_conflicts(scenario: Scenario) -> Iterator[tuple[Place, str]]:
    """What the pools that can change ask for and cannot have; unknown names are told elsewhere."""
    with suppress(CatalogError, TraceError):
        for index, pool in enumerate(scenario.fleet):
            at: Place = ("fleet", index)
            yield from _weights(pool, scenario.topology, at)
            yield from _failures(pool, at)
            if pool.spot is not None:
                yield from _whole_pool(pool, pool.spot, at)
                yield from _zones(pool, pool.spot, scenario.topology, at)
            if not pool.is_fixed:
                yield from _links(pool, scenario.topology, at)


def _weights(pool: Pool, topology: Topology, at: Place) -> Iterator[tuple[Place, str]]:
    name = pool.provisioning.weights_from
    if name not in topology.sources():
        message = f"no storage is called '{name}'; {nearest(name, topology.sources())}"
        yield (*at, "provisioning", "weights_from"), message


def _failures(pool: Pool, at: Place) -> Iterator[tuple[Place, str]]:
    """More instances than there are, or crashes of what a market takes away anyway."""
    if pool.failures and pool.spot is not None:
        message = "a spot pool loses instances by its trace or hazard; for crashes set spot.notice_s to 0"
        yield (*at, "failures"), message
        return
    there = pool.replicas
    if pool.failures and pool.instance is not None:
        there = -(-pool.replicas * num_devices(pool) // catalog.instance(pool.instance).num_accelerators)
    for index, failure in enumerate(pool.failures):
        if failure.instances > there:
            what = pool.instance or "a replica's devices"
            message = f"{failure.instances} cannot crash: the pool has {there} × {what}; lower it"
            yield (*at, "failures", index, "instances"), message


def _whole_pool(pool: Pool, spot: Spot, at: Place) -> Iterator[tuple[Place, str]]:
    """What a policy that lays out the whole pool over its spot instances would pass over."""
    kind = spot.on_reclaim.kind
    if getattr(plugins.RECLAIMS.get(kind), "whole_pool", None) is None:
        return
    if pool.role != "mixed":
        yield (*at, "role"), f"{kind} works for pools that prefill and decode; write mixed, or take migrate"
    for key in ("num_overprovision", "base_ondemand_fallback_replicas", "dynamic_ondemand_fallback"):
        if getattr(spot, key):
            message = f"{kind} takes every spot instance there is, and no others; remove it"
            yield (*at, "spot", key), message


def _zones(pool: Pool, spot: Spot, topology: Topology, at: Place) -> Iterator[tuple[Place, str]]:
    """Zones of spot capacity that are not listed, or that nobody is in; a single one is the pool's own."""
    zones, key = _spot_zones(spot)
    if len(zones) == 1:
        return
    for zone in zones:
        if topology.zones and zone not in topology.zones:
            yield (*at, "spot", *key), unknown_zone(zone, topology.zones)
            return
    if pool.zone and pool.zone not in zones and not _falls_back(spot):
        named = ", ".join(zones)
        message = (
            f"no replica is ever in '{pool.zone}': spot capacity is in {named}; remove it, or add a fallback"
        )
        yield (*at, "zone"), message


def _links(pool: Pool, topology: Topology, at: Place) -> Iterator[tuple[Place, str]]:
    """Zones that move KV or weights and are not joined."""
    zones = [pool.zone or topology.default_zone]
    if pool.spot is not None:
        named, _ = _spot_zones(pool.spot)
        if len(named) > 1:
            zones = [*named, pool.zone or named[0]] if _falls_back(pool.spot) else named
    told = set()
    exchanges = _exchanges(pool, topology, list(dict.fromkeys(zones)), at)
    for place, message in missing_links(topology, exchanges):
        if message not in told:
            told.add(message)
            yield place, message


def _falls_back(spot: Spot) -> bool:
    return spot.dynamic_ondemand_fallback or spot.base_ondemand_fallback_replicas > 0


def _spot_zones(spot: Spot) -> tuple[list[str], Place]:
    """The zones of the capacity, and the key that names them."""
    if spot.hazard is not None:
        return spot.hazard.zones, ("hazard", "zones")
    trace = read_capacity(
        spot.trace or "", names=spot.names, time_scale=spot.time_scale, start_s=spot.start_s
    )
    return list(trace.zones), ("name",) if spot.name else ("trace",)


def _exchanges(pool: Pool, topology: Topology, zones: list[str], at: Place) -> Iterator[Exchange]:
    """Which zones move data to which: KV with a reclaim policy that moves it, and weights."""
    if pool.spot is not None and plugins.RECLAIMS.get(pool.spot.on_reclaim.kind).moves_kv:
        for one, other in combinations(zones, 2):
            yield (*at, "spot", "on_reclaim"), one, other
    source = pool.provisioning.weights_from
    place: Place = (*at, "provisioning", "weights_from")
    if source == PEER:
        for one, other in combinations(zones, 2):
            yield place, one, other
    storage = topology.storage_called("object_store" if source == PEER else source)
    if storage is not None and storage.zone is not None:
        for zone in zones:
            yield place, zone, storage.zone
