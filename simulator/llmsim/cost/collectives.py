"""Collective operations over the scale-up link (F9)."""

from __future__ import annotations

from dataclasses import dataclass

from llmsim.cost.efficiency import CUSTOM_BYTES, AllReduceEfficiency, Efficiency
from llmsim.cost.ops import Rate
from llmsim.spec.hardware import Accelerator

DEFAULT_LINK_BYTES_PER_S = 32e9
"""PCIe 4.0 x16 per direction, for accelerators whose link is not known."""


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


def _curve(efficiency: Efficiency, accelerator: Accelerator, devices: int) -> AllReduceEfficiency:
    return efficiency.all_reduce_for(devices, pcie=accelerator.link_name.startswith("pcie"))


def all_reduce(efficiency: Efficiency, accelerator: Accelerator, devices: int) -> AllReduce:
    """The all-reduce of a tensor-parallel group. Pure query."""
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


def gather(efficiency: Efficiency, accelerator: Accelerator, devices: int) -> Gather:
    """The all-gather of vocabulary-parallel logits, by NCCL. Pure query."""
    fit, link = _curve(efficiency, accelerator, devices), link_bytes_per_s(accelerator)
    return Gather(devices, link * fit.ring_bandwidth, fit.ring_latency_s, fit.eager_s)


def send(efficiency: Efficiency, accelerator: Accelerator) -> Send:
    """The hand-over between neighbouring pipeline stages, by NCCL. Pure query."""
    fit, link = _curve(efficiency, accelerator, 2), link_bytes_per_s(accelerator)
    return Send(link * fit.ring_bandwidth, fit.ring_latency_s, fit.eager_s)
