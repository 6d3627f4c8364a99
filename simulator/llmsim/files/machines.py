"""The machines that accelerators sit in, as collectives see them: islands of devices, and a network between."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from typing import NamedTuple

from llmsim.errors import CatalogError
from llmsim.files import catalog
from llmsim.spec.base import Place
from llmsim.spec.hardware import Accelerator, Node
from llmsim.spec.serving import Pool, PoolStage

USUAL_DEVICES = 8
"""Devices of a server, where neither the accelerator nor a node entry says: an assumption."""

USUAL_NETWORK = "ethernet-100g"
"""Network of a server that nothing is known of: one port of 100 Gb/s, an assumption."""

BRIDGED = 4
"""Up to this many devices, a scale-up link is a bridge between cards of one server."""

BRIDGE_LATENCY_S = 5e-6
"""Between cards of a server that no bridge joins, through the host's PCIe root: an assumption."""


@dataclass(frozen=True)
class Machine:
    """A node: ``num_devices`` joined by their scale-up link, and network ports that they share.

    Attributes:
        network_bytes_per_s: Of the whole node, per direction.
        port_bytes_per_s: The most one device alone gets of it.
        latency_s: One message of no length to another node.
        assumed: What of this is assumed and not in the catalogue; "" for nothing.
    """

    name: str
    num_devices: int
    network_bytes_per_s: float
    port_bytes_per_s: float
    latency_s: float
    assumed: str = ""

    def islands(self, ranks: int) -> tuple[int, int]:
        """How ``ranks`` neighbours lie: (ranks of an island, islands). Pure query."""
        return min(ranks, self.num_devices), -(-ranks // self.num_devices)

    def holds(self, ranks: int) -> bool:
        """Whether ``ranks`` fit in one node, or fill whole ones. Pure query."""
        return ranks <= self.num_devices or ranks % self.num_devices == 0

    def every(self, stride: int) -> Machine:
        """The node as a group sees it that has every ``stride``-th device, beside ``stride - 1`` such groups."""
        network = self.network_bytes_per_s / stride
        port = min(self.port_bytes_per_s, network)
        return replace(
            self,
            num_devices=max(1, self.num_devices // stride),
            network_bytes_per_s=network,
            port_bytes_per_s=port,
        )

    def out_bytes_per_s(self, ranks: int) -> float:
        """What ``ranks`` devices of a node send out of it together. Pure query."""
        return min(self.network_bytes_per_s, ranks * self.port_bytes_per_s)


def machine_of(accelerator: Accelerator, node: str | None = None) -> Machine:
    """The node called ``node``, or the usual one of ``accelerator``; what is not known is assumed.

    The usual node is the catalogue's largest with that accelerator. A scale-up link that reaches
    further than the node (TPU pods, the larger instances of a family) makes the island larger, its
    network with it. Pure query.
    """
    if node is not None:
        return _machine(catalog.node(node))
    usual = usual_node(accelerator.name)
    size = accelerator.scale_up_size
    if usual is None:
        return _assumed(accelerator)
    machine = _machine(usual)
    if size is None or size <= machine.num_devices:
        return machine
    words = f"{size} devices of {accelerator.link_name}, each with {machine.name}'s share of the network"
    each = machine.network_bytes_per_s / machine.num_devices
    return Machine(words, size, each * size, machine.port_bytes_per_s, machine.latency_s, machine.assumed)


@cache
def usual_node(accelerator: str) -> Node | None:
    """The catalogue's largest node with ``accelerator``; None where it has none. Pure query."""
    nodes = [catalog.node(name) for name in catalog.names("node")]
    mine = [node for node in nodes if node.accelerator == accelerator]
    return max(mine, key=lambda node: node.num_accelerators, default=None)


class NodeNetwork(NamedTuple):
    """The network of a node.

    Attributes:
        bytes_per_s: Of the whole node, per direction.
        port_bytes_per_s: The most of it that one device gets: a port, or its share of more ports than devices.
        latency_s: One message of no length, one way.
        assumed: What of this is assumed; "" for nothing.
    """

    bytes_per_s: float
    port_bytes_per_s: float
    latency_s: float
    assumed: str = ""


def network_of(node: Node) -> NodeNetwork:
    """What the catalogue knows of the network of ``node``, and what follows from it. Pure query."""
    link = catalog.link(node.network_link or USUAL_NETWORK)
    ports = node.num_network_ports or 1
    total = node.network_bytes_per_s
    assumed = ""
    if total is None:
        total = ports * (link.bytes_per_s or catalog.link(USUAL_NETWORK).bytes_per_s or 0.0)
        assumed = f"a network of {ports} × {link.name}"
    port = max(total / ports, total / node.num_accelerators)
    return NodeNetwork(total, port, link.latency_s or 0.0, assumed)


def usual_network() -> NodeNetwork:
    """One port, for a machine that nothing is known of. Pure query."""
    link = catalog.link(USUAL_NETWORK)
    rate = link.bytes_per_s or 0.0
    return NodeNetwork(rate, rate, link.latency_s or 0.0, f"one port of {link.name}")


def _machine(node: Node) -> Machine:
    network = network_of(node)
    assumed = f"{node.name}: {network.assumed}" if network.assumed else ""
    return Machine(node.name, node.num_accelerators, *network[:3], assumed)


def _assumed(accelerator: Accelerator) -> Machine:
    """A server for an accelerator that no node entry has."""
    size, host = accelerator.scale_up_size, accelerator.host_link_bytes_per_s
    if size is not None and size <= BRIDGED and host is not None:
        words = f"{size} devices of {accelerator.link_name}, and PCIe through the host between them"
        return Machine(words, size, size * host, host, BRIDGE_LATENCY_S, words)
    network = usual_network()
    words = f"{size or USUAL_DEVICES} devices a node and {network.assumed}"
    return Machine(words, size or USUAL_DEVICES, *network[:3], words)


def machine_conflicts(fleet: Sequence[Pool]) -> Iterator[tuple[Place, str]]:
    """What of a pool's plan its nodes cannot hold; names the catalogue does not know are passed over."""
    for index, pool in enumerate(fleet):
        stages: list[Pool | PoolStage] = [pool, *(pool.stages or [])]
        for number, part in enumerate(stages):
            at: Place = ("fleet", index, "stages", number - 1) if number else ("fleet", index)
            with suppress(CatalogError):
                yield from _conflicts_of(part, at, pool.prefill_context_parallel_size)


def _conflicts_of(part: Pool | PoolStage, at: Place, copies: int) -> Iterator[tuple[Place, str]]:
    accelerator = catalog.accelerator(part.accelerator)
    if part.node is not None and catalog.node(part.node).accelerator != accelerator.name:
        holds = catalog.node(part.node).accelerator
        message = f"'{part.node}' holds {holds}, not {accelerator.name}; name another node, or leave it out"
        yield (*at, "node"), message
    elif isinstance(part.tensor_parallel_size, int):
        machine = machine_of(accelerator, part.node)
        ranks = part.tensor_parallel_size * copies
        if not machine.holds(ranks):
            what = f"{ranks} devices" if copies > 1 else str(ranks)
            yield (
                (*at, "tensor_parallel_size"),
                f"{what} neither fit in a node of {machine.num_devices} ({machine.name}) nor fill whole nodes; "
                f"use a divisor or a multiple of {machine.num_devices}",
            )
