"""Collective operations over the scale-up link (F9)."""

from __future__ import annotations

from dataclasses import dataclass

from llmsim.cost.efficiency import Efficiency
from llmsim.cost.ops import Rate
from llmsim.spec.hardware import Accelerator

DEFAULT_LINK_BYTES_PER_S = 32e9
"""PCIe 4.0 x16 per direction, for accelerators whose link is not known."""


def link_bytes_per_s(accelerator: Accelerator) -> float:
    """Bandwidth between two devices of a node, bytes/s per direction. Pure query."""
    return accelerator.link_bytes_per_s or accelerator.host_link_bytes_per_s or DEFAULT_LINK_BYTES_PER_S


@dataclass(frozen=True)
class AllReduce(Rate):
    """Sum over ``devices``: one-shot for small messages, reduce-scatter and all-gather for large ones.

    One-shot reads every peer's message, ``(p−1)·n`` bytes, with one synchronisation; two-shot moves
    ``2(p−1)/p·n`` and synchronises once more (vLLM's custom all-reduce, NCCL's ring).
    """

    devices: int
    bytes_per_s: float
    latency_s: float
    two_shot_s: float

    def seconds(self, message_bytes: float) -> float:
        """See :meth:`Rate.seconds`."""
        if self.devices == 1:
            return 0.0
        one_shot = (self.devices - 1) * message_bytes / self.bytes_per_s
        two_shot = self.two_shot_s + 2 * one_shot / self.devices
        return self.latency_s + min(one_shot, two_shot)

    def wire_bytes(self, message_bytes: float) -> float:
        """See :meth:`Rate.wire_bytes`; counted as two-shot, the least there is to move."""
        return 2 * (self.devices - 1) / self.devices * message_bytes


@dataclass(frozen=True)
class Gather(Rate):
    """Every device ends up with all shards: ``(p−1)/p`` of the message arrives over the link."""

    devices: int
    bytes_per_s: float
    latency_s: float

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

    def seconds(self, message_bytes: float) -> float:
        """See :meth:`Rate.seconds`."""
        return self.latency_s + message_bytes / self.bytes_per_s

    def wire_bytes(self, message_bytes: float) -> float:
        """See :meth:`Rate.wire_bytes`."""
        return message_bytes


def all_reduce(efficiency: Efficiency, accelerator: Accelerator, devices: int) -> AllReduce:
    """The all-reduce of a tensor-parallel group. Pure query."""
    fit = efficiency.all_reduce_for(devices)
    rate = link_bytes_per_s(accelerator) * fit.bandwidth
    return AllReduce(devices, rate, fit.latency_s, fit.two_shot_s)


def gather(efficiency: Efficiency, accelerator: Accelerator, devices: int) -> Gather:
    """The all-gather of vocabulary-parallel logits. Pure query."""
    fit = efficiency.all_reduce_for(devices)
    return Gather(devices, link_bytes_per_s(accelerator) * fit.bandwidth, fit.latency_s)


def send(efficiency: Efficiency, accelerator: Accelerator) -> Send:
    """The hand-over between neighbouring pipeline stages. Pure query."""
    fit = efficiency.all_reduce_for(2)
    return Send(link_bytes_per_s(accelerator) * fit.bandwidth, fit.latency_s)
