"""Attention with keys and values per head: multi-head, grouped-query, multi-query."""

from __future__ import annotations

from typing import Literal

from pydantic import NonNegativeInt

from llmsim.spec.attention import Span, SpanKind
from llmsim.spec.mixer import Gemm, KVRead, PositiveInt, TokenMixer, share


class Attention(TokenMixer):
    """Multi-head, grouped-query or multi-query attention (F3, F4).

    KV heads are dealt to the devices, and replicated where there are more devices than heads.
    """

    kind: Literal["attention"] = "attention"
    num_heads: PositiveInt
    num_kv_heads: PositiveInt
    head_dim: PositiveInt
    v_head_dim: PositiveInt | None = None
    """Width of a value head where it is not ``head_dim`` (MiMo-V2)."""
    span: SpanKind = "full"
    span_size: NonNegativeInt = 0
    qkv_bias: bool = False
    out_bias: bool = False
    qk_norm: Literal["none", "head", "layer"] = "none"
    """Norm of queries and keys: one weight per head channel (Qwen 3), or one per channel (OLMo 2)."""
    output_gate: bool = False
    """A gate as wide as the queries multiplies the output (Qwen3-Next)."""
    sinks: bool = False
    """One learned sink logit per head (gpt-oss)."""
    k_is_v: bool = False
    """Keys and values come from one projection; both are cached (Gemma 4's global layers)."""

    @property
    def _v_dim(self) -> int:
        return self.v_head_dim or self.head_dim

    def _qkv_width(self, tp: int) -> int:
        q_width = share(self.num_heads, tp) * self.head_dim * (2 if self.output_gate else 1)
        kv_width = self.head_dim + (0 if self.k_is_v else self._v_dim)
        return q_width + share(self.num_kv_heads, tp) * kv_width

    def gemms(self, d: int, tp: int) -> list[Gemm]:
        """See :class:`TokenMixer`."""
        return [
            Gemm("qkv_proj", d, self._qkv_width(tp), "attention"),
            Gemm("o_proj", share(self.num_heads, tp) * self._v_dim, d, "attention"),
        ]

    def vector_parameters(self, d: int) -> int:
        """Biases, head norms and sinks: numbers too few to stream but too many to forget."""
        norm_width = {"none": 0, "head": 2, "layer": self.num_heads + self.num_kv_heads}[self.qk_norm]
        return (
            (self._qkv_width(1) if self.qkv_bias else 0)
            + (d if self.out_bias else 0)
            + (self.num_heads if self.sinks else 0)
            + norm_width * self.head_dim
        )

    def reads(self, tp: int) -> list[KVRead]:
        """F4: a key and a value per KV head. F3: 2·(key width + value width) per query head and pair."""
        heads = share(self.num_heads, tp)
        width = self.head_dim + self._v_dim
        span = Span(self.span, self.span_size)
        return [KVRead(span, share(self.num_kv_heads, tp) * width, 2 * heads * width, heads, self.head_dim)]
