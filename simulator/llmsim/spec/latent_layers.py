"""Attention over compressed keys and values: DeepSeek's latent, sparse and pooled forms."""

from __future__ import annotations

from typing import Literal

from pydantic import NonNegativeInt

from llmsim.spec.attention import FULL, Span
from llmsim.spec.mixer import Gemm, KVRead, PositiveInt, TokenMixer, share


class LatentAttention(TokenMixer):
    """Multi-head latent attention (DeepSeek-V2, arXiv 2405.04434), absorbed form when decoding.

    The cache holds ``kv_lora_rank + qk_rope_head_dim`` numbers per token, shared by all heads and
    replicated over tensor-parallel ranks. ``index_*`` adds DeepSeek-V3.2's lightning indexer, which
    reads one key of ``index_head_dim`` per cached token and lets ``index_topk`` tokens through.
    """

    kind: Literal["mla"] = "mla"
    num_heads: PositiveInt
    q_lora_rank: PositiveInt | None = None
    kv_lora_rank: PositiveInt
    qk_nope_head_dim: PositiveInt
    qk_rope_head_dim: PositiveInt
    v_head_dim: PositiveInt
    index_n_heads: NonNegativeInt = 0
    index_head_dim: NonNegativeInt = 0
    index_topk: NonNegativeInt = 0
    bias: bool = False
    """Biases on the down projections and the output."""

    @property
    def _latent(self) -> int:
        return self.kv_lora_rank + self.qk_rope_head_dim

    def gemms(self, d: int, tp: int) -> list[Gemm]:
        """See :class:`TokenMixer`. Down projections and the indexer are replicated; heads are dealt out."""
        heads = share(self.num_heads, tp)
        kv_width = heads * (self.qk_nope_head_dim + self.v_head_dim)
        return [
            Gemm("kv_a_proj", d, self._latent, "attention"),
            *self._query_gemms(d, heads * (self.qk_nope_head_dim + self.qk_rope_head_dim)),
            Gemm("kv_b_proj", self.kv_lora_rank, kv_width, "attention"),
            Gemm("o_proj", heads * self.v_head_dim, d, "attention"),
            *self._indexer_gemms(d),
        ]

    def _query_gemms(self, d: int, q_width: int) -> list[Gemm]:
        if self.q_lora_rank is None:
            return [Gemm("q_proj", d, q_width, "attention")]
        return [
            Gemm("q_a_proj", d, self.q_lora_rank, "attention"),
            Gemm("q_b_proj", self.q_lora_rank, q_width, "attention"),
        ]

    def _indexer_gemms(self, d: int) -> list[Gemm]:
        if not self.index_n_heads:
            return []
        width = self.index_n_heads * self.index_head_dim
        return [
            Gemm("indexer_q_proj", self.q_lora_rank or d, width, "attention"),
            Gemm("indexer_k_proj", d, self.index_head_dim, "attention"),
            Gemm("indexer_weights", d, self.index_n_heads, "router"),
        ]

    def vector_parameters(self, d: int) -> int:
        """Norms of the latents, the indexer's key norm (scale and shift), biases."""
        norms = self.kv_lora_rank + (self.q_lora_rank or 0)
        indexer = 2 * self.index_head_dim if self.index_n_heads else 0
        biases = self._latent + (self.q_lora_rank or 0) + d if self.bias else 0
        return norms + indexer + biases

    def reads(self, tp: int) -> list[KVRead]:
        """The latent, and the indexer's keys, of which every cached token's is read."""
        heads = share(self.num_heads, tp)
        flops = 2 * heads * (self._latent + self.kv_lora_rank)
        if not self.index_n_heads:
            return [KVRead(FULL, self._latent, flops, heads, self._latent)]
        index_flops = 2 * self.index_n_heads * self.index_head_dim
        return [
            KVRead(Span("topk", self.index_topk), self._latent, flops, heads, self._latent),
            KVRead(FULL, self.index_head_dim, index_flops, self.index_n_heads, self.index_head_dim),
        ]


class CompressedAttention(TokenMixer):
    """DeepSeek-V4's attention: a raw window, and behind it one pooled entry per ``compress_ratio`` tokens.

    Keys and values are one vector of ``head_dim`` shared by all heads, replicated over ranks. Ratio 0
    keeps the window only. With ``index_n_heads`` the pooled entries overlap (twice the pooling weights)
    and an indexer lets the best ``index_topk`` of them through (compressed sparse attention); without,
    all are read (heavily compressed attention). A pooled entry is booked as ``1 / compress_ratio`` of its
    size per token, which is exact on average. The output projection is low-rank in ``o_groups`` groups.

    Source: DeepSeek-V4 report §2.3 and its implementation in Hugging Face transformers.
    """

    kind: Literal["compressed"] = "compressed"
    num_heads: PositiveInt
    head_dim: PositiveInt
    q_lora_rank: PositiveInt
    o_lora_rank: PositiveInt
    o_groups: PositiveInt
    window: PositiveInt
    compress_ratio: NonNegativeInt = 0
    index_n_heads: NonNegativeInt = 0
    index_head_dim: NonNegativeInt = 0
    index_topk: NonNegativeInt = 0

    def gemms(self, d: int, tp: int) -> list[Gemm]:
        """See :class:`TokenMixer`. Query heads and output groups are dealt out, the rest is replicated."""
        groups = share(self.o_groups, tp)
        group_width = self.num_heads * self.head_dim // self.o_groups
        gemms = [
            Gemm("q_a_proj", d, self.q_lora_rank, "attention"),
            Gemm("q_b_proj", self.q_lora_rank, share(self.num_heads, tp) * self.head_dim, "attention"),
            Gemm("kv_proj", d, self.head_dim, "attention"),
            Gemm("o_a_proj", group_width, self.o_lora_rank, "attention", groups),
            Gemm("o_b_proj", groups * self.o_lora_rank, d, "attention"),
        ]
        if self.compress_ratio:
            gemms.append(Gemm("compressor", d, 2 * self._overlap * self.head_dim, "attention"))
        if self.index_n_heads:
            index_width = self.index_n_heads * self.index_head_dim
            gemms += [
                Gemm("indexer_q_proj", self.q_lora_rank, index_width, "attention"),
                Gemm("indexer_compressor", d, 2 * self._overlap * self.index_head_dim, "attention"),
                Gemm("indexer_weights", d, self.index_n_heads, "router"),
            ]
        return gemms

    @property
    def _overlap(self) -> int:
        return 2 if self.index_n_heads else 1

    def vector_parameters(self, d: int) -> int:
        """Norms, sinks, and the position biases of the pools."""
        pools = self.head_dim if self.compress_ratio else 0
        pools += self.index_head_dim if self.index_n_heads else 0
        return (
            self.q_lora_rank
            + self.head_dim
            + self.num_heads
            + pools * (self.compress_ratio * self._overlap + 1)
        )

    def reads(self, tp: int) -> list[KVRead]:
        """The raw window, the pooled entries, and the indexer's pooled keys."""
        heads, width = share(self.num_heads, tp), self.head_dim
        reads = [KVRead(Span("window", self.window), width, 4 * heads * width, heads, width)]
        if self.compress_ratio:
            span = Span("topk", self.index_topk * self.compress_ratio) if self.index_n_heads else FULL
            elements = share(width, self.compress_ratio)
            reads.append(KVRead(span, elements, 4 * heads * elements, heads, width))
        if self.index_n_heads:
            elements = share(self.index_head_dim, self.compress_ratio)
            flops = 2 * self.index_n_heads * elements
            reads.append(KVRead(FULL, elements, flops, self.index_n_heads, self.index_head_dim))
        return reads
