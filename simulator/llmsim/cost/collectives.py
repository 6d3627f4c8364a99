"""Collective operations over the scale-up link, and across nodes over their network (F9).

Inside a node: the engine's own kernels and NCCL, fitted to timings. Across nodes: NCCL's ring, whose
every link carries ``2(p−1)/p`` of an all-reduced message, at the pace of the slowest part, which is the
nodes' network; and the latency of NCCL's tree, up and down once. That is more bytes than a
reduce-scatter in the node, an all-reduce between nodes and an all-gather in the node would send over
the network, ``2(m−1)/m`` of the message among m nodes; but measured two-node all-reduces take the
ring's time (``tests/theory/test_network_fidelity.py``).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, log2

from llmsim.cost.efficiency import CUSTOM_BYTES, AllReduceEfficiency, Efficiency
from llmsim.cost.ops import Rate
from llmsim.files.machines import Machine
from llmsim.spec.hardware import Accelerator

DEFAULT_LINK_BYTES_PER_S = 32e9
"""PCIe 4.0 x16 per direction, for accelerators whose link is not known."""


NETWORK_SHARE = 0.75
"""Share of a network's nominal rate that NCCL reaches with long messages.

Between what three clusters show: 0.62 (A100, send and receive at 7.8 of 12.5 GB/s; Vidur), 0.72 (DGX
H100, 36 of 50 GB/s; Vidur), 0.9 (V100, 1.1 of 1.25 GB/s; APEX). An assumption for any other.
"""


def link_bytes_per_s(accelerator: Accelerator) -> float:
    """Bandwidth between two devices of a node, bytes/s per direction. Pure query."""
    return accelerator.link_bytes_per_s or accelerator.host_link_bytes_per_s or DEFAULT_LINK_BYTES_PER_S


@dataclass(frozen=True)
class AllReduce(Rate):
    """Sum over ``devices``: the engine's own kernel for small messages, NCCL's ring for large ones.

    One-shot reads every peer's message, ``(p−1)·n`` bytes, with one synchronisation; two-shot
    (reduce-scatter, then gather) moves ``2(p−1)/p·n`` and synchronises once more, as the ring does.
    """

    devices: int
    bytes_per_s: float
    latency_s: float
    two_shot_s: float
    ring_bytes_per_s: float
    ring_start_s: float
    eager_s: float
    custom_bytes: int = CUSTOM_BYTES

    def seconds(self, message_bytes: float) -> float:
        """See :meth:`Rate.seconds`."""
        if self.devices == 1:
            return 0.0
        others = (self.devices - 1) * message_bytes
        if message_bytes >= self.custom_bytes:
            return self.ring_start_s + 2 * others / self.devices / self.ring_bytes_per_s
        one_shot = others / self.bytes_per_s
        return self.latency_s + min(one_shot, self.two_shot_s + 2 * one_shot / self.devices)

    def wire_bytes(self, message_bytes: float) -> float:
        """See :meth:`Rate.wire_bytes`; counted as two-shot, the least there is to move."""
        return 2 * (self.devices - 1) / self.devices * message_bytes


@dataclass(frozen=True)
class Gather(Rate):
    """Every device ends up with all shards: ``(p−1)/p`` of the message arrives over the link."""

    devices: int
    bytes_per_s: float
    latency_s: float
    eager_s: float

    def seconds(self, message_bytes: float) -> float:
        """See :meth:`Rate.seconds`."""
        return self.latency_s + self.wire_bytes(message_bytes) / self.bytes_per_s if self.devices > 1 else 0.0

    def wire_bytes(self, message_bytes: float) -> float:
        """See :meth:`Rate.wire_bytes`."""
        return (self.devices - 1) / self.devices * message_bytes


@dataclass(frozen=True)
class Send(Rate):
    """Point to point, to the next pipeline stage."""

    bytes_per_s: float
    latency_s: float
    eager_s: float

    def seconds(self, message_bytes: float) -> float:
        """See :meth:`Rate.seconds`."""
        return self.latency_s + message_bytes / self.bytes_per_s

    def wire_bytes(self, message_bytes: float) -> float:
        """See :meth:`Rate.wire_bytes`."""
        return message_bytes


@dataclass(frozen=True)
class AcrossNodes(Rate):
    """A ring through ``devices`` in several nodes: every link of it carries ``passes`` of the message.

    Attributes:
        passes: 2(p−1)/p of an all-reduce, (p−1)/p of an all-gather.
        bytes_per_s: Of the slowest part: the island's links or the node's network.
        latency_s: The island's part, and the hops between nodes.
    """

    devices: int
    passes: float
    bytes_per_s: float
    latency_s: float
    eager_s: float

    def seconds(self, message_bytes: float) -> float:
        """See :meth:`Rate.seconds`."""
        return self.latency_s + self.wire_bytes(message_bytes) / self.bytes_per_s

    def wire_bytes(self, message_bytes: float) -> float:
        """See :meth:`Rate.wire_bytes`."""
        return self.passes * message_bytes


@dataclass(frozen=True)
class AllToAll(Rate):
    """Each of ``devices`` sends every other its part of the message, over the island and the network at once.

    Attributes:
        inside, outside: Share of a device's message to others of its island, and to other nodes.
        bytes_per_s: Of a device inside its island; out_bytes_per_s: its share of the node's network.
    """

    devices: int
    inside: float
    outside: float
    bytes_per_s: float
    out_bytes_per_s: float
    latency_s: float
    eager_s: float

    def seconds(self, message_bytes: float) -> float:
        """See :meth:`Rate.seconds`."""
        inside_s = self.inside * message_bytes / self.bytes_per_s
        return self.latency_s + max(inside_s, self.outside * message_bytes / self.out_bytes_per_s)

    def wire_bytes(self, message_bytes: float) -> float:
        """See :meth:`Rate.wire_bytes`."""
        return (self.inside + self.outside) * message_bytes


@dataclass(frozen=True)
class SendToNode(Rate):
    """To the next stage in another node: each rank sends its share, the receivers gather.

    Both vLLM and FasterTransformer send a slice from every tensor-parallel rank.
    """

    bytes_per_s: float
    latency_s: float
    gather: Gather
    eager_s: float

    def seconds(self, message_bytes: float) -> float:
        """See :meth:`Rate.seconds`."""
        return self.latency_s + message_bytes / self.bytes_per_s + self.gather.seconds(message_bytes)

    def wire_bytes(self, message_bytes: float) -> float:
        """See :meth:`Rate.wire_bytes`."""
        return message_bytes / self.gather.devices + self.gather.wire_bytes(message_bytes)


def _curve(efficiency: Efficiency, accelerator: Accelerator, devices: int) -> AllReduceEfficiency:
    return efficiency.all_reduce_for(devices, pcie=accelerator.link_name.startswith("pcie"))


def _ring(
    efficiency: Efficiency, accelerator: Accelerator, devices: int, machine: Machine, passes: int
) -> AcrossNodes:
    """``passes`` times around a ring through whole islands; up the tree and down it for the latency."""
    in_island, islands = machine.islands(devices)
    fit, link = _curve(efficiency, accelerator, in_island), link_bytes_per_s(accelerator)
    inside = link * fit.ring_bandwidth if in_island > 1 else link
    return AcrossNodes(
        devices,
        passes * (devices - 1) / devices,
        min(inside, NETWORK_SHARE * machine.out_bytes_per_s(in_island)),
        fit.ring_latency_s + passes * ceil(log2(islands)) * machine.latency_s,
        fit.eager_s,
    )


def all_reduce(
    efficiency: Efficiency, accelerator: Accelerator, devices: int, machine: Machine | None = None
) -> Rate:
    """The all-reduce of a tensor-parallel group. Pure query.

    Args:
        machine: The nodes it lies in; None: in one.
    """
    if machine is not None and devices > machine.num_devices:
        return _ring(efficiency, accelerator, devices, machine, 2)
    fit, link = _curve(efficiency, accelerator, devices), link_bytes_per_s(accelerator)
    return AllReduce(
        devices,
        link * fit.bandwidth,
        fit.latency_s,
        fit.two_shot_s,
        link * fit.ring_bandwidth,
        fit.ring_start_s,
        fit.eager_s,
    )


def gather(
    efficiency: Efficiency, accelerator: Accelerator, devices: int, machine: Machine | None = None
) -> Rate:
    """The all-gather of vocabulary-parallel logits, by NCCL. Pure query."""
    if machine is not None and devices > machine.num_devices:
        return _ring(efficiency, accelerator, devices, machine, 1)
    return _gather(efficiency, accelerator, devices)


def _gather(efficiency: Efficiency, accelerator: Accelerator, devices: int) -> Gather:
    fit, link = _curve(efficiency, accelerator, devices), link_bytes_per_s(accelerator)
    return Gather(devices, link * fit.ring_bandwidth, fit.ring_latency_s, fit.eager_s)


def send(
    efficiency: Efficiency,
    accelerator: Accelerator,
    devices: int = 1,
    machine: Machine | None = None,
    to: Machine | None = None,
) -> Rate:
    """The hand-over between neighbouring pipeline stages, by NCCL. Pure query.

    Args:
        devices: The stage's tensor-parallel degree.
        machine, to: The nodes it leaves and enters; None: within a node.
    """
    fit, link = _curve(efficiency, accelerator, 2), link_bytes_per_s(accelerator)
    if machine is None or to is None:
        return Send(link * fit.ring_bandwidth, fit.ring_latency_s, fit.eager_s)
    in_island, _ = machine.islands(devices)
    network = min(machine.out_bytes_per_s(in_island), to.out_bytes_per_s(in_island))
    return SendToNode(
        NETWORK_SHARE * network,
        fit.ring_latency_s + max(machine.latency_s, to.latency_s),
        _gather(efficiency, accelerator, in_island),
        fit.eager_s,
    )


def all_to_all(efficiency: Efficiency, accelerator: Accelerator, devices: int, machine: Machine) -> AllToAll:
    """Tokens to the ranks of their experts, or back, by NCCL's sends and receives. Pure query."""
    in_island, islands = machine.islands(devices)
    pair, fit = _curve(efficiency, accelerator, 2), _curve(efficiency, accelerator, in_island)
    return AllToAll(
        devices,
        (in_island - 1) / devices,
        (devices - in_island) / devices,
        link_bytes_per_s(accelerator) * pair.ring_bandwidth,
        NETWORK_SHARE * machine.out_bytes_per_s(in_island) / in_island,
        fit.ring_latency_s + (machine.latency_s if islands > 1 else 0.0),
        fit.eager_s,
    )
