"""Which machines replicas sit in, and the links between any two places."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from llmsim.errors import Problem, ScenarioError
from llmsim.files.servers import ServerType, rented, server_type
from llmsim.files.topology import groups_for
from llmsim.registry import nearest
from llmsim.sim.links import Link, Path
from llmsim.sim.paths import path_between
from llmsim.sim.places import Duplex, Part, Place, Server, devices_part, disks_part
from llmsim.spec.serving import Pool
from llmsim.spec.topology import NodeGroup, Storage, deal, no_link
from llmsim.spec.topology import Topology as TopologySpec
from llmsim.units import format_seconds, format_si

DISK_BYTES_PER_S = 3.5e9
DISK_SOURCE = "one NVMe drive on four lanes of PCIe 3"

STORE_BYTES_PER_S = 12.5e9
"""What one machine reads."""

STORE_LATENCY_S = 0.1
"""Until the first byte."""

STORE_SOURCE = (
    "Amazon S3 user guide, Best practices design patterns: optimizing Amazon S3 performance: up to 100 Gb/s on a "
    "single instance, first-byte latencies of roughly 100-200 ms (read 2026-11-21)"
)


class TopologyFact(NamedTuple):
    """What a run took as given of machines and storage, for the report."""

    label: str
    text: str
    source: str


class Topology:
    """Places replicas on machines, and finds the way from place to place.

    Machines fill up in order: a replica sits in the first one with room for it, a larger one in several.
    Without a list of machines there are as many as it takes.

    Example:
        >>> topology = Topology(TopologySpec())
        >>> pool = Pool(accelerator="h100-sxm", tensor_parallel_size=4, node="dgx-h100")
        >>> first, second, third = (topology.place(pool, index, 4) for index in range(3))
        >>> topology.path(first, second).bytes_per_s / 1e9  # NVLink: 4 devices at 450 GB/s
        1800.0
        >>> topology.path(first, third).bytes_per_s / 1e9  # InfiniBand: their 4 ports of 50 GB/s
        200.0
    """

    def __init__(self, spec: TopologySpec) -> None:
        self.spec = spec
        self._listed = {group.name: list[Server]() for group in spec.nodes}
        self._rented: dict[tuple[str, str], list[Server]] = {}
        self._between: dict[tuple[str, str], list[Link]] = {}
        self._stores: dict[str, Place] = {}
        self._disks: dict[Place, dict[str, Place]] = {}
        self._paths: dict[Place, dict[Place, Path]] = {}
        self._facts: dict[TopologyFact, None] = {}

    def place(
        self, pool: Pool, replica_index: int, num_devices: int, *, zone: str | None = None
    ) -> Place | None:
        """Devices for a replica, taken until :meth:`release`; None where the machines listed have no room.

        Args:
            pool: Names the accelerator, and perhaps the node and the zone.
            replica_index: Which of its replicas, for messages.
            num_devices: How many devices.
            zone: A zone to look in instead of the pool's own.
        """
        name = f"{pool.name}/{replica_index}"
        if not self.spec.nodes:
            zone = zone or pool.zone or self.spec.default_zone
            kind = (
                rented(pool.instance)
                if pool.instance and pool.node is None
                else server_type(pool.accelerator, pool.node)
            )
            return self._rent(name, kind, zone, num_devices)
        for group in groups_for(pool, self.spec, zone):
            servers = self._group(group, server_type(pool.accelerator, group.node))
            place = self._take(name, servers, num_devices)
            if place is not None:
                return place
        return None

    def release(self, place: Place) -> None:
        """Give the devices of ``place`` back. Its transfers are the caller's to cancel."""
        for part in place.parts:
            if part.server is not None:
                part.server.parts.remove(part)
                part.server.free = sorted((*part.server.free, *part.devices))
        for gone in (place, *self._disks.pop(place, {}).values()):
            self._paths.pop(gone, None)
            for paths in self._paths.values():
                paths.pop(gone, None)

    def retire(self, server: Server) -> list[Link]:
        """``server`` is gone and takes nobody in any more; the links that die with it, for ``Network.fail``."""
        server.is_up = False
        return list(server.links())

    def path(self, source: Place, target: Place) -> Path:
        """The way from one place to another; the same one each time.

        Raises:
            ScenarioError: They are in zones that no link joins.
        """
        paths = self._paths.setdefault(source, {})
        if target not in paths:
            paths[target] = path_between(source, target, self._zone_links)
        return paths[target]

    def storage(self, name: str, place: Place) -> Place:
        """The storage ``name`` as ``place`` sees it: its own machines' disks, or the one store for all.

        Raises:
            ScenarioError: There is no storage of that name.
        """
        storage = self.spec.storage_called(name)
        if storage is None:
            message = f"no storage is called '{name}'; {nearest(name, self.spec.sources())}"
            raise ScenarioError(Problem("topology.storage", message))
        known = self._disks.setdefault(place, {}) if storage.kind == "disk" else self._stores
        if name not in known:
            known[name] = self._disks_of(storage, place) if storage.kind == "disk" else self._store(storage)
        return known[name]

    def servers(self) -> Iterator[Server]:
        """Every machine so far, in order. Pure query."""
        for servers in (*self._listed.values(), *self._rented.values()):
            yield from servers

    def facts(self) -> list[TopologyFact]:
        """What has been taken as given so far, each with its source or as assumed. Pure query."""
        return list(self._facts)

    def _group(self, group: NodeGroup, kind: ServerType) -> list[Server]:
        """The machines of ``group``, put up when first needed."""
        servers = self._listed[group.name]
        if not servers:
            zone = group.zone or self.spec.default_zone
            kind = kind.with_network(group.bandwidth) if group.bandwidth else kind
            servers += [self._server(f"{group.name}/{index}", kind, zone) for index in range(group.count)]
        return servers

    def _rent(self, name: str, kind: ServerType, zone: str, num_devices: int) -> Place:
        """A place on the machines there are, or on new ones."""
        servers = self._rented.setdefault((kind.name, zone), [])
        place = self._take(name, servers, num_devices)
        while place is None:
            label = f"{kind.name}/{zone}/{len(servers)}" if zone else f"{kind.name}/{len(servers)}"
            servers.append(self._server(label, kind, zone))
            place = self._take(name, servers, num_devices)
        return place

    def _server(self, name: str, kind: ServerType, zone: str) -> Server:
        source = "; ".join((kind.source, *(f"assumed: {text}" for text in kind.assumed)))
        self._facts[TopologyFact(f"Machine {kind.name}", kind.in_words(), source.removeprefix("; "))] = None
        return Server(name, kind, zone)

    @staticmethod
    def _take(name: str, servers: list[Server], num_devices: int) -> Place | None:
        """Devices of ``servers``, in order; None where there is no room."""
        free = [len(server.free) if server.is_up else 0 for server in servers]
        dealt = deal(free, servers[0].type.num_devices, num_devices) if servers else None
        if dealt is None:
            return None
        parts: list[Part] = []
        for index, count in dealt:
            server = servers[index]
            taken, server.free = server.free[:count], server.free[count:]
            for island in range(server.type.num_islands):
                devices = [device for device in taken if device // server.type.island_size == island]
                if devices:
                    parts.append(devices_part(f"{name} on {server.name}", server, devices))
                    server.parts.append(parts[-1])
        return Place(name, tuple(parts))

    def _store(self, storage: Storage) -> Place:
        """A store: one for all, over the network."""
        latency_s = STORE_LATENCY_S if storage.latency_ms is None else storage.latency_ms / 1000
        per_node = storage.bandwidth_per_node or STORE_BYTES_PER_S
        total = f" of {format_si(storage.bandwidth, 'B/s')}" if storage.bandwidth else ""
        text = f"{format_si(per_node, 'B/s')} to each machine{total}, {format_seconds(latency_s)} to the first byte"
        given = storage.bandwidth_per_node and storage.latency_ms is not None
        self._storage_fact(storage, text, "the scenario" if given else f"where not set: {STORE_SOURCE}")
        network = (Duplex.of(storage.name, storage.bandwidth),) if storage.bandwidth else ()
        store = (storage.name, per_node, latency_s)
        part = Part(weight=1, zone=storage.zone, server=None, network=network, store=store)
        return Place(storage.name, (part,))

    def _disks_of(self, storage: Storage, place: Place) -> Place:
        """The disks of each machine of ``place``, with the bytes that belong there."""
        rate = storage.bandwidth or DISK_BYTES_PER_S
        text = f"{format_si(rate, 'B/s')} in each machine"
        self._storage_fact(storage, text, "the scenario" if storage.bandwidth else f"assumed: {DISK_SOURCE}")
        parts = [
            disks_part(
                part.server,
                part.weight,
                part.server.store(storage.name, rate, (storage.latency_ms or 0) / 1000),
            )
            for part in place.parts
            if part.server is not None
        ]
        return Place(f"{storage.name} of {place.name}", tuple(parts))

    def _storage_fact(self, storage: Storage, text: str, source: str) -> None:
        self._facts[TopologyFact(f"Storage {storage.name}", text, source)] = None

    def _zone_links(self, zone: str | None, other: str | None) -> list[Link]:
        """From ``zone`` to ``other``: the link between them, or the network within one, if that limits."""
        if zone is None or other is None:
            return []
        if (zone, other) not in self._between:
            spec = self.spec.zone_link(zone, other)
            if spec is None and zone != other:
                raise ScenarioError(Problem("topology.links", no_link(zone, other)))
            one_way_s = 0.0 if spec is None else spec.round_trip_ms / 2000
            links = [] if spec is None else [Link(f"{zone} to {other}", spec.bandwidth, one_way_s)]
            self._between[zone, other] = links
        return self._between[zone, other]
