"""What of a model cannot be dealt to a pool's devices, and which parallel keys exclude each other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from llmsim.spec.base import Place
from llmsim.spec.model import ModelShape, MoEFFN
from llmsim.spec.serving import Pool, PoolStage

AUTO = "auto"


def parallel_conflicts(fleet: Sequence[Pool], models: Sequence[ModelShape]) -> Iterator[tuple[Place, str]]:
    """What of each pool's model cannot be dealt to its devices, as vLLM refuses it too."""
    for index, (pool, model) in enumerate(zip(fleet, models, strict=True)):
        checks = (_key_conflicts(pool), _split_conflicts(pool, model), _expert_conflicts(pool, model))
        for check in checks:
            yield from ((("fleet", index, *place), message) for place, message in check)


def _key_conflicts(pool: Pool) -> Iterator[tuple[Place, str]]:
    """Keys that say the same thing twice, differently."""
    size, layers, stages = pool.pipeline_parallel_size, pool.pipeline_layers, pool.stages
    if layers and size not in (1, len(layers)):
        yield ("pipeline_layers",), f"{len(layers)} entries, but pipeline_parallel_size is {size}; remove one"
    if pool.tensor_parallel_size == AUTO and layers:
        yield (
            ("pipeline_layers",),
            "tensor_parallel_size: auto chooses the stages too; remove one of the two",
        )
    if not stages:
        return
    if pool.tensor_parallel_size != 1:
        yield ("tensor_parallel_size",), "each of `stages` has its own; remove it here"
    if size not in (1, len(stages)):
        yield ("pipeline_parallel_size",), f"{size}, but `stages` has {len(stages)} entries; remove it here"
    for key in ("pipeline_layers", "node"):
        if getattr(pool, key) is not None:
            yield (key,), f"each of `stages` says its own {key.removeprefix('pipeline_')}; remove it here"
    if pool.accelerator != stages[0].accelerator:
        yield ("accelerator",), f"the first of `stages` has {stages[0].accelerator}; remove it here"


def _split_conflicts(pool: Pool, model: ModelShape) -> Iterator[tuple[Place, str]]:
    """Heads and layers that cannot be dealt out as asked."""
    stages = pool.stages or []
    degrees: list[tuple[Place, int | str]] = [(("tensor_parallel_size",), pool.tensor_parallel_size)]
    degrees += [
        (("stages", place, "tensor_parallel_size"), stage.tensor_parallel_size)
        for place, stage in enumerate(stages)
    ]
    heads = [group.num_heads for group in model.layers]
    for place, degree in degrees:
        uneven = [count for count in heads if isinstance(degree, int) and count % degree]
        if uneven:
            yield (
                place,
                f"{degree} does not divide the {uneven[0]} attention heads of {model.name}; choose a size that does",
            )
    if pool.pipeline_parallel_size > model.num_layers:
        yield (
            ("pipeline_parallel_size",),
            f"{pool.pipeline_parallel_size} stages are more than the {model.num_layers} layers of {model.name}",
        )
    for key, counts in (
        ("pipeline_layers", pool.pipeline_layers or []),
        ("stages", [stage.layers for stage in stages]),
    ):
        if counts and sum(counts) != model.num_layers:
            total = " + ".join(map(str, counts)) + (f" = {sum(counts)}" if len(counts) > 1 else "")
            yield (
                (key,),
                f"{total} layers, but {model.name} has {model.num_layers}; make them add up",
            )
    if pool.prefill_context_parallel_size > 1 and any(
        group.mixer.state_elements(1) for group in model.layers
    ):
        yield (
            ("prefill_context_parallel_size",),
            f"{model.name} has recurrent layers, whose state goes through a prompt in order; use 1",
        )


def _expert_conflicts(pool: Pool, model: ModelShape) -> Iterator[tuple[Place, str]]:
    """Data and expert parallelism need experts."""
    experts = [group.ffn.num_experts for group in model.layers if isinstance(group.ffn, MoEFFN)]
    ranks = pool.data_parallel_size
    if pool.enable_expert_parallel and not experts:
        yield ("enable_expert_parallel",), f"{model.name} is dense: it has no experts to divide; remove it"
    if ranks > 1 and not experts:
        yield (
            ("data_parallel_size",),
            f"{model.name} is dense, so data-parallel ranks are independent replicas; "
            f"write `replicas: {pool.replicas * ranks}` instead",
        )
    elif ranks > 1 and not pool.enable_expert_parallel:
        yield (
            ("data_parallel_size",),
            f"{ranks} ranks share nothing without enable_expert_parallel: true; add it, or write "
            f"`replicas: {pool.replicas * ranks}`",
        )
    parts: Sequence[Pool | PoolStage] = pool.stages or [pool]
    degrees = [part.tensor_parallel_size for part in parts]
    most = max((degree * ranks for degree in degrees if isinstance(degree, int)), default=1)
    if pool.enable_expert_parallel and experts and most > min(experts):
        yield (
            ("enable_expert_parallel",),
            f"{most} ranks (tensor × data parallel) are more than the {min(experts)} experts of {model.name}",
        )
