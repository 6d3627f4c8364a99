"""What every layer part answers: the matrix products, the cache reads and the state of one device.

A *mixer* is how the tokens of a layer see each other. Every mixer answers the same questions, from
which the cost model's formulas follow: the matrix products it runs on one device of ``tp``, its other
parameters, what decoding reads per cached token, and what it keeps per sequence however long that is.
"""

from __future__ import annotations

from typing import Annotated, Literal, NamedTuple

from pydantic import Field

from llmsim.spec.attention import Span
from llmsim.spec.base import Strict

Role = Literal["attention", "ffn", "expert", "router", "embedding", "lm_head"]
"""Groups of tensors that a checkpoint may store in different number formats."""

PositiveInt = Annotated[int, Field(gt=0)]


class Gemm(NamedTuple):
    """One matrix product per layer on one device: (M tokens, k) x (k, n), ``count`` times over."""

    name: str
    k: int
    n: int
    role: Role
    count: int = 1  # type: ignore[assignment]  # hides tuple.count, which nothing here calls

    @property
    def weights(self) -> int:
        """Numbers in its weight matrices."""
        return self.k * self.n * self.count


class KVRead(NamedTuple):
    """What decoding reads from the cache on one device, per attended token and layer.

    Attributes:
        span: Which tokens are attended.
        elements: KV numbers stored (and read) per token.
        flops_per_pair: Multiply-adds x 2 per query-key pair (scores and weighted sum).
        num_heads: Query heads on the device.
        head_dim: Width of a query head.
    """

    span: Span
    elements: int
    flops_per_pair: int
    num_heads: int
    head_dim: int


def share(total: int, tp: int) -> int:
    """The largest part when ``total`` is dealt to ``tp`` devices, at least 1. Pure query."""
    return max(1, -(-total // tp))


class TokenMixer(Strict):
    """What every mixer answers; by itself one without weights or memory."""

    def gemms(self, d: int, tp: int) -> list[Gemm]:
        """The matrix products on one device of ``tp``, model width ``d``. Pure query."""
        return []

    def vector_parameters(self, d: int) -> int:
        """Parameters outside the matrix products (biases, norms, convolutions), whole layer. Pure query."""
        return 0

    def reads(self, tp: int) -> list[KVRead]:
        """What one device of ``tp`` keeps per token and reads again when decoding. Pure query."""
        return []

    def state_elements(self, tp: int) -> int:
        """Numbers of recurrent state per sequence on one device of ``tp``. Pure query."""
        return 0

    def state_bytes(self, tp: int) -> float:
        """Bytes of recurrent state per sequence on one device of ``tp``. Pure query."""
        return 0.0


class NoMixer(TokenMixer):
    """A layer that is a feed-forward block only (Nemotron-H writes mixers and FFNs as separate layers)."""

    kind: Literal["none"] = "none"
