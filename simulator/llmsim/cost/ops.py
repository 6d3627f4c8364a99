"""Operators: what one does for n tokens (or rows, or sequences), and how long it takes (F8).

An operator's time is ``layers · (max(compute, memory, network, launch) + floor)``: the slowest of
its needs, then what every kernel pays to start and drain. All numbers are those of one device.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple

Feature = Literal["tokens", "logit_rows", "sequences"]


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

    def least_s(self) -> float:
        """Seconds of one layer are at least n times this, for every n. Pure query."""
        return 0.0

    def seconds(self, n: int) -> float:
        """Time of all its layers, in seconds. Pure query."""
        return self.layers * (max(self.needs(n)) + self.floor_s) if n else 0.0

    def _launch(self, n: int) -> float:
        return self.launch_s if n > self.graph_tokens else 0.0


@dataclass(frozen=True)
class StreamOp(Op):
    """An operator whose bytes and FLOPs are proportional to n: norms, activations, KV writes, states."""

    each: Work
    flops_per_s: float
    bytes_per_s: float

    @cached_property
    def _each_s(self) -> tuple[float, float]:
        return self.each.flops / self.flops_per_s, self.each.hbm_bytes / self.bytes_per_s

    def work(self, n: int) -> Work:
        """See :meth:`Op.work`."""
        return self.each.times(n)

    def needs(self, n: int) -> Needs:
        """See :meth:`Op.needs`."""
        compute_s, memory_s = self._each_s
        return Needs(n * compute_s, n * memory_s, launch=self._launch(n))

    def least_s(self) -> float:
        """See :meth:`Op.least_s`."""
        return max(self._each_s)


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
    """How long a collective takes, by message size.

    Attributes:
        eager_s: What the host needs to launch it when no graph replays it.
    """

    eager_s: float

    @abstractmethod
    def seconds(self, message_bytes: float) -> float:
        """Time from the last device's arrival to everyone's result, in seconds."""

    @abstractmethod
    def wire_bytes(self, message_bytes: float) -> float:
        """Bytes one device sends."""
