"""A model lowered, once, to the operators of each pipeline stage on one device (F1–F9)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from llmsim.cost import collectives
from llmsim.cost.lowering import Lowering
from llmsim.cost.ops import (
    HostOp,
    Op,
    StartOp,
    StreamOp,
    Work,
)
from llmsim.cost.parallel import layers_of
from llmsim.files.machines import Machine
from llmsim.spec.attention import Span
from llmsim.spec.model import (
    DenseFFN,
    Gemm,
    KVRead,
    LatentAttention,
    LayerGroup,
    MoEFFN,
    Role,
)

LOGIT_BYTES = 4
"""The sampler works on float32; its several passes over a row are in its share of bandwidth."""

STATE_FLOPS = 6
"""FLOPs per state element and token of a recurrence: decay and add, outer product, read-out (Mamba)."""


@dataclass(frozen=True)
class AttentionOp:
    """Attention of ``layers`` layers over the KV cache: what a query-key pair costs, and a KV token.

    Attributes:
        prefill_flops_per_pair: Differs from decoding's where prefill up-projects a latent cache (MLA).
        context_flops: FLOPs per cached token that a prefill chunk attends to (that up-projection).
        query_bytes: Queries read and outputs written per new token.
        num_heads: Query heads on the device.
        kv_heads: KV heads on the device; a latent cache counts as one.
    """

    name: str
    layers: int
    span: Span
    span_index: int
    kv_bytes: float
    flops_per_pair: float
    prefill_flops_per_pair: float
    context_flops: float
    query_bytes: float
    num_heads: int
    kv_heads: float


@dataclass(frozen=True)
class StageTable:
    """The operators of one pipeline stage: those that follow counts, and attention."""

    index: int
    ops: Sequence[Op]
    attention: Sequence[AttentionOp]
    spans: Sequence[Span]


def lower(lowering: Lowering) -> list[StageTable]:
    """The operator tables of all pipeline stages, of one accelerator. Pure query."""
    stages = layers_of(lowering.model.layers, lowering.plan)
    return [lower_stage(replace(lowering, stage=index), groups) for index, groups in enumerate(stages)]


def lower_stage(lowering: Lowering, groups: Sequence[LayerGroup]) -> StageTable:
    """The operator table of the stage of ``lowering``, which holds the layers ``groups``. Pure query."""
    index, last = lowering.stage, lowering.plan.num_stages - 1
    ops = list(_entrance(lowering)) if index == 0 else []
    for group in groups:
        ops += _layer(lowering, group)
    ops += _exit(lowering) if index == last else _boundary(lowering)
    spans = lowering.model.spans()
    attention = [op for group in groups for op in _attention(lowering, group, spans)]
    return StageTable(index, _merged(ops), attention, spans)


def _merged(ops: Sequence[Op]) -> list[Op]:
    """The same operator of several layer groups becomes one row: fewer rows to price and to read."""
    counts: dict[Op, int] = {}
    for op in ops:
        alike = replace(op, layers=0)
        counts[alike] = counts.get(alike, 0) + op.layers
    return [replace(op, layers=layers) for op, layers in counts.items() if layers]


def _entrance(low: Lowering) -> Iterator[Op]:
    """What only the first stage does: the engine's host work, and the embedding, split by vocabulary."""
    d, (iteration_s, sequence_s) = low.model.hidden_size, low.host_s
    width = low.model.embedding_size or d
    if iteration_s or sequence_s:
        yield HostOp("host", 1, "sequences", 0.0, 0.0, 0, iteration_s=iteration_s, sequence_s=sequence_s)
    row = width * low.formats.activation_bytes
    yield low.stream("embedding", 1, Work(weight_bytes=row, activation_bytes=row))
    if low.tp > 1:
        yield low.all_reduce("embedding_all_reduce", 1, d)


def _exit(low: Lowering) -> Iterator[Op]:
    """What only the last stage does: the final norm, logits and sampling."""
    d, vocab = low.model.hidden_size, low.model.vocab_size
    yield low.elementwise("final_norm", 1, 4 * d)
    role: Role = "embedding" if low.model.tied_embeddings else "lm_head"
    width = low.model.embedding_size or d
    yield low.gemm(Gemm("lm_head", width, -(-vocab // low.tp), role), 1, "logit_rows")
    if low.tp > 1:
        rate = collectives.gather(low.efficiency, low.accelerator, low.tp, low.machine)
        yield low.collective("logits_gather", 1, vocab, rate, "logit_rows")
    fit = low.efficiency.sampler
    yield StreamOp(
        "sampler", 1, "logit_rows", fit.floor_s, low.efficiency.launch.eager_s, 0,
        each=Work(activation_bytes=LOGIT_BYTES * vocab), flops_per_s=1.0,
        bytes_per_s=low.bytes_per_s * fit.memory,
    )  # fmt: skip


def _boundary(low: Lowering) -> Iterator[Op]:
    """Hidden states handed to the next stage; the sender is charged."""
    nodes: list[Machine] = []
    if low.plan.leaves_node(low.stage, low.accelerator):
        nodes = [low.machine, low.plan.machine_of(low.stage + 1, low.accelerator)]
    rate = collectives.send(low.efficiency, low.accelerator, low.tp, *nodes)
    yield low.collective("pipeline_send", 1, low.model.hidden_size, rate)


def _layer(low: Lowering, group: LayerGroup) -> Iterator[Op]:
    """The operators of a layer group, in the order they run."""
    d, count = low.model.hidden_size, group.count
    has_mixer, has_ffn = group.mixer.kind != "none", group.ffn.kind != "none"
    norms = has_mixer + has_ffn - (low.model.parallel_residual and has_mixer and has_ffn)
    yield low.elementwise("norm_and_residual", count * norms, 4 * d)
    for gemm in group.mixer.gemms(d, low.tp):
        yield low.gemm(gemm, count)
    yield from _mixer(low, group)
    for gemm in group.ffn.gemms(d, low.tp):
        yield low.gemm(gemm, count)
    yield from _ffn(low, group)
    if low.tp > 1:
        yield low.all_reduce("all_reduce", count * norms, d)


def _mixer(low: Lowering, group: LayerGroup) -> Iterator[Op]:
    reads, elements = group.mixer.reads(low.tp), group.mixer.state_elements(low.tp)
    if reads:
        kv = sum(read.elements for read in reads)
        queries = sum(read.num_heads * read.head_dim for read in reads)
        yield low.elementwise("rope", group.count, 2 * (queries + kv / 2))
        write = Work(
            activation_bytes=kv * low.formats.activation_bytes, kv_write_bytes=kv * low.formats.kv_bytes
        )
        yield low.stream("kv_write", group.count, write)
        yield StartOp(
            "attention_start", group.count * len(reads), "tokens", min(low.attention_floors_s),
            low.efficiency.launch.eager_s, low.graph_tokens,
        )  # fmt: skip
        if low.plan.prefill_context_parallel_size > 1:
            yield _context_merge(low, group)
    if elements:
        state = 2 * group.mixer.state_bytes(low.tp)
        yield low.stream("state", group.count, Work(state_bytes=state), "sequences")
        yield low.stream("scan", group.count, Work(flops=STATE_FLOPS * elements))


def _context_merge(low: Lowering, group: LayerGroup) -> Op:
    """Partial attention of a new token gathered from the devices that share its context.

    Each has a value per head channel, and a maximum and a sum per head.
    """
    devices = low.plan.prefill_context_parallel_size
    numbers = devices * sum(read.num_heads * (read.head_dim + 2) for read in group.mixer.reads(low.tp))
    rate = collectives.gather(low.efficiency, low.accelerator, devices, low.machine.every(low.tp))
    return low.collective("context_merge", group.count, numbers, rate, "sequences")


def _ffn(low: Lowering, group: LayerGroup) -> Iterator[Op]:
    ffn = group.ffn
    if isinstance(ffn, DenseFFN):
        width = -(-ffn.intermediate_size // low.tp)
        yield low.elementwise("activation", group.count, (3 if ffn.gated else 2) * width)
    elif isinstance(ffn, MoEFFN):
        yield low.experts(ffn, group.count)
        yield low.elementwise("route", group.count, 2 * ffn.num_experts)
        if low.plan.data_parallel_size > 1:
            yield _all_to_all(low, ffn, group.count)


def _all_to_all(low: Lowering, ffn: MoEFFN, layers: int) -> Op:
    """Tokens to the ranks of their experts and back: two per layer, each rank with its part of the tokens.

    Tensor-parallel ranks hold the same tokens, so each sends a part; what follows gathers them again,
    which the layer's all-reduce (reduce-scatter, then gather) has in it.
    """
    ranks = low.plan.expert_ranks(low.stage)
    rate = collectives.all_to_all(low.efficiency, low.accelerator, ranks, low.machine)
    numbers = ffn.top_k * low.model.hidden_size / low.tp
    return low.collective("expert_all_to_all", 2 * layers, numbers, rate)


def _attention(low: Lowering, group: LayerGroup, spans: Sequence[Span]) -> Iterator[AttentionOp]:
    for read in group.mixer.reads(low.tp):
        prefill_flops, context_flops = _prefill_flops(low, group, read)
        yield AttentionOp(
            f"attention_{read.span.kind}" + (f"_{read.span.size}" if read.span.size else ""),
            group.count,
            read.span,
            spans.index(read.span),
            kv_bytes=read.elements * low.formats.kv_bytes,
            flops_per_pair=read.flops_per_pair,
            prefill_flops_per_pair=prefill_flops,
            context_flops=context_flops,
            query_bytes=2 * read.num_heads * read.head_dim * low.formats.activation_bytes,
            num_heads=read.num_heads,
            kv_heads=max(1.0, read.elements / (2 * read.head_dim)),
        )


def _prefill_flops(low: Lowering, group: LayerGroup, read: KVRead) -> tuple[float, float]:
    """FLOPs per query-key pair, and per cached token, when prefilling.

    Latent attention prefills in its plain multi-head form: fewer FLOPs per pair, but the latents of
    cached tokens are projected up again for each chunk (vLLM ``mla/common.py``). Selected (top-k)
    tokens are read in the absorbed form, as when decoding.
    """
    mixer = group.mixer
    if (
        not isinstance(mixer, LatentAttention)
        or read.span.kind == "topk"
        or read.head_dim != mixer.kv_lora_rank + mixer.qk_rope_head_dim
    ):
        return read.flops_per_pair, 0.0
    key = mixer.qk_nope_head_dim + mixer.qk_rope_head_dim
    up = 2 * mixer.kv_lora_rank * read.num_heads * (mixer.qk_nope_head_dim + mixer.v_head_dim)
    return 2 * read.num_heads * (key + mixer.v_head_dim), up
