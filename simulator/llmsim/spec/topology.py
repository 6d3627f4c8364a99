"""Where machines stand, what joins them beyond their own ports, and where weights are read from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated, Literal

from pydantic import Field

from llmsim.registry import nearest
from llmsim.spec.base import Place, Strict
from llmsim.units import Quantity

Name = Annotated[str, Field(min_length=1, max_length=80)]
Bandwidth = Annotated[float, Quantity("B/s"), Field(gt=0)]
Milliseconds = Annotated[float, Quantity("ms"), Field(ge=0)]

PEER = "peer"
"""Source of weights: another replica that has them."""


class ZoneLink(Strict):
    """A connection between two zones; between a zone and itself, the network that joins its machines."""

    between: list[Name] = Field(
        min_length=2, max_length=2, description="two zones, or one twice: an oversubscribed network within it"
    )
    bandwidth: Bandwidth = Field(description="what all transfers over it share, in each direction")
    round_trip_ms: Milliseconds = Field(0.0, description="added round-trip time")

    @property
    def ends(self) -> tuple[str, str]:
        """The two zones, the lesser name first. Pure query."""
        first, second = sorted(self.between)
        return first, second


class Storage(Strict):
    """A place that weights are read from."""

    name: Name = Field(
        description="what a pool calls it; `disk` and `object_store` are there without being listed"
    )
    kind: Literal["disk", "object_store"] = Field(
        description="disk: every node has its own; object_store: one for all, over the network"
    )
    bandwidth: Bandwidth | None = Field(
        None,
        description="of each node's disks, or of the store to all readers together; null is an assumed NVMe drive, "
        "and a store without a limit of its own",
    )
    bandwidth_per_node: Bandwidth | None = Field(
        None, description="most that one node reads from a store; null is 100 Gb/s"
    )
    latency_ms: Milliseconds | None = Field(
        None, description="until the first byte; null is 0 for a disk and 100 ms for a store"
    )
    zone: Name | None = Field(None, description="where a store is; null is beside every zone")


ALWAYS_THERE: tuple[Literal["disk", "object_store"], ...] = ("disk", "object_store")
"""Storage that need not be listed: it has the defaults of its kind."""


class NodeGroup(Strict):
    """Some machines of one kind."""

    name: Name = Field(description="what messages call them")
    node: str = Field(description="a name of `llmsim list nodes`")
    count: Annotated[int, Field(gt=0, le=100_000)] = Field(description="how many there are")
    zone: Name | None = Field(None, description="where they stand; null is the first zone")
    bandwidth: Bandwidth | None = Field(
        None, description="network of one machine, per direction; null is the catalogue's"
    )


class Topology(Strict):
    """Zones, the links between them, storage, and the machines there are."""

    zones: list[Name] = Field(
        [], description="names of zones; none: one zone for all, or those the pools name"
    )
    links: list[ZoneLink] = Field([], description="what joins zones, and what limits the network within one")
    storage: list[Storage] = Field([], description="where weights are read from")
    nodes: list[NodeGroup] = Field(
        [], description="all machines there are; none: as many of each pool's kind as it takes"
    )

    @property
    def default_zone(self) -> str:
        """Where whatever names no zone is. Pure query."""
        return self.zones[0] if self.zones else ""

    def storage_called(self, name: str) -> Storage | None:
        """The storage of that name, listed or always there. Pure query."""
        there = (Storage(name=kind, kind=kind) for kind in ALWAYS_THERE)
        return next((storage for storage in (*self.storage, *there) if storage.name == name), None)

    def sources(self) -> list[str]:
        """Everything weights can come from, by name. Pure query."""
        return sorted({PEER, *ALWAYS_THERE, *(storage.name for storage in self.storage)})

    def zone_link(self, zone: str, other: str) -> ZoneLink | None:
        """What joins two zones (or limits one, given twice). Pure query."""
        ends = tuple(sorted((zone, other)))
        return next((link for link in self.links if link.ends == ends), None)


def topology_conflicts(topology: Topology, pool_zones: Sequence[str | None]) -> Iterator[tuple[Place, str]]:
    """What each key allows and two together do not.

    Args:
        topology: The section.
        pool_zones: The zone each pool of the fleet names.
    """
    yield from _named_twice(topology)
    for place, zone in _zones_named(topology):
        if zone is not None and zone not in topology.zones:
            yield ("topology", *place), unknown_zone(zone, topology.zones)
    if topology.zones:
        for index, zone in enumerate(pool_zones):
            if zone is not None and zone not in topology.zones:
                yield ("fleet", index, "zone"), unknown_zone(zone, topology.zones)
    for index, storage in enumerate(topology.storage):
        if storage.kind == "disk" and (storage.zone or storage.bandwidth_per_node):
            key = "zone" if storage.zone else "bandwidth_per_node"
            message = "every node has its own disk; remove this, or make it an object_store"
            yield ("topology", "storage", index, key), message


def unknown_zone(zone: str, zones: Sequence[str]) -> str:
    """The message about a zone that is not listed. Pure query."""
    if not zones:
        return f"unknown zone '{zone}'; list the zones under topology.zones"
    return f"unknown zone '{zone}'; {nearest(zone, zones)}"


def _named_twice(topology: Topology) -> Iterator[tuple[Place, str]]:
    """Names that mean two things."""
    lists: dict[str, list[str]] = {
        "zones": topology.zones,
        "storage": [storage.name for storage in topology.storage],
        "nodes": [group.name for group in topology.nodes],
    }
    for key, names in lists.items():
        counts = Counter(names)
        for index, name in enumerate(names):
            if name in names[:index]:
                place: Place = (
                    ("topology", key, index) if key == "zones" else ("topology", key, index, "name")
                )
                yield place, f"'{name}' is there {counts[name]} times; give each its own name"
    for index, storage in enumerate(topology.storage):
        if storage.name == PEER:
            message = f"'{PEER}' means another replica; give the storage another name"
            yield ("topology", "storage", index, "name"), message
    for index, link in enumerate(topology.links):
        if link.ends in [earlier.ends for earlier in topology.links[:index]]:
            first, second = link.ends
            message = f"'{first}' and '{second}' are joined twice; keep one link, with the bandwidth of both"
            yield ("topology", "links", index, "between"), message


def _zones_named(topology: Topology) -> Iterator[tuple[Place, str | None]]:
    """Every zone that a part of the section names, and where."""
    for index, link in enumerate(topology.links):
        for end, zone in enumerate(link.between):
            yield ("links", index, "between", end), zone
    for index, storage in enumerate(topology.storage):
        yield ("storage", index, "zone"), storage.zone
    for index, group in enumerate(topology.nodes):
        yield ("nodes", index, "zone"), group.zone


def missing_links(
    topology: Topology, exchanges: Iterable[tuple[Place, str | None, str | None]]
) -> Iterator[tuple[Place, str]]:
    """Zones that have data to exchange, and no link to do it over.

    Args:
        topology: The section.
        exchanges: Where the scenario asks for the exchange, and the zones (None: the first one).
    """
    for place, one, other in exchanges:
        zone, peer = one or topology.default_zone, other or topology.default_zone
        if zone != peer and topology.zone_link(zone, peer) is None:
            unlisted = (
                "" if topology.zones else f"write topology.zones: [{zone or '…'}, {peer or '…'}, …], and "
            )
            yield place, no_link(zone, peer, unlisted)


def no_link(zone: str, other: str, first: str = "") -> str:
    """The message about two zones without a link; ``first`` is what else to do. Pure query."""
    return (
        f"zones '{zone}' and '{other}' exchange data, and no link joins them; {first}add to topology.links "
        f"{{between: [{zone or '…'}, {other or '…'}], bandwidth: 10Gb/s, round_trip_ms: 30}} with your numbers"
    )


def deal(free: Sequence[int], size: int, num_devices: int) -> list[tuple[int, int]] | None:
    """Which machines a replica takes, and how many devices of each; None where there is no room. Pure.

    Machines fill up in order. A replica that fits in one machine is never divided; a larger one takes
    whole empty machines, and its remainder shares one.

    Args:
        free: Devices that are free in each machine.
        size: Devices of a machine.
        num_devices: Devices of the replica.
    """
    whole, rest = divmod(num_devices, size)
    empty = [index for index, devices in enumerate(free) if devices == size][:whole] if whole else []
    if len(empty) < whole:
        return None
    taken = [(index, size) for index in empty]
    if rest:
        room = (index for index, devices in enumerate(free) if devices >= rest and index not in empty)
        last = next(room, None)
        if last is None:
            return None
        taken.append((last, rest))
    return taken
