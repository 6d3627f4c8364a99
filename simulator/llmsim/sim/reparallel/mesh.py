"""Who holds which part of a model: pipelines, stages and tensor-parallel ranks over devices."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple


class Configuration(NamedTuple):
    """SpotServe's (D, P, M, B).

    Attributes:
        pipelines: D, copies of the model.
        stages: P, pipeline-parallel degree.
        ranks: M, tensor-parallel degree.
        batch: B, most requests a pipeline serves at once.
    """

    pipelines: int
    stages: int
    ranks: int
    batch: int

    @property
    def num_devices(self) -> int:
        """D · P · M. Pure query."""
        return self.pipelines * self.stages * self.ranks

    def positions(self) -> Iterator[Position]:
        """Every position, rank by rank, stage by stage. Pure query."""
        for pipeline in range(self.pipelines):
            for stage in range(self.stages):
                for rank in range(self.ranks):
                    yield Position(pipeline, stage, rank)

    def in_words(self) -> str:
        """``2 pipelines of PP 2, TP 8, batch 4``. Pure query."""
        s = "s" * (self.pipelines != 1)
        return f"{self.pipelines} pipeline{s} of PP {self.stages}, TP {self.ranks}, batch {self.batch}"


class Position(NamedTuple):
    """A place in the mesh of a configuration."""

    pipeline: int
    stage: int
    rank: int


class Device(NamedTuple):
    """One accelerator of a named instance."""

    instance: str
    number: int


@dataclass(frozen=True)
class ModelBytes:
    """What there is to hold.

    Attributes:
        layers: Weights of each layer, embedding and output layer with the first and last, in bytes.
        kv_token: KV of one token in one layer, over all ranks, in bytes.
    """

    layers: Sequence[float]
    kv_token: float

    @property
    def total(self) -> float:
        """All weights, in bytes. Pure query."""
        return sum(self.layers)


class Share(NamedTuple):
    """A part of some layers: of each, ranks ``first`` to ``last`` (excluded) out of ``of``.

    Attributes:
        start, end: Layers, the end excluded.
        first, last, of: The part of each, by tensor-parallel rank.
        context: Which pipeline's KV it has of these layers; None without one.
    """

    start: int
    end: int
    first: int
    last: int
    of: int
    context: int | None = None


def share(config: Configuration, position: Position, num_layers: int, context: int | None = None) -> Share:
    """What ``position`` holds: ⌈layers / stages⌉ layers a stage, the last one what is left. Pure query."""
    count = -(-num_layers // config.stages)
    start = position.stage * count
    end = min(num_layers, start + count)
    return Share(start, end, position.rank, position.rank + 1, config.ranks, context)


def overlap(one: Share, other: Share) -> tuple[range, float]:
    """The layers that both hold something of, and which part of each both hold. Pure query."""
    layers = range(max(one.start, other.start), min(one.end, other.end))
    low = max(one.first / one.of, other.first / other.of)
    high = min(one.last / one.of, other.last / other.of)
    return layers, max(0.0, high - low)


def reusable_bytes(held: Share, wanted: Share, model: ModelBytes, tokens: Mapping[int, int]) -> float:
    """Bytes of ``wanted`` that a device has already, which holds ``held``: weights, and KV of its context.

    Args:
        tokens: KV tokens of each context.
    """
    layers, part = overlap(held, wanted)
    weights = part * sum(model.layers[layer] for layer in layers)
    if wanted.context is None or held.context != wanted.context:
        return weights
    return weights + part * len(layers) * tokens.get(wanted.context, 0) * model.kv_token
