"""Bytes of what a device holds: weights, activations, KV blocks, recurrent states (F1, F4, F6)."""

from __future__ import annotations

from collections.abc import Sequence

from llmsim.cost.parallel import ParallelPlan, layers_of
from llmsim.cost.plan import Formats
from llmsim.spec.mixer import share
from llmsim.spec.model import LayerGroup, ModelShape, MoEFFN


def layer_weight_bytes(
    group: LayerGroup, model: ModelShape, formats: Formats, tp: int, expert_ranks: int = 1
) -> float:
    """Bytes of one layer's tensors on one device: products split, vectors whole. Pure query.

    Args:
        expert_ranks: Ranks that whole experts are dealt to, the fullest is counted; 1 splits each by ``tp``.
    """
    d = model.hidden_size
    gemms = [*group.mixer.gemms(d, tp), *group.ffn.gemms(d, tp)]
    total = sum(gemm.count * gemm.k * gemm.n * formats.weight_bytes(gemm.role) for gemm in gemms)
    if isinstance(group.ffn, MoEFFN):
        one = sum(gemm.k * gemm.n for gemm in group.ffn.expert_gemms(d, tp if expert_ranks == 1 else 1))
        total += share(group.ffn.num_experts, expert_ranks) * one * formats.weight_bytes("expert")
    vectors = group.norm_parameters + group.mixer.vector_parameters(d) + group.ffn.vector_parameters(d)
    return total + vectors * formats.activation_bytes


def stage_weight_bytes(model: ModelShape, plan: ParallelPlan, formats: Formats) -> list[float]:
    """Weight bytes on one device of each stage (F1). Pure query.

    The embedding lies on the first stage, the output layer on the last, both split by vocabulary;
    tied ones are held once unless they lie on different stages.
    """
    last = plan.num_stages - 1
    width = model.embedding_size or model.hidden_size
    rows = [share(model.vocab_size, plan.tp_of(stage)) * width for stage in (0, last)]
    sizes = [
        sum(
            group.count
            * layer_weight_bytes(group, model, formats, plan.tp_of(stage), plan.expert_ranks(stage))
            for group in groups
        )
        for stage, groups in enumerate(layers_of(model.layers, plan))
    ]
    positions = model.learned_positions * model.hidden_size + model.other_parameters
    sizes[0] += rows[0] * formats.weight_bytes("embedding") + positions * formats.activation_bytes
    if not model.tied_embeddings:
        sizes[last] += rows[-1] * formats.weight_bytes("lm_head")
    elif last:
        sizes[last] += rows[-1] * formats.weight_bytes("embedding")
    sizes[last] += model.final_norm_parameters * formats.activation_bytes
    return sizes


def activation_peak_bytes(
    model: ModelShape, formats: Formats, tp: int, max_num_batched_tokens: int, max_num_seqs: int
) -> float:
    """F6 workspace: the widest layer's tensors of a full batch, or the float32 logits. Pure query."""
    d = model.hidden_size
    widest = 0
    for group in model.layers:
        gemms = group.ffn.gemms(d, tp)
        if isinstance(group.ffn, MoEFFN):
            gemms = group.ffn.expert_gemms(d, tp) * group.ffn.top_k
        inside = sum(gemm.n if gemm.k == d else gemm.k for gemm in gemms)
        widest = max(widest, inside, sum(gemm.n for gemm in group.mixer.gemms(d, tp)))
    layer = max_num_batched_tokens * formats.activation_bytes * (4 * d + widest)
    logits = min(max_num_seqs, max_num_batched_tokens) * model.vocab_size * 4
    return max(layer, logits)


def block_bytes(groups: Sequence[LayerGroup], formats: Formats, tp: int, block_size: int) -> float:
    """Bytes of one KV block on one device: heads split; a latent, or too few heads, replicated (F4)."""
    elements = sum(group.count * read.elements for group in groups for read in group.mixer.reads(tp))
    return elements * formats.kv_bytes * block_size


def state_bytes(groups: Sequence[LayerGroup], tp: int) -> float:
    """Recurrent state of one sequence on one device, over all layers. Pure query."""
    return sum(group.count * group.mixer.state_bytes(tp) for group in groups)
