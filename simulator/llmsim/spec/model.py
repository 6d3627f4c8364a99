"""An LLM's shape: what it computes and what it keeps, layer by layer, without a single weight.

A model is a stack of layer groups. A layer is a *mixer* (how tokens see each other) and a *ffn*
(what each token does alone). Each part says three things, and every formula of the cost model
follows from them: the matrix products it runs on one device of ``tp`` (:class:`Gemm`), the
parameters it has, and what it keeps per token or per sequence.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Annotated

from pydantic import Field, NonNegativeInt, PositiveFloat

from llmsim.spec.attention import Span
from llmsim.spec.attention_layers import Attention
from llmsim.spec.base import Strict
from llmsim.spec.ffn import DenseFFN, MoEFFN, NoFFN
from llmsim.spec.latent_layers import CompressedAttention, LatentAttention
from llmsim.spec.mixer import Gemm, KVRead, NoMixer, PositiveInt, Role
from llmsim.spec.recurrent_layers import ParallelMixers, Projection, Recurrent

__all__ = [
    "FFN",
    "Attention",
    "CompressedAttention",
    "DenseFFN",
    "Gemm",
    "KVRead",
    "LatentAttention",
    "LayerGroup",
    "Mixer",
    "MoEFFN",
    "ModelShape",
    "NoFFN",
    "NoMixer",
    "ParallelMixers",
    "PositiveInt",
    "Projection",
    "Quantization",
    "Recurrent",
    "Role",
]

Mixer = Annotated[
    Attention | LatentAttention | CompressedAttention | Recurrent | ParallelMixers | NoMixer,
    Field(discriminator="kind"),
]
FFN = Annotated[DenseFFN | MoEFFN | NoFFN, Field(discriminator="kind")]


class LayerGroup(Strict):
    """``count`` layers of one shape. Order within the stack does not change a cost, so it is not kept."""

    count: PositiveInt
    mixer: Mixer
    ffn: FFN
    norm_parameters: NonNegativeInt
    """Numbers in the norms of one layer, and in what else mixes its residual streams."""

    @property
    def num_heads(self) -> int:
        """Query heads, which tensor parallelism deals out; 0 in a layer without attention."""
        return getattr(getattr(self.mixer, "attention", self.mixer), "num_heads", 0)


class Quantization(Strict):
    """How a checkpoint stores its weights, by role; what is not named is in ``dtype``."""

    method: str
    formats: dict[Role, str]
    """Role to format name: fp8, int8, int4, mxfp4, nvfp4, mxfp8 …"""
    group_size: PositiveInt | None = None
    """Weights that share a scale."""
    activations: str | None = None
    """Format the inputs of quantized products are rounded to; None: they stay in ``dtype`` (weight-only)."""
    kv_cache: str | None = None


class ModelShape(Strict):
    """Everything the simulator knows about a model."""

    name: str
    aliases: list[str] = Field(default_factory=list)
    """Hugging Face ids and other spellings it is found under."""
    source: str
    """Where its facts were read."""
    published_parameters: PositiveFloat | None = None
    """The size the publisher states, where known."""
    hidden_size: PositiveInt
    vocab_size: PositiveInt
    embedding_size: PositiveInt | None = None
    """Width of token embeddings where it is not ``hidden_size`` (OPT-350M projects them)."""
    tied_embeddings: bool
    """The output layer is the embedding table; nothing is stored twice."""
    dtype: str = "bfloat16"
    """What it is served in."""
    max_position_embeddings: PositiveInt
    learned_positions: NonNegativeInt = 0
    """Rows of a learned position table."""
    layers: list[LayerGroup] = Field(min_length=1)
    parallel_residual: bool = False
    """Attention and feed-forward start from the same input, so one all-reduce serves both."""
    final_norm_parameters: NonNegativeInt = 0
    other_parameters: NonNegativeInt = 0
    """Parameters that exist but cost no matrix product (embedding projections, embedding norms …)."""
    quantization: Quantization | None = None

    @property
    def num_layers(self) -> int:
        """Layers in the stack."""
        return sum(group.count for group in self.layers)

    @property
    def embedding_parameters(self) -> int:
        """Numbers in the token embedding table (and in an untied output layer)."""
        return self.vocab_size * (self.embedding_size or self.hidden_size)

    def parameters(self) -> int:
        """F1: the number of weights, summed over the tensors there are. Pure query."""
        return sum(self.parameters_by_role().values())

    def parameters_by_role(self) -> dict[Role, int]:
        """F1 by role. Norms, biases and other vectors count as ``embedding``: kept in ``dtype``."""
        total: Counter[Role] = Counter()
        total["embedding"] += self.embedding_parameters + self.learned_positions * self.hidden_size
        total["embedding"] += self.final_norm_parameters + self.other_parameters
        if not self.tied_embeddings:
            total["lm_head"] += self.embedding_parameters
        for group in self.layers:
            for role, number in self._layer_parameters(group).items():
                total[role] += group.count * number
        return dict(total)

    def _layer_parameters(self, group: LayerGroup) -> Counter[Role]:
        d, mixer, ffn = self.hidden_size, group.mixer, group.ffn
        total: Counter[Role] = Counter()
        for gemm in (*mixer.gemms(d, 1), *ffn.gemms(d, 1)):
            total[gemm.role] += gemm.weights
        if isinstance(ffn, MoEFFN):
            total["expert"] += ffn.num_experts * ffn.expert_parameters(d)
        total["embedding"] += group.norm_parameters + mixer.vector_parameters(d) + ffn.vector_parameters(d)
        return total

    def active_parameters(self) -> int:
        """Weights one token passes through: all of them less the experts it is not sent to. Pure query."""
        idle = sum(
            group.count
            * (group.ffn.num_experts - group.ffn.top_k)
            * group.ffn.expert_parameters(self.hidden_size)
            for group in self.layers
            if isinstance(group.ffn, MoEFFN)
        )
        return self.parameters() - idle

    def kv_elements_per_token(self, tp: int = 1) -> int:
        """F4: numbers kept per token over all layers, on one device of ``tp``. Pure query."""
        return sum(group.count * read.elements for group in self.layers for read in group.mixer.reads(tp))

    def state_bytes_per_sequence(self, tp: int = 1) -> float:
        """Recurrent state of one sequence over all layers, on one device of ``tp``, in bytes. Pure query."""
        return sum(group.count * group.mixer.state_bytes(tp) for group in self.layers)

    def spans(self) -> list[Span]:
        """The distinct attention spans, in a fixed order: the kinds whose reads the engine tracks."""
        return sorted({read.span for read in self._reads()})

    def _reads(self) -> Iterator[KVRead]:
        for group in self.layers:
            yield from group.mixer.reads(1)
