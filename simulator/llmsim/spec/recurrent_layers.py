"""Mixers whose memory of the past does not grow with it, alone or beside attention."""

from __future__ import annotations

from typing import Literal

from pydantic import NonNegativeInt

from llmsim.spec.attention_layers import Attention
from llmsim.spec.base import Strict
from llmsim.spec.mixer import Gemm, KVRead, PositiveInt, TokenMixer, share


class Projection(Strict):
    """One dense projection of a recurrent mixer, over the whole model."""

    name: str
    k: PositiveInt
    n: PositiveInt
    split: Literal["column", "row", "none"] = "column"
    """What tensor parallelism divides: the outputs, the inputs, or nothing (replicated)."""

    def gemm(self, tp: int) -> Gemm:
        """Its matrix product on one device of ``tp``. Pure query."""
        k = share(self.k, tp) if self.split == "row" else self.k
        n = share(self.n, tp) if self.split == "column" else self.n
        return Gemm(self.name, k, n, "attention")


class Recurrent(TokenMixer):
    """A mixer with a fixed state per sequence: Mamba, Mamba-2, gated delta net, RWKV, short convolution.

    The projections are listed as they are in the checkpoint, because the families differ in nothing
    else that costs time: a state of ``state_size`` numbers is read and written once per new token.
    """

    kind: Literal["recurrent"] = "recurrent"
    family: str
    projections: list[Projection]
    other_parameters: NonNegativeInt = 0
    """Convolutions, decays, norms and biases of one layer."""
    state_size: PositiveInt
    """Numbers of state per sequence and layer (recurrence and convolution window)."""
    state_bytes_per_element: float = 4.0

    def gemms(self, d: int, tp: int) -> list[Gemm]:
        """See :class:`TokenMixer`."""
        return [projection.gemm(tp) for projection in self.projections]

    def vector_parameters(self, d: int) -> int:
        """See :class:`TokenMixer`."""
        return self.other_parameters

    def state_elements(self, tp: int) -> int:
        """See :class:`TokenMixer`. Heads and channels are dealt out, and their states with them."""
        return share(self.state_size, tp)

    def state_bytes(self, tp: int) -> float:
        """See :class:`TokenMixer`."""
        return self.state_elements(tp) * self.state_bytes_per_element


class ParallelMixers(TokenMixer):
    """Attention and a recurrence side by side on the same input, outputs added (Falcon-H1)."""

    kind: Literal["parallel"] = "parallel"
    attention: Attention
    recurrent: Recurrent

    @property
    def state_bytes_per_element(self) -> float:
        """Of the recurrence's state."""
        return self.recurrent.state_bytes_per_element

    def gemms(self, d: int, tp: int) -> list[Gemm]:
        """See :class:`TokenMixer`."""
        return [*self.attention.gemms(d, tp), *self.recurrent.gemms(d, tp)]

    def vector_parameters(self, d: int) -> int:
        """See :class:`TokenMixer`."""
        return self.attention.vector_parameters(d) + self.recurrent.vector_parameters(d)

    def reads(self, tp: int) -> list[KVRead]:
        """See :class:`TokenMixer`."""
        return self.attention.reads(tp)

    def state_elements(self, tp: int) -> int:
        """See :class:`TokenMixer`."""
        return self.recurrent.state_elements(tp)

    def state_bytes(self, tp: int) -> float:
        """See :class:`TokenMixer`."""
        return self.recurrent.state_bytes(tp)
