"""A pool's parallel keys as a plan."""

from __future__ import annotations

from llmsim.cost.parallel import ParallelPlan, StagePlan
from llmsim.files import catalog
from llmsim.files.machines import machine_of
from llmsim.spec.serving import Pool


def parallel_plan(pool: Pool) -> ParallelPlan:
    """The plan that ``pool`` asks for; ``tensor_parallel_size: auto`` as 1, to start a search from. Pure query."""
    stages = [
        StagePlan(
            accelerator := catalog.accelerator(stage.accelerator),
            stage.tensor_parallel_size,
            stage.layers,
            machine_of(accelerator, stage.node),
        )
        for stage in pool.stages or []
    ]
    layers = tuple(pool.pipeline_layers or ())
    size = pool.tensor_parallel_size
    return ParallelPlan(
        size if isinstance(size, int) else 1,
        len(stages) or len(layers) or pool.pipeline_parallel_size,
        pool.data_parallel_size,
        pool.enable_expert_parallel,
        pool.prefill_context_parallel_size,
        layers,
        None if pool.node is None else machine_of(catalog.accelerator(pool.accelerator), pool.node),
        tuple(stages),
    )
