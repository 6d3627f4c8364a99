"""The parallel plan of a pool: as its keys say, or searched for."""

from __future__ import annotations

from statistics import fmean

from llmsim.cost.engines import version_of
from llmsim.cost.memory import KVCapacity, MemoryUse, kv_pool
from llmsim.cost.parallel import ParallelPlan
from llmsim.cost.plan import Formats
from llmsim.cost.pool_plan import parallel_plan
from llmsim.cost.search import Choice, Demand, StagesOf, search
from llmsim.files import catalog
from llmsim.files.machines import machine_of
from llmsim.files.scenario_file import LoadedScenario
from llmsim.spec.serving import Engine, Pool
from llmsim.workload.stream import open_stream

SAMPLE = 1000
"""Requests of the workload that its mean lengths are taken from."""


HYBRID_FROM = (0, 10)
"""vLLM's first version whose KV cache manager lets each layer keep what it needs, unless told not to."""


def keeps_by_layer(spec: Engine) -> bool:
    """Whether layers that attend to a window keep no more than that, and states take blocks. Pure query."""
    if not spec.may_keep_by_layer:
        return False
    if spec.disable_hybrid_kv_cache_manager is not None:
        return not spec.disable_hybrid_kv_cache_manager
    return spec.name == "vllm" and (spec.version is None or version_of(spec.version) >= HYBRID_FROM)


def choose_plan(loaded: LoadedScenario, pool: Pool, stages_of: StagesOf) -> Choice:
    """The plan of ``pool``; with ``tensor_parallel_size: auto`` the best of a search. Pure query.

    Args:
        stages_of: The pool's cost model.
    """
    plan = parallel_plan(pool)
    if pool.tensor_parallel_size != "auto":
        return Choice(plan)
    accelerator, model = catalog.accelerator(pool.accelerator), loaded.model_of(pool)
    spec = loaded.scenario.engine_of(pool)
    formats = Formats.resolve(
        model, dtype=spec.dtype, kv_cache_dtype=spec.kv_cache_dtype, quantization=spec.quantization
    )
    use = MemoryUse(
        spec.gpu_memory_utilization,
        spec.block_size,
        spec.max_num_seqs,
        spec.max_num_batched_tokens,
        keeps_by_layer(spec),
    )

    def capacity_of(candidate: ParallelPlan) -> KVCapacity:
        return kv_pool(model, accelerator, candidate, formats, use)

    machine = machine_of(accelerator, pool.node)
    return search(model, plan, machine, demand_of(loaded, pool), stages_of, capacity_of)


def demand_of(loaded: LoadedScenario, pool: Pool) -> Demand:
    """The first requests' mean lengths, and how many the engine's limits or a closed loop let run at once."""
    scenario = loaded.scenario
    spec = scenario.engine_of(pool)
    stream = open_stream(scenario.workload, scenario.simulation.seed, loaded.base_dir)
    requests = stream.sample(SAMPLE)
    engines = sum(each.replicas * each.data_parallel_size for each in scenario.fleet)
    sequences = spec.max_num_seqs
    in_flight = stream.max_concurrency or stream.most_in_flight
    if in_flight is not None:
        sequences = min(sequences, -(-in_flight // engines))
    tpot_ms = scenario.slo.tpot_ms
    return Demand(
        fmean(request.input_tokens for request in requests),
        fmean(request.output_tokens for request in requests),
        sequences,
        spec.max_num_batched_tokens,
        spec.max_model_len or 1,
        spec.num_kv_tokens,
        None if tpot_ms is None else tpot_ms / 1e3,
    )
