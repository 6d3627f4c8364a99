"""What each token does alone: a dense feed-forward block, a mixture of experts, or nothing."""

from __future__ import annotations

from typing import Literal

from pydantic import NonNegativeInt

from llmsim.spec.base import Strict
from llmsim.spec.mixer import Gemm, PositiveInt, share


class FeedForward(Strict):
    """What every feed-forward block answers; by itself one without weights."""

    def gemms(self, d: int, tp: int) -> list[Gemm]:
        """The matrix products every token runs on one device of ``tp``, model width ``d``. Pure query."""
        return []

    def vector_parameters(self, d: int) -> int:
        """Parameters outside the matrix products, whole layer. Pure query."""
        return 0


class DenseFFN(FeedForward):
    """A feed-forward block: gated (three matrices) or plain (two)."""

    kind: Literal["dense"] = "dense"
    intermediate_size: PositiveInt
    gated: bool = True
    bias: bool = False

    def gemms(self, d: int, tp: int) -> list[Gemm]:
        """See :class:`FeedForward`."""
        width = share(self.intermediate_size, tp)
        up = Gemm("gate_up_proj", d, 2 * width, "ffn") if self.gated else Gemm("up_proj", d, width, "ffn")
        return [up, Gemm("down_proj", width, d, "ffn")]

    def vector_parameters(self, d: int) -> int:
        """See :class:`FeedForward`."""
        return (self.intermediate_size * (2 if self.gated else 1) + d) if self.bias else 0


class MoEFFN(FeedForward):
    """A mixture of experts: ``top_k`` of ``num_experts`` per token, and shared experts always on."""

    kind: Literal["moe"] = "moe"
    num_experts: PositiveInt
    top_k: PositiveInt
    intermediate_size: PositiveInt
    """Width of one routed expert."""
    shared_intermediate_size: NonNegativeInt = 0
    """Width of all shared experts together (also a dense branch that runs beside the experts)."""
    gated: bool = True
    bias: bool = False
    """Biases in the routed experts."""
    router_bias: bool = False
    shared_gate: bool = False
    """A learned gate, one number per token, on the shared experts (Qwen)."""

    def gemms(self, d: int, tp: int) -> list[Gemm]:
        """The dense part: router and shared experts. Routed experts are in :meth:`expert_gemms`."""
        gemms = [Gemm("router", d, self.num_experts, "router")]
        if self.shared_intermediate_size:
            shared = DenseFFN(intermediate_size=self.shared_intermediate_size, gated=self.gated)
            gemms += [gemm._replace(name=f"shared_{gemm.name}") for gemm in shared.gemms(d, tp)]
        return gemms

    def expert_gemms(self, d: int, tp: int) -> list[Gemm]:
        """The matrices of one routed expert on one device."""
        one = DenseFFN(intermediate_size=self.intermediate_size, gated=self.gated)
        return [gemm._replace(name=f"expert_{gemm.name}", role="expert") for gemm in one.gemms(d, tp)]

    def expert_parameters(self, d: int) -> int:
        """Weights of one routed expert, biases left out. Pure query."""
        return sum(gemm.weights for gemm in self.expert_gemms(d, 1))

    def vector_parameters(self, d: int) -> int:
        """See :class:`FeedForward`."""
        width = self.intermediate_size * (2 if self.gated else 1) + d
        total = self.num_experts * width if self.bias else 0
        return total + (self.num_experts if self.router_bias else 0) + (d if self.shared_gate else 0)


class NoFFN(FeedForward):
    """A layer that is a mixer only."""

    kind: Literal["none"] = "none"
