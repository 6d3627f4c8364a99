"""What fits in a device's memory, and how many KV blocks are left (F10)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil

from llmsim.cost.footprint import activation_peak_bytes, block_bytes, stage_weight_bytes, state_bytes
from llmsim.cost.kv_layout import KVLayout, group_block_bytes, kv_layout
from llmsim.cost.parallel import ParallelPlan, layers_of
from llmsim.cost.plan import Formats
from llmsim.errors import DoesNotFitError, Problem
from llmsim.spec.hardware import Accelerator
from llmsim.spec.model import LayerGroup, ModelShape

RUNTIME_BYTES = 0.25 * 2**30
"""What libraries hold beside tensors once the engine has started (NCCL, cuBLAS workspaces).

Source: the remainder in published vLLM block counts (Llama-2-7B: 7,463; CodeLlama-34B: 2,537; H100).
"""

UNLIMITED_BLOCKS = 1 << 40
"""Blocks of a stage without attention: its sequences keep a state of fixed size."""

LARGEST_SEARCH = 64
"""Devices up to which a plan that fits is looked for."""


@dataclass(frozen=True)
class StageMemory:
    """One device of one pipeline stage, in bytes.

    Attributes:
        budget_bytes: Utilisation × memory.
        weight_bytes: Its shard of the tensors its stage holds.
        activation_bytes: Peak of the largest batch.
        state_bytes: Recurrent states of all sequences.
        runtime_bytes: Driver, communication buffers, graphs.
        block_bytes: KV of the tokens of a block in all its layers.
        num_blocks: Blocks that fit in what is left; negative when the weights alone do not fit.
        pool_block_bytes: One block of the pool: that, or where groups of layers take their own, a group's.
    """

    stage: int
    budget_bytes: float
    weight_bytes: float
    activation_bytes: float
    state_bytes: float
    runtime_bytes: float
    block_bytes: float
    num_blocks: int
    pool_block_bytes: float

    @property
    def kv_bytes(self) -> float:
        """What is left for the KV cache; negative when the rest does not fit. Pure query."""
        used = self.weight_bytes + self.activation_bytes + self.state_bytes + self.runtime_bytes
        return self.budget_bytes - used

    def in_words(self) -> str:
        """The arithmetic of ``kv_bytes``, in GB. Pure query."""
        parts = {
            "weights": self.weight_bytes,
            "activations": self.activation_bytes,
            "recurrent states": self.state_bytes,
            "runtime": self.runtime_bytes,
        }
        spent = " − ".join(f"{size / 1e9:.2f} GB {name}" for name, size in parts.items() if size)
        return f"{self.budget_bytes / 1e9:.2f} GB usable − {spent} = {self.kv_bytes / 1e9:.2f} GB for KV"


@dataclass(frozen=True)
class KVCapacity:
    """The KV pool of a replica: the smallest stage decides.

    Attributes:
        num_blocks: Blocks a replica can hand out.
        block_size: Tokens in a block.
        given: True when ``num_kv_tokens`` fixed the pool.
        layout: The groups of layers that take blocks of their own; None where all layers keep every token.
    """

    num_blocks: int
    block_size: int
    stages: Sequence[StageMemory]
    given: bool = False
    layout: KVLayout | None = None

    @property
    def num_tokens(self) -> int:
        """Tokens the pool holds if every layer keeps them all. Pure query."""
        groups = self.layout.num_groups if self.layout else 1
        return self.num_blocks // groups * self.block_size

    @property
    def longest(self) -> int:
        """Tokens of the longest sequence that the pool holds alone. Pure query."""
        return self.layout.longest(self.num_blocks) if self.layout else self.num_tokens

    def sequences(self, tokens: float) -> float:
        """Sequences of ``tokens`` that the pool holds at once while they decode. Pure query."""
        if self.layout:
            return self.num_blocks / self.layout.blocks(ceil(tokens))
        return self.num_tokens / tokens

    @property
    def tightest(self) -> StageMemory:
        """The stage that limits the pool. Pure query."""
        return min(self.stages, key=lambda stage: (stage.num_blocks, stage.kv_bytes))


def kv_capacity(
    model: ModelShape,
    accelerator: Accelerator,
    plan: ParallelPlan,
    formats: Formats,
    *,
    gpu_memory_utilization: float = 0.90,
    block_size: int = 16,
    max_num_seqs: int = 256,
    max_num_batched_tokens: int = 2048,
    min_tokens: int = 1,
    num_kv_tokens: int | None = None,
    by_layer: bool = False,
) -> KVCapacity:
    """The KV pool of one replica, with its arithmetic. Pure query.

    Args:
        min_tokens: The pool must hold at least this many, e.g. one longest request.
        num_kv_tokens: Fixes the pool instead of deriving it from memory; nothing is then refused. It is what the
            pool would hold if every layer kept every token.
        by_layer: Each layer keeps what it needs, where the model's differ in that.

    Raises:
        DoesNotFitError: ``min_tokens`` do not fit. The message has the arithmetic and the smallest plan
            that fits.
    """

    demand = MemoryUse(gpu_memory_utilization, block_size, max_num_seqs, max_num_batched_tokens, by_layer)
    capacity = kv_pool(model, accelerator, plan, formats, demand)
    if num_kv_tokens is not None:
        groups = capacity.layout.num_groups if capacity.layout else 1
        blocks = num_kv_tokens // capacity.block_size * groups
        return replace(capacity, num_blocks=blocks, given=True)
    need = max(min_tokens, block_size)
    if capacity.longest >= need:
        return capacity
    fitting = (
        p for p in _plans(model, plan) if kv_pool(model, accelerator, p, formats, demand).longest >= need
    )
    raise DoesNotFitError(
        Problem("", f"{model.name} on {accelerator.name}: {_shortfall(plan, capacity, need)}"),
        hint=_remedy(next(fitting, None), plan),
    )


@dataclass(frozen=True)
class MemoryUse:
    """The engine settings that decide how memory is shared out."""

    gpu_memory_utilization: float
    block_size: int
    max_num_seqs: int
    max_num_batched_tokens: int
    by_layer: bool = False


def kv_pool(
    model: ModelShape, accelerator: Accelerator, plan: ParallelPlan, formats: Formats, demand: MemoryUse
) -> KVCapacity:
    """What is left for KV; with a negative number of blocks where nothing is. Pure query."""
    weights = stage_weight_bytes(model, plan, formats)
    layout, grouped = None, [0.0] * plan.num_stages
    if demand.by_layer:
        layout = kv_layout(model.layers, plan, formats, demand.block_size, demand.max_num_batched_tokens)
    if layout:
        grouped = group_block_bytes(model.layers, plan, formats, layout)
    size = layout.block_tokens if layout else demand.block_size
    stages = []
    for index, groups in enumerate(layers_of(model.layers, plan)):
        tp = plan.tp_of(index)
        budget = demand.gpu_memory_utilization * plan.accelerator_of(index, accelerator).memory_bytes
        activation = activation_peak_bytes(
            model, formats, tp, demand.max_num_batched_tokens, demand.max_num_seqs
        )
        states = 0.0 if layout else demand.max_num_seqs * state_bytes(groups, tp)  # else they have blocks
        one = block_bytes(groups, formats, tp, size) / plan.prefill_context_parallel_size
        unit = grouped[index] if layout else one
        left = budget - weights[index] - activation - states - RUNTIME_BYTES
        blocks = int(left // unit) if unit else (UNLIMITED_BLOCKS if left >= 0 else -1)
        stages.append(
            StageMemory(index, budget, weights[index], activation, states, RUNTIME_BYTES, one, blocks, unit)
        )
    return KVCapacity(min(stage.num_blocks for stage in stages), size, stages, layout=layout)


def _num_heads(group: LayerGroup) -> int:
    """Query heads of a layer, which tensor parallelism deals out; 0 for a layer without attention."""
    attention = getattr(group.mixer, "attention", group.mixer)
    return getattr(attention, "num_heads", 0)


def _plans(model: ModelShape, like: ParallelPlan) -> list[ParallelPlan]:
    """Plans from few devices to many; at equal numbers tensor parallelism first, up to a node of 8."""
    if like.stages:
        return []
    heads = [_num_heads(group) for group in model.layers]
    degrees = [tp for tp in (1, 2, 4, 8) if all(count % tp == 0 for count in heads)]
    stages = range(1, min(model.num_layers, LARGEST_SEARCH) + 1)
    plans = [
        replace(like, tensor_parallel_size=tp, pipeline_parallel_size=pp, pipeline_layers=())
        for tp in degrees
        for pp in stages
        if tp * pp <= LARGEST_SEARCH
    ]
    return sorted(plans, key=lambda plan: (plan.num_devices, plan.pipeline_parallel_size))


def _shortfall(plan: ParallelPlan, capacity: KVCapacity, need_tokens: int) -> str:
    tight = capacity.tightest
    layout = capacity.layout
    blocks = layout.blocks(need_tokens, need_tokens) if layout else -(-need_tokens // capacity.block_size)
    need_bytes = blocks * tight.pool_block_bytes
    where = f" of stage {tight.stage}" if plan.num_stages > 1 else ""
    return (
        f"does not fit with tensor_parallel_size {plan.tp_of(tight.stage)} and pipeline_parallel_size "
        f"{plan.num_stages}. Each device{where} has {tight.in_words()}, and {need_tokens:,} "
        f"tokens of KV cache take {need_bytes / 1e9:.2f} GB"
    )


def _remedy(plan: ParallelPlan | None, given: ParallelPlan) -> str:
    if given.stages:
        return "move layers to stages with more memory, or raise a stage's tensor_parallel_size"
    if plan is None:
        return (
            f"nothing up to {LARGEST_SEARCH} devices would do: take a larger accelerator or smaller weights"
        )
    return (
        f"the smallest plan that fits is tensor_parallel_size: {plan.tensor_parallel_size}, "
        f"pipeline_parallel_size: {plan.pipeline_parallel_size}; a smaller max_model_len, quantization or "
        "a higher gpu_memory_utilization may do as well"
    )
