"""An LLM's shape: what it computes and what it keeps, layer by layer, without a single weight.

A model is a stack of layer groups. A layer is a *mixer* (how tokens see each other) and a *ffn*
(what each token does alone). Each part says three things, and every formula of the cost model
follows from them: the matrix products it runs on one device of ``tp`` (:class:`Gemm`), the
parameters it has, and what it keeps per token or per sequence.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Annotated, Literal, NamedTuple

from pydantic import Field

from llmsim.spec.attention import FULL, Span, SpanKind
from llmsim.spec.base import Strict

Role = Literal["attention", "ffn", "expert", "router", "embedding", "lm_head"]
"""Groups of tensors that a checkpoint may store in different number formats."""

PositiveInt = Annotated[int, Field(gt=0)]


class Gemm(NamedTuple):
    """One matrix product per layer on one device: (M tokens, k) x (k, n)."""

    name: str
    k: int
    n: int
    role: Role
    count: int = 1


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


class Attention(Strict):
    """Multi-head, grouped-query or multi-query attention (F3, F4)."""

    kind: Literal["attention"] = "attention"
    num_heads: PositiveInt
    num_kv_heads: PositiveInt
    head_dim: PositiveInt
    v_head_dim: int | None = None
    span: SpanKind = "full"
    span_size: int = 0
    qkv_bias: bool = False
    out_bias: bool = False
    qk_norm: Literal["none", "head", "layer"] = "none"
    output_gate: bool = False
    sinks: bool = False
    k_is_v: bool = False

    @property
    def _v_dim(self) -> int:
        return self.v_head_dim or self.head_dim

    def _kv_width(self, tp: int) -> int:
        heads = max(1, -(-self.num_kv_heads // tp))
        return heads * (self.head_dim + (0 if self.k_is_v else self._v_dim))

    def gemms(self, d: int, tp: int) -> list[Gemm]:
        heads = -(-self.num_heads // tp)
        q_width = heads * self.head_dim * (2 if self.output_gate else 1)
        return [
            Gemm("qkv_proj", d, q_width + self._kv_width(tp), "attention"),
            Gemm("o_proj", heads * self._v_dim, d, "attention"),
        ]

    def vector_parameters(self, d: int) -> int:
        """Biases, head norms and sinks: numbers too few to stream but too many to forget."""
        total = self.num_heads if self.sinks else 0
        if self.qkv_bias:
            total += self.num_heads * self.head_dim * (2 if self.output_gate else 1) + self._kv_width(1)
        if self.out_bias:
            total += d
        if self.qk_norm == "head":
            total += 2 * self.head_dim
        elif self.qk_norm == "layer":
            total += (self.num_heads + self.num_kv_heads) * self.head_dim
        return total

    def reads(self, tp: int) -> list[KVRead]:
        heads = -(-self.num_heads // tp)
        kv_heads = max(1, -(-self.num_kv_heads // tp))
        elements = kv_heads * (self.head_dim + self._v_dim)
        flops = 2 * heads * (self.head_dim + self._v_dim)
        return [KVRead(Span(self.span, self.span_size), elements, flops, heads, self.head_dim)]

    def state_elements(self, tp: int) -> int:
        return 0


class LatentAttention(Strict):
    """Multi-head latent attention (DeepSeek-V2, arXiv 2405.04434), absorbed form when decoding.

    The cache holds ``kv_lora_rank + qk_rope_head_dim`` numbers per token, shared by all heads and
    replicated over tensor-parallel ranks. ``index_*`` adds DeepSeek-V3.2's lightning indexer, which
    reads one key of ``index_head_dim`` per cached token and lets ``index_topk`` tokens through.
    """

    kind: Literal["mla"] = "mla"
    num_heads: PositiveInt
    q_lora_rank: int | None = None
    kv_lora_rank: PositiveInt
    qk_nope_head_dim: PositiveInt
    qk_rope_head_dim: PositiveInt
    v_head_dim: PositiveInt
    index_n_heads: int = 0
    index_head_dim: int = 0
    index_topk: int = 0

    @property
    def _latent(self) -> int:
        return self.kv_lora_rank + self.qk_rope_head_dim

    def gemms(self, d: int, tp: int) -> list[Gemm]:
        heads = -(-self.num_heads // tp)
        q_width = heads * (self.qk_nope_head_dim + self.qk_rope_head_dim)
        gemms = [Gemm("kv_a_proj", d, self._latent, "attention")]
        if self.q_lora_rank:
            gemms += [
                Gemm("q_a_proj", d, self.q_lora_rank, "attention"),
                Gemm("q_b_proj", self.q_lora_rank, q_width, "attention"),
            ]
        else:
            gemms.append(Gemm("q_proj", d, q_width, "attention"))
        gemms += [
            Gemm("kv_b_proj", self.kv_lora_rank, heads * (self.qk_nope_head_dim + self.v_head_dim), "attention"),
            Gemm("o_proj", heads * self.v_head_dim, d, "attention"),
        ]
        if self.index_n_heads:
            width = self.index_n_heads * self.index_head_dim
            gemms += [
                Gemm("indexer_q_proj", self.q_lora_rank or d, width, "attention"),
                Gemm("indexer_k_proj", d, self.index_head_dim, "attention"),
                Gemm("indexer_weights", d, self.index_n_heads, "router"),
            ]
        return gemms

    def vector_parameters(self, d: int) -> int:
        return self.kv_lora_rank + (self.q_lora_rank or 0) + (2 * self.index_head_dim if self.index_n_heads else 0)

    def reads(self, tp: int) -> list[KVRead]:
        heads = -(-self.num_heads // tp)
        flops = 2 * heads * (self._latent + self.kv_lora_rank)
        span = Span("topk", self.index_topk) if self.index_n_heads else FULL
        reads = [KVRead(span, self._latent, flops, heads, self._latent)]
        if self.index_n_heads:
            flops = 2 * self.index_n_heads * self.index_head_dim
            reads.append(KVRead(FULL, self.index_head_dim, flops, self.index_n_heads, self.index_head_dim))
        return reads

    def state_elements(self, tp: int) -> int:
        return 0


class Recurrent(Strict):
    """A mixer with a fixed state per sequence: Mamba, Mamba-2, gated delta net, RWKV, short convolution.

    The projections are listed as they are in the checkpoint, because the families differ in nothing
    else that costs time: a state of ``state_size`` numbers is read and written once per new token.
    """

    kind: Literal["recurrent"] = "recurrent"
    family: str
    projections: list[tuple[str, int, int]]
    """(name, in, out) of each dense projection, whole model width; all split by tensor parallelism."""
    other_parameters: int = 0
    state_size: PositiveInt
    """Numbers of state per sequence and layer (recurrence and convolution window)."""
    state_bytes_per_element: float = 4.0

    def gemms(self, d: int, tp: int) -> list[Gemm]:
        return [
            Gemm(name, k, -(-n // tp), "attention") if k == d else Gemm(name, -(-k // tp), n, "attention")
            for name, k, n in self.projections
        ]

    def vector_parameters(self, d: int) -> int:
        return self.other_parameters

    def reads(self, tp: int) -> list[KVRead]:
        return []

    def state_elements(self, tp: int) -> int:
        return -(-self.state_size // tp)


class NoMixer(Strict):
    """A layer that is a feed-forward block only (Nemotron-H writes mixers and FFNs as separate layers)."""

    kind: Literal["none"] = "none"

    def gemms(self, d: int, tp: int) -> list[Gemm]:
        return []

    def vector_parameters(self, d: int) -> int:
        return 0

    def reads(self, tp: int) -> list[KVRead]:
        return []

    def state_elements(self, tp: int) -> int:
        return 0


class DenseFFN(Strict):
    """A feed-forward block: gated (three matrices) or plain (two)."""

    kind: Literal["dense"] = "dense"
    intermediate_size: PositiveInt
    gated: bool = True
    bias: bool = False

    def gemms(self, d: int, tp: int) -> list[Gemm]:
        width = -(-self.intermediate_size // tp)
        up = Gemm("gate_up_proj", d, 2 * width, "ffn") if self.gated else Gemm("up_proj", d, width, "ffn")
        return [up, Gemm("down_proj", width, d, "ffn")]

    def vector_parameters(self, d: int) -> int:
        return (self.intermediate_size * (2 if self.gated else 1) + d) if self.bias else 0


class MoEFFN(Strict):
    """A mixture of experts: ``top_k`` of ``num_experts`` per token, and shared experts always on."""

    kind: Literal["moe"] = "moe"
    num_experts: PositiveInt
    top_k: PositiveInt
    intermediate_size: PositiveInt
    """Width of one routed expert."""
    shared_intermediate_size: int = 0
    """Width of all shared experts together (also a dense branch that runs beside the experts)."""
    gated: bool = True
    bias: bool = False
    router_bias: bool = False
    shared_gate: bool = False

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

    def vector_parameters(self, d: int) -> int:
        width = self.intermediate_size * (2 if self.gated else 1) + d
        total = self.num_experts * width if self.bias else 0
        return total + (self.num_experts if self.router_bias else 0) + (d if self.shared_gate else 0)


class NoFFN(Strict):
    """A layer that is a mixer only."""

    kind: Literal["none"] = "none"

    def gemms(self, d: int, tp: int) -> list[Gemm]:
        return []

    def vector_parameters(self, d: int) -> int:
        return 0


Mixer = Annotated[Attention | LatentAttention | Recurrent | NoMixer, Field(discriminator="kind")]
FFN = Annotated[DenseFFN | MoEFFN | NoFFN, Field(discriminator="kind")]


class LayerGroup(Strict):
    """``count`` layers of one shape. Order within the stack does not change a cost, so it is not kept."""

    count: PositiveInt
    mixer: Mixer
    ffn: FFN
    norm_parameters: int
    """Numbers in the norms of one layer."""


class Quantization(Strict):
    """How a checkpoint stores its weights, by role; what is not named is in ``dtype``."""

    method: str
    formats: dict[Role, str]
    """Role to format name: fp8, int8, int4, mxfp4, nvfp4, mxfp8 …"""
    group_size: int | None = None
    kv_cache: str | None = None


class ModelShape(Strict):
    """Everything the simulator knows about a model."""

    name: str
    source: str
    hidden_size: PositiveInt
    vocab_size: PositiveInt
    tied_embeddings: bool
    dtype: str = "bfloat16"
    max_position_embeddings: PositiveInt
    learned_positions: int = 0
    layers: list[LayerGroup]
    parallel_residual: bool = False
    final_norm_parameters: int = 0
    other_parameters: int = 0
    """Parameters that exist but cost no matrix product (embedding projections, embedding norms …)."""
    quantization: Quantization | None = None
    published_parameters: float | None = None
    """The size the publisher states, where known."""

    @property
    def num_layers(self) -> int:
        return sum(group.count for group in self.layers)

    def parameters(self) -> int:
        """F1: the number of weights, summed over the tensors there are."""
        return sum(self.parameters_by_role().values())

    def parameters_by_role(self) -> dict[Role, int]:
        """F1 by role. Norms, biases and other vectors count as ``embedding``: kept in ``dtype``."""
        d = self.hidden_size
        total: Counter[Role] = Counter()
        total["embedding"] += self.vocab_size * d + self.learned_positions * d
        total["embedding"] += self.final_norm_parameters + self.other_parameters
        if not self.tied_embeddings:
            total["lm_head"] += self.vocab_size * d
        for group in self.layers:
            for gemm in (*group.mixer.gemms(d, 1), *group.ffn.gemms(d, 1)):
                total[gemm.role] += group.count * gemm.k * gemm.n * gemm.count
            if isinstance(group.ffn, MoEFFN):
                one = sum(gemm.k * gemm.n for gemm in group.ffn.expert_gemms(d, 1))
                total["expert"] += group.count * group.ffn.num_experts * one
            vectors = group.norm_parameters + group.mixer.vector_parameters(d) + group.ffn.vector_parameters(d)
            total["embedding"] += group.count * vectors
        return dict(total)

    def active_parameters(self) -> int:
        """Weights one token passes through: all of them less the experts it is not sent to."""
        idle = 0
        for group in self.layers:
            if isinstance(group.ffn, MoEFFN):
                one = sum(gemm.k * gemm.n for gemm in group.ffn.expert_gemms(self.hidden_size, 1))
                idle += group.count * (group.ffn.num_experts - group.ffn.top_k) * one
        return self.parameters() - idle

    def kv_elements_per_token(self, tp: int = 1) -> int:
        """F4: numbers kept per token over all layers, on one device of ``tp``."""
        return sum(group.count * read.elements for group in self.layers for read in group.mixer.reads(tp))

    def spans(self) -> list[Span]:
        """The distinct attention spans, in a fixed order: the kinds whose reads the engine tracks."""
        return sorted({read.span for read in self._reads()})

    def _reads(self) -> Iterator[KVRead]:
        for group in self.layers:
            yield from group.mixer.reads(1)
