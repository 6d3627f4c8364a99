"""Which configuration serves the offered rate with the shortest latency (SpotServe §3.2, Algorithm 1)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from llmsim.sim.reparallel.mesh import Configuration

LatencyOf = Callable[[int, int, int], float | None]
"""(stages, ranks, batch) to seconds from start to end of a full batch; None where it does not fit."""


@dataclass(frozen=True)
class Space:
    """The configurations that are looked at.

    Attributes:
        layers: Layers of the model, with padding.
        is_even: Whether a number of stages has to divide them.
        most_ranks: Largest tensor-parallel degree; degrees are powers of two.
        most_batch: Largest batch.
        least_devices: Fewest devices of a pipeline.
        batches: Whether smaller batches than the largest are looked at, powers of two.
    """

    layers: int
    most_ranks: int
    most_batch: int
    least_devices: int = 1
    batches: bool = False
    is_even: bool = True

    def pipelines(self, num_devices: int) -> Iterator[tuple[int, int]]:
        """(stages, ranks) of every pipeline that ``num_devices`` hold. Pure query."""
        ranks = 1
        while ranks <= min(self.most_ranks, num_devices):
            for stages in range(1, min(self.layers, num_devices // ranks) + 1):
                divides = not self.is_even or self.layers % stages == 0
                if divides and stages * ranks >= self.least_devices:
                    yield stages, ranks
            ranks *= 2

    def batch_sizes(self) -> list[int]:
        """The batches looked at, ascending. Pure query."""
        smaller = [1 << power for power in range(self.most_batch.bit_length()) if self.batches]
        return [*(size for size in smaller if size < self.most_batch), self.most_batch]


@dataclass(frozen=True)
class Choice:
    """A configuration, with what it is estimated to do: seconds per request, and requests per second."""

    config: Configuration
    latency_s: float
    per_s: float


def choose(num_devices: int, rate_per_s: float, space: Space, latency_of: LatencyOf) -> Choice | None:
    """The configuration for ``num_devices``; None where no pipeline fits. Pure query.

    Among those whose throughput D·B / latency is at least ``rate_per_s`` the shortest latency wins; when there
    is none, the highest throughput. Ties go to the higher throughput, then to fewer devices.
    """
    choices = list(_choices(num_devices, space, latency_of))
    enough = [choice for choice in choices if choice.per_s >= rate_per_s]
    if enough:
        return min(enough, key=lambda c: (c.latency_s, -c.per_s, c.config.num_devices))
    return min(choices, key=lambda c: (-c.per_s, c.latency_s, c.config.num_devices), default=None)


def _choices(num_devices: int, space: Space, latency_of: LatencyOf) -> Iterator[Choice]:
    for stages, ranks in space.pipelines(num_devices):
        for batch in space.batch_sizes():
            latency_s = latency_of(stages, ranks, batch)
            if latency_s is not None:
                pipelines = num_devices // (stages * ranks)
                config = Configuration(pipelines, stages, ranks, batch)
                yield Choice(config, latency_s, pipelines * batch / latency_s)
