"""Operators: what one does for n tokens (or rows, or sequences), and how long it takes (F8).

An operator's time is ``layers · (max(compute, memory, network, launch) + floor)``: the slowest of
its needs, then what every kernel pays to start and drain. All numbers are those of one device.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal, NamedTuple

Feature = Literal["tokens", "logit_rows", "sequences"]

SMALLEST_TILE, LARGEST_TILE, TILE_COLUMNS = 16, 64, 128
"""Rows and columns of the output that one thread block computes (CUTLASS and cuBLAS shapes)."""


class Work(NamedTuple):
    """What one layer of an operator does on one device: FLOPs, and bytes by class."""

    flops: float = 0.0
    weight_bytes: float = 0.0
    activation_bytes: float = 0.0
    kv_read_bytes: float = 0.0
    kv_write_bytes: float = 0.0
    state_bytes: float = 0.0
    wire_bytes: float = 0.0

    @property
    def hbm_bytes(self) -> float:
        """Bytes that cross the device's own memory interface. Pure query."""
        return sum(self[1:6])

    def times(self, factor: float) -> Work:
        """The same work ``factor`` times. Pure query."""
        return Work(*(factor * item for item in self))


class Needs(NamedTuple):
    """Seconds an operator would take were one resource its only limit."""

    compute: float = 0.0
    memory: float = 0.0
    network: float = 0.0
    launch: float = 0.0
    host: float = 0.0

    def bound(self) -> str:
        """The name of the largest. Pure query."""
        return max(self._fields, key=lambda name: float(getattr(self, name)))


@dataclass(frozen=True)
class Op(ABC):
    """One kind of kernel, run once in each of ``layers`` layers.

    Attributes:
        name: For the table.
        layers: How often it runs in an iteration of the stage.
        per: The count its work depends on.
        floor_s: What every launch costs on the device, whatever the work.
        launch_s: What the host needs to launch it when no graph replays it.
        graph_tokens: Largest count that is replayed from a graph.
    """

    name: str
    layers: int
    per: Feature
    floor_s: float
    launch_s: float
    graph_tokens: int

    @abstractmethod
    def work(self, n: int) -> Work:
        """FLOPs and bytes of one layer."""

    @abstractmethod
    def needs(self, n: int) -> Needs:
        """Seconds of one layer by resource, the floor left out."""

    def seconds(self, n: int) -> float:
        """Time of all its layers, in seconds. Pure query."""
        return self.layers * (max(self.needs(n)) + self.floor_s) if n else 0.0

    def _launch(self, n: int) -> float:
        return self.launch_s if n > self.graph_tokens else 0.0


def rounded_rows(rows: int) -> tuple[int, int]:
    """Rows padded to whole tiles, and the rows of a tile: a power of two from 16 to 64. Pure query."""
    tile = min(LARGEST_TILE, max(SMALLEST_TILE, 1 << (rows - 1).bit_length()))
    return -(-rows // tile) * tile, tile


@dataclass(frozen=True)
class GemmOp(Op):
    """(n, k) × (k, columns): full tiles in waves over the multiprocessors, weights streamed once.

    The last wave is filled by splitting its tiles' k loops ``split`` ways (split-K, stream-K).
    """

    k: int
    columns: int
    weight_bytes: float
    activation_bytes_per_row: float
    flops_per_s: float
    bytes_per_s: float
    num_sms: int
    split: int

    def work(self, n: int) -> Work:
        """See :meth:`Op.work`."""
        return Work(2.0 * n * self.k * self.columns, self.weight_bytes, n * self.activation_bytes_per_row)

    def needs(self, n: int) -> Needs:
        """See :meth:`Op.needs`."""
        rows, tile = rounded_rows(n)
        tiles = rows // tile * -(-self.columns // TILE_COLUMNS)
        waves = -(-tiles * self.split // self.num_sms) / self.split
        compute = 2.0 * waves * self.num_sms * tile * TILE_COLUMNS * self.k / self.flops_per_s
        memory = (self.weight_bytes + n * self.activation_bytes_per_row) / self.bytes_per_s
        return Needs(compute, memory, launch=self._launch(n))


@dataclass(frozen=True)
class ExpertsOp(Op):
    """All routed experts of a layer in one fused kernel.

    ``n`` tokens touch E·(1 − (1 − k/E)^n) distinct experts when routing is even; those weights are
    read once, and each touched expert's tile is padded by ``padding_rows`` on average.
    """

    num_experts: int
    top_k: int
    flops_per_row: float
    expert_bytes: float
    activation_bytes_per_row: float
    flops_per_s: float
    bytes_per_s: float
    padding_rows: float

    def distinct(self, n: int) -> float:
        """Expected number of experts that n tokens touch. Pure query."""
        missed: float = (1 - self.top_k / self.num_experts) ** n
        return self.num_experts * (1 - missed)

    def work(self, n: int) -> Work:
        """See :meth:`Op.work`."""
        rows = n * self.top_k
        weights = self.distinct(n) * self.expert_bytes
        return Work(rows * self.flops_per_row, weights, rows * self.activation_bytes_per_row)

    def needs(self, n: int) -> Needs:
        """See :meth:`Op.needs`."""
        distinct, rows = self.distinct(n), n * self.top_k
        compute = (rows + distinct * self.padding_rows) * self.flops_per_row / self.flops_per_s
        memory = (distinct * self.expert_bytes + rows * self.activation_bytes_per_row) / self.bytes_per_s
        return Needs(compute, memory, launch=self._launch(n))


@dataclass(frozen=True)
class StreamOp(Op):
    """An operator whose bytes and FLOPs are proportional to n: norms, activations, KV writes, states."""

    each: Work
    flops_per_s: float
    bytes_per_s: float

    def work(self, n: int) -> Work:
        """See :meth:`Op.work`."""
        return self.each.times(n)

    def needs(self, n: int) -> Needs:
        """See :meth:`Op.needs`."""
        memory = n * self.each.hbm_bytes / self.bytes_per_s
        return Needs(n * self.each.flops / self.flops_per_s, memory, launch=self._launch(n))


@dataclass(frozen=True)
class StartOp(Op):
    """The start of the attention kernels: a cost per iteration, not per token or chunk."""

    def work(self, n: int) -> Work:
        """See :meth:`Op.work`."""
        return Work()

    def needs(self, n: int) -> Needs:
        """See :meth:`Op.needs`."""
        return Needs(launch=self._launch(n))


@dataclass(frozen=True)
class HostOp(Op):
    """Scheduling, input preparation and sampling bookkeeping on the host (F7)."""

    iteration_s: float
    sequence_s: float

    def work(self, n: int) -> Work:
        """See :meth:`Op.work`."""
        return Work()

    def needs(self, n: int) -> Needs:
        """See :meth:`Op.needs`."""
        return Needs(host=self.iteration_s + n * self.sequence_s)


@dataclass(frozen=True)
class CollectiveOp(Op):
    """A message of ``message_bytes_each`` per token (or row) over the link, at ``rate``'s cost."""

    message_bytes_each: float
    rate: Rate

    def work(self, n: int) -> Work:
        """See :meth:`Op.work`."""
        return Work(wire_bytes=self.rate.wire_bytes(n * self.message_bytes_each))

    def needs(self, n: int) -> Needs:
        """See :meth:`Op.needs`."""
        return Needs(network=self.rate.seconds(n * self.message_bytes_each), launch=self._launch(n))


class Rate(ABC):
    """How long a collective takes, by message size."""

    @abstractmethod
    def seconds(self, message_bytes: float) -> float:
        """Time from the last device's arrival to everyone's result, in seconds."""

    @abstractmethod
    def wire_bytes(self, message_bytes: float) -> float:
        """Bytes one device sends."""
