"""Machines as transfers see them: what their devices, their host links and their network ports can carry."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache

from llmsim.files import catalog
from llmsim.files.machines import USUAL_DEVICES, NodeNetwork, network_of, usual_network, usual_node
from llmsim.spec.hardware import Accelerator, Node
from llmsim.units import format_si

LARGEST_MACHINE = 72
"""Devices of an NVL72 rack; a scale-up link that reaches further joins machines, as in TPU pods."""

USUAL_HOST_LINK = "pcie4-x16"
"""What joins a device to its host, where the catalogue does not say: an assumption."""


@dataclass(frozen=True)
class ServerType:
    """A kind of machine. Rates are per direction.

    Attributes:
        name: The catalogue's name of the node, or what it is made of where there is none.
        num_devices: Accelerators in it.
        island_size: How many neighbours the scale-up link joins.
        scale_up_bytes_per_s: Of one device, to others of its island.
        scale_up_latency_s: One way.
        host_bytes_per_s: Of one device, to the host and to devices of other islands.
        host_latency_s: One way.
        network_bytes_per_s: Of the whole machine.
        port_bytes_per_s: The most of it that one device gets, which is no more than its host link carries.
        network_latency_s: One way, to another machine of the same zone.
        source: Where the rate of its network was read; "" where it is assumed.
        assumed: What of this is assumed, because the catalogue does not say.
    """

    name: str
    num_devices: int
    island_size: int
    scale_up_bytes_per_s: float
    scale_up_latency_s: float
    host_bytes_per_s: float
    host_latency_s: float
    network_bytes_per_s: float
    port_bytes_per_s: float
    network_latency_s: float
    source: str = ""
    assumed: tuple[str, ...] = ()

    @property
    def num_islands(self) -> int:
        """Groups of devices that the scale-up link joins. Pure query."""
        return -(-self.num_devices // self.island_size)

    @property
    def has_own_ports(self) -> bool:
        """Whether its devices' ports together are no more than its network, which then never limits. Pure query."""
        return self.num_devices * self.port_bytes_per_s <= self.network_bytes_per_s

    def with_network(self, bytes_per_s: float) -> ServerType:
        """The same machine with another network: a device gets its part of it, or what its own ports gave."""
        port = max(self.port_bytes_per_s, bytes_per_s / self.num_devices)
        return replace(
            self,
            network_bytes_per_s=bytes_per_s,
            port_bytes_per_s=min(port, self.host_bytes_per_s),
            source="the scenario's topology",
        )

    def in_words(self) -> str:
        """What it can carry. Pure query."""
        near, far = (format_si(rate, "B/s") for rate in (self.scale_up_bytes_per_s, self.network_bytes_per_s))
        if self.num_devices == 1:
            return f"1 device, {far} to other machines"
        return f"{self.num_devices} devices, {near} from each to its neighbours, {far} to other machines"


@cache
def server_type(accelerator: str, node: str | None = None) -> ServerType:
    """The machine called ``node``; by default the catalogue's largest with ``accelerator``; else an assumed one.

    Raises:
        CatalogError: Nothing has one of those names.
    """
    device = catalog.accelerator(accelerator)
    machine = catalog.node(node) if node is not None else usual_node(device.name)
    if machine is None:
        return _assumed(device)
    return _catalogued(catalog.accelerator(machine.accelerator), machine)


@cache
def rented(instance_type: str) -> ServerType:
    """The machine that an instance of this type is: its node where the catalogue knows it, else as large as it says.

    Raises:
        CatalogError: There is no such type.
    """
    instance = catalog.instance(instance_type)
    if instance.node is not None:
        return server_type(instance.accelerator, instance.node)
    device = catalog.accelerator(instance.accelerator)
    return _server_type(instance.name, device, instance.num_accelerators, usual_network())


def _catalogued(device: Accelerator, node: Node) -> ServerType:
    server = _server_type(node.name, device, node.num_accelerators, network_of(node))
    cited = node.sources().get("network_bytes_per_s")
    source = "" if cited is None else cited.citation + (" (unverified)" if cited.unverified else "")
    return replace(server, source=source)


def _assumed(device: Accelerator) -> ServerType:
    """A machine for an accelerator that no node entry has."""
    reach = device.scale_up_size or 0
    size = reach if USUAL_DEVICES < reach <= LARGEST_MACHINE else USUAL_DEVICES
    server = _server_type(f"{size} × {device.name}", device, size, usual_network())
    return replace(server, assumed=(f"{size} devices a machine", *server.assumed))


def _server_type(name: str, device: Accelerator, size: int, network: NodeNetwork) -> ServerType:
    assumed = [network.assumed] if network.assumed else []
    host = catalog.link(USUAL_HOST_LINK)
    host_rate = device.host_link_bytes_per_s
    if host_rate is None:
        host_rate = host.bytes_per_s or 0.0
        assumed.append(f"{host.name} between device and host")
    scale_up = catalog.link(device.link_name)
    scale_up_rate = device.link_bytes_per_s or scale_up.bytes_per_s
    if scale_up_rate is None:
        scale_up_rate = host_rate
        assumed.append(f"{device.link_name} as fast as the host link")
    return ServerType(
        name,
        size,
        min(size, device.scale_up_size or size),
        scale_up_rate,
        scale_up.latency_s if scale_up.latency_s is not None else host.latency_s or 0.0,
        host_rate,
        host.latency_s or 0.0,
        network.bytes_per_s,
        min(network.port_bytes_per_s, host_rate),
        network.latency_s,
        assumed=tuple(assumed),
    )
