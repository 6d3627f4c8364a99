"""Machines at run time, and the places in them that data comes from and goes to."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import inf
from typing import NamedTuple

from llmsim.files.servers import ServerType
from llmsim.sim.links import Link


class Duplex(NamedTuple):
    """Both directions of a connection, as seen from one end of it."""

    out: Link
    into: Link

    @classmethod
    def of(cls, name: str, bytes_per_s: float, latency_s: float = 0.0) -> Duplex:
        """A connection that carries ``bytes_per_s`` each way."""
        return cls(Link(f"{name} out", bytes_per_s, latency_s), Link(f"{name} in", bytes_per_s, latency_s))


class Server:
    """One machine.

    Attributes:
        name: For messages.
        type: What it is made of.
        zone: Where it stands.
        network: Its network, as far as its devices share it: where each has its own ports, those limit
            (:attr:`Part.network`). Half the latency of the way between two machines is at each end.
        free: Its free devices, in order.
        parts: What of places is in it now.
        is_up: False once it has been taken out (:meth:`Topology.retire`).
    """

    def __init__(self, name: str, kind: ServerType, zone: str) -> None:
        self.name = name
        self.type = kind
        self.zone = zone
        network = inf if kind.has_own_ports else kind.network_bytes_per_s
        self.network = Duplex.of(f"{name} network", network, kind.network_latency_s / 2)
        self.free = list(range(kind.num_devices))
        self.parts: list[Part] = []
        self.is_up = True
        self._stores: dict[str, Duplex] = {}

    def __repr__(self) -> str:
        return f"Server({self.name!r})"

    def store(self, name: str, bytes_per_s: float, latency_s: float = 0.0) -> Duplex:
        """Its disks, or its way to a store, called ``name``; the same one each time."""
        if name not in self._stores:
            self._stores[name] = Duplex.of(f"{self.name} {name}", bytes_per_s, latency_s)
        return self._stores[name]

    def links(self) -> Iterator[Link]:
        """Everything that dies with it. Pure query."""
        yield from self.network
        for duplex in self._stores.values():
            yield from duplex
        for part in self.parts:
            yield from part.links()


@dataclass(frozen=True, eq=False)
class Part:
    """The part of a place that is on one machine and, of devices, within one island; or a store.

    The ways out are from the inside outwards, a connection after the other.

    Attributes:
        weight: How many devices' share of the place's bytes it has.
        zone: Where it is; None is beside every zone.
        server: The machine; None for a store.
        devices: Which of its devices; none for storage.
        island: Of devices: which island of the machine they are on.
        own: The connections that are this part's alone.
        scale_up: Of devices, to others of their island.
        host: To the rest of the machine: the devices' host links, or the disks.
        network: To other machines: ports and the machine's network, or the store.
        store: Of a store: its name, the most that one machine reads from it, and its latency.
    """

    weight: int
    zone: str | None
    server: Server | None
    network: tuple[Duplex, ...]
    devices: tuple[int, ...] = ()
    island: int | None = None
    scale_up: tuple[Duplex, ...] = ()
    host: tuple[Duplex, ...] = ()
    own: tuple[Duplex, ...] = ()
    store: tuple[str, float, float] | None = None

    def links(self) -> Iterator[Link]:
        """The links that are its alone. Pure query."""
        for duplex in self.own:
            yield from duplex


@dataclass(frozen=True, eq=False)
class Place:
    """Where a replica sits, or what its weights are read from.

    Its bytes are spread evenly over its devices, in order. Two places are equal only if they are one.

    Attributes:
        name: For messages.
        parts: Machine by machine and island by island.
    """

    name: str
    parts: tuple[Part, ...]

    @property
    def num_devices(self) -> int:
        """How many accelerators it has. Pure query."""
        return sum(len(part.devices) for part in self.parts)

    @property
    def zone(self) -> str | None:
        """Where it is; None for a store beside every zone. Pure query."""
        return self.parts[0].zone

    @property
    def servers(self) -> list[Server]:
        """The machines it is on. Pure query."""
        return list(dict.fromkeys(part.server for part in self.parts if part.server is not None))

    def links(self) -> list[Link]:
        """The links that are this place's alone: when they fail, whatever goes in or out of it is lost."""
        return [link for part in self.parts for link in part.links()]


def devices_part(name: str, server: Server, devices: list[int]) -> Part:
    """``devices`` of one island of ``server``, with connections of their own."""
    kind = server.type
    num_devices = len(devices)
    scale_up = Duplex.of(
        f"{name} scale-up", num_devices * kind.scale_up_bytes_per_s, kind.scale_up_latency_s / 2
    )
    host = Duplex.of(f"{name} host", num_devices * kind.host_bytes_per_s, kind.host_latency_s / 2)
    rate = num_devices * kind.port_bytes_per_s
    limits = kind.has_own_ports or rate < kind.network_bytes_per_s
    ports = Duplex.of(f"{name} ports", rate if limits else inf)
    return Part(
        weight=num_devices,
        zone=server.zone,
        server=server,
        devices=tuple(devices),
        island=devices[0] // kind.island_size,
        scale_up=(scale_up,),
        host=(host,),
        network=(ports, server.network),
        own=(scale_up, host, ports),
    )


def disks_part(server: Server, weight: int, disks: Duplex) -> Part:
    """The ``disks`` of ``server``, with the bytes of ``weight`` devices."""
    return Part(
        weight=weight, zone=server.zone, server=server, host=(disks,), network=(disks, server.network)
    )
