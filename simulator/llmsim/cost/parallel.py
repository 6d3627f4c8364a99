"""How a model is cut over devices: tensor, pipeline, data, expert and context parallelism."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from llmsim.files.machines import Machine, machine_of
from llmsim.spec.hardware import Accelerator
from llmsim.spec.model import LayerGroup


@dataclass(frozen=True)
class StagePlan:
    """One stage of an asymmetric pipeline (HexGen, arXiv 2311.11514), on devices of its own."""

    accelerator: Accelerator
    tensor_parallel_size: int
    layers: int
    machine: Machine


@dataclass(frozen=True)
class ParallelPlan:
    """How one replica, or one data-parallel rank of it, is cut over devices; vLLM's names.

    Attributes:
        tensor_parallel_size: Devices that share every layer.
        pipeline_parallel_size: Stages the stack of layers is divided into.
        data_parallel_size: Ranks that share the experts. Each has its own scheduler, batch and KV and
            is simulated as an engine of its own; attention is replicated.
        enable_expert_parallel: Whole experts are divided over tensor- and data-parallel ranks, instead
            of a slice of each.
        prefill_context_parallel_size: Devices that share every prompt (ring) and every context's KV.
        pipeline_layers: Layers of each stage; empty: as vLLM divides them.
        machine: The node of the devices; None: the accelerator's usual one.
        stages: An asymmetric pipeline, in place of all that the stages say themselves.
    """

    tensor_parallel_size: int = 1
    pipeline_parallel_size: int = 1
    data_parallel_size: int = 1
    enable_expert_parallel: bool = False
    prefill_context_parallel_size: int = 1
    pipeline_layers: tuple[int, ...] = ()
    machine: Machine | None = None
    stages: tuple[StagePlan, ...] = ()

    @property
    def num_stages(self) -> int:
        """Pipeline stages. Pure query."""
        return len(self.stages) or self.pipeline_parallel_size

    @property
    def num_devices(self) -> int:
        """Devices of one rank: (TP of every stage, summed) × PCP. Pure query."""
        return self.prefill_context_parallel_size * sum(map(self.tp_of, range(self.num_stages)))

    def devices(self, accelerator: str) -> dict[str, int]:
        """How many of each accelerator one rank has; ``accelerator`` where stages are alike. Pure query."""
        if not self.stages:
            return {accelerator: self.num_devices}
        counts: Counter[str] = Counter()
        for stage in self.stages:
            counts[stage.accelerator.name] += stage.tensor_parallel_size * self.prefill_context_parallel_size
        return dict(counts)

    def tp_of(self, stage: int) -> int:
        """Tensor-parallel degree of a stage. Pure query."""
        return self.stages[stage].tensor_parallel_size if self.stages else self.tensor_parallel_size

    def accelerator_of(self, stage: int, accelerator: Accelerator) -> Accelerator:
        """The accelerator of a stage, ``accelerator`` where stages are alike. Pure query."""
        return self.stages[stage].accelerator if self.stages else accelerator

    def machine_of(self, stage: int, accelerator: Accelerator) -> Machine:
        """The node of a stage's devices. Pure query."""
        if self.stages:
            return self.stages[stage].machine
        return self.machine or machine_of(accelerator)

    def expert_ranks(self, stage: int) -> int:
        """Ranks that whole experts are divided over; 1 without expert parallelism. Pure query."""
        return self.tp_of(stage) * self.data_parallel_size if self.enable_expert_parallel else 1

    def layer_counts(self, num_layers: int) -> list[int]:
        """Layers of each stage. Pure query."""
        if self.stages:
            return [stage.layers for stage in self.stages]
        return list(self.pipeline_layers) or stage_layer_counts(num_layers, self.pipeline_parallel_size)

    def leaves_node(self, stage: int, accelerator: Accelerator) -> bool:
        """Whether the stage after ``stage`` sits in another node.

        Stages fill nodes in their order, each whole in a node where it fits (as Ray packs them). Pure query.
        """
        free, node, leaves = 0, None, True
        for index in range(stage + 2):
            machine = self.machine_of(index, accelerator)
            size = self.tp_of(index) * self.prefill_context_parallel_size
            leaves = machine != node or size > free
            free = max(0, machine.num_devices - size) if leaves else free - size
            node = machine
        return leaves

    def in_words(self) -> str:
        """``TP 4, PP 2, DP 8, EP 32``, with what is not 1. Pure query."""
        degrees = "+".join(dict.fromkeys(str(self.tp_of(stage)) for stage in range(self.num_stages)))
        parts = [f"TP {degrees}", f"PP {self.num_stages}"]
        if self.stages or self.pipeline_layers:
            parts[-1] += f" of {'+'.join(map(str, self.layer_counts(0)))} layers"
        if self.prefill_context_parallel_size > 1:
            parts.append(f"PCP {self.prefill_context_parallel_size}")
        if self.data_parallel_size > 1:
            parts.append(f"DP {self.data_parallel_size}")
        if self.enable_expert_parallel:
            parts.append(f"EP {self.expert_ranks(0)}")
        return ", ".join(parts)


def stage_layer_counts(num_layers: int, stages: int) -> list[int]:
    """Layers per pipeline stage, as vLLM splits them: the remainder goes to the last but one, backwards.

    Source: vLLM ``distributed/utils.py: get_pp_indices``.
    """
    counts = [num_layers // stages] * stages
    for place in range(num_layers % stages):
        counts[-2 - place] += 1
    return counts


def split_layers(
    layers: Sequence[LayerGroup], stages: int, counts: Sequence[int] | None = None
) -> list[list[LayerGroup]]:
    """The layer groups of each pipeline stage; unlike layers are taken to alternate evenly. Pure query.

    Args:
        counts: Layers of each stage; None divides them as vLLM does.
    """
    placed = sorted(
        ((turn + 0.5) / group.count, index)
        for index, group in enumerate(layers)
        for turn in range(group.count)
    )
    result = []
    start = 0
    for count in counts or stage_layer_counts(len(placed), stages):
        mine = [index for _, index in placed[start : start + count]]
        start += count
        result.append(
            [group.model_copy(update={"count": mine.count(i)}) for i, group in enumerate(layers) if i in mine]
        )
    return result


def layers_of(layers: Sequence[LayerGroup], plan: ParallelPlan) -> list[list[LayerGroup]]:
    """The layer groups of each stage of ``plan``. Pure query."""
    total = sum(group.count for group in layers)
    return split_layers(layers, plan.num_stages, plan.layer_counts(total))
