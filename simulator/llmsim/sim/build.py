"""From a scenario to engines: the parts list of a fleet."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from math import inf
from typing import Any

from llmsim import plugins
from llmsim.cost.engines import engine_profile
from llmsim.cost.footprint import block_bytes, stage_weight_bytes
from llmsim.cost.intervals import model_spread
from llmsim.cost.memory import KVCapacity, kv_capacity
from llmsim.cost.parallel import ParallelPlan
from llmsim.cost.plan import Formats
from llmsim.cost.stage import StageCost
from llmsim.engine.core import Engine
from llmsim.engine.knowledge import Knowledge
from llmsim.engine.kv.base import KVCache
from llmsim.engine.kv.segments import SegmentReuse
from llmsim.engine.kv.tiered import Tiered
from llmsim.engine.pipe import Pipe
from llmsim.engine.preemption.host import HOST, HostMemory
from llmsim.engine.preemption.recompute import Recompute
from llmsim.engine.profile import Profile
from llmsim.engine.request import Request
from llmsim.engine.scheduler import Limits
from llmsim.errors import DoesNotFitError, Problem, ScenarioError
from llmsim.files import catalog
from llmsim.files.prices import pool_prices
from llmsim.files.scenario_file import LoadedScenario
from llmsim.measure.records import ReplicaRecord, StepLog
from llmsim.sim.parallel import choose_plan, keeps_by_layer
from llmsim.sim.replica import NO_FRONT_END, FrontEnd
from llmsim.sim.tiers import PoolTiers
from llmsim.spec.model import ModelShape
from llmsim.spec.serving import Engine as EngineSpec
from llmsim.spec.serving import PolicyRef, Pool


class PoolPlan:
    """What all replicas of one pool share: cost model, KV capacity and limits.

    Raises:
        DoesNotFitError: The model, or one longest request, does not fit its accelerators.
    """

    def __init__(self, loaded: LoadedScenario, pool: Pool) -> None:
        self.pool = pool
        self.spec: EngineSpec = loaded.scenario.engine_of(pool)
        self.accelerator = catalog.accelerator(pool.accelerator)
        spec, model = self.spec, loaded.model_of(pool)
        self.model_name = loaded.scenario.model_of(pool).ref
        formats = Formats.resolve(
            model, dtype=spec.dtype, kv_cache_dtype=spec.kv_cache_dtype, quantization=spec.quantization
        )
        cost_model = plugins.COST_MODELS.get(pool.cost_model.kind)
        priced = getattr(cost_model, "prices_host", False)
        self.profile = engine_profile(spec.name, spec.version) if priced else None
        options = options_of(cost_model, pool.cost_model)

        def stages_of(plan: ParallelPlan) -> list[StageCost]:
            stages: list[StageCost] = cost_model.stages(
                options,
                model,
                self.accelerator,
                plan,
                formats,
                enforce_eager=spec.enforce_eager,
                profile=self.profile,
            )
            return stages

        self.choice = choose_plan(loaded, pool, stages_of)
        self.plan = self.choice.plan
        self.stages = stages_of(self.plan)
        self.front_end = FrontEnd(*cost_model.front_end_s(options, self.profile)) if priced else NO_FRONT_END
        per_device = stage_weight_bytes(model, self.plan, formats)
        self.weight_bytes = sum(size * self.plan.tp_of(stage) for stage, size in enumerate(per_device))
        self.num_layers = model.num_layers
        self.kv_bytes_per_token = block_bytes(model.layers, formats, 1, 1)
        self.capacity = self._capacity(model, formats)
        self.pool_tokens = spec.num_kv_tokens or self.capacity.num_tokens
        longest = self._longest()
        # As vLLM's `--max-model-len auto`: the model's own limit, or what the pool holds if that is less.
        self.max_model_len = spec.max_model_len or min(model.max_position_embeddings, longest)
        if self.max_model_len > longest:
            raise self._too_long(longest)
        self.knows = self._knowledge(loaded)
        self.tiers = PoolTiers(
            spec.kv_tiers, self.accelerator, self.plan.num_devices, pool.node, self.kv_bytes_per_token
        )

    def engine(self, index: int, log: StepLog, *, fast_forward: bool) -> Engine:
        """A new engine, the ``index``-th of the fleet."""
        spec = self.spec
        kv = self._kv_cache()
        if isinstance(kv, Tiered):
            is_layerwise = spec.kv_loading == "layerwise"
            kv.attach(
                self.tiers.of_replica(kv.block_size),
                self.num_layers if is_layerwise else 1,
                self.knows.profile,
            )
        limits = Limits(spec.max_num_seqs, spec.max_num_batched_tokens, self.max_model_len)
        scheduler_class = plugins.SCHEDULERS.get(spec.scheduler.kind)
        scheduler = scheduler_class(limits, kv, options_of(scheduler_class, spec.scheduler))
        scheduler.knows = self.knows
        return Engine(
            index,
            scheduler,
            kv,
            self.stages,
            add_row=log.add,
            add_gap=log.extra_gaps.append,
            fast_forward=fast_forward,
            schedules_ahead=bool(self.profile and self.profile.asynchronous and len(self.stages) == 1),
        )

    def record(self, engine: Engine, start_s: float = 0.0) -> ReplicaRecord:
        """``engine``, there from ``start_s`` on, as the report wants to know it."""
        return ReplicaRecord(
            index=engine.index,
            pool=self.pool.name,
            accelerator=self.pool.accelerator,
            model=self.model_name,
            num_accelerators=self.plan.num_devices,
            num_kv_blocks=engine.kv.num_blocks,
            block_size=engine.kv.block_size,
            stages=self.stages,
            usd_per_hour=self.usd_per_hour(),
            plan=self.plan.in_words(),
            plan_choice=self.choice.in_words(),
            plans_tried=tuple(trial.in_words() for trial in self.choice.tried),
            devices=self.plan.devices(self.accelerator.name),
            max_model_len=self.max_model_len,
            kv_arithmetic=self._arithmetic(self.capacity),
            engine=self.profile.in_words() if self.profile else "",
            model_spread=dict(model_spread(self.accelerator, self.profile)) if self.profile else {},
            idle_w=self.pool.idle_power,
            load_w=self.pool.load_power,
            start_s=start_s,
            kv_bytes_per_token=self.kv_bytes_per_token,
            kv_blocks_of_longest=engine.kv.blocks_of(self.max_model_len),
            kv_layout=self._layout_in_words(),
            kv_tiers=engine.kv.tiers if isinstance(engine.kv, Tiered) else None,
            kv_tier_sources=self.tiers.in_words(),
        )

    def _knowledge(self, loaded: LoadedScenario) -> Knowledge:
        """What the pool's schedulers are told."""
        predictor_class = plugins.PREDICTORS.get(self.spec.predictor.kind)
        options = options_of(predictor_class, self.spec.predictor)
        predictor = predictor_class(self.max_model_len, loaded.scenario.simulation.seed, options)
        profile = Profile(self.stages, self.spec.max_num_batched_tokens)
        return Knowledge(predictor, cache(loaded.scenario.slo.of_class), profile)

    def usd_per_hour(self) -> float | None:
        """On-demand price of all devices of one replica; of a pool's whole instances, its part."""
        if self.pool.instance is None and self.pool.usd_per_hour is None:
            prices = {
                name: catalog.accelerator(name).usd_per_hour
                for name in self.plan.devices(self.accelerator.name)
            }
            numbers = self.plan.devices(self.accelerator.name)
            known = [numbers[name] * price for name, price in prices.items() if price is not None]
            return sum(known) if len(known) == len(prices) else None
        rent, used = pool_prices(self.pool), self.plan.num_devices * self.pool.replicas
        if rent.on_demand is None:
            return None
        return rent.on_demand.at(0.0) * self.plan.num_devices * (rent.billed(used) / used)

    def _capacity(self, model: ModelShape, formats: Formats) -> KVCapacity:
        spec = self.spec
        try:
            return kv_capacity(
                model,
                self.accelerator,
                self.plan,
                formats,
                gpu_memory_utilization=spec.gpu_memory_utilization,
                block_size=spec.block_size,
                max_num_seqs=spec.max_num_seqs,
                max_num_batched_tokens=spec.max_num_batched_tokens,
                min_tokens=spec.max_model_len or 1,
                num_kv_tokens=spec.num_kv_tokens,
                by_layer=keeps_by_layer(spec),
            )
        except DoesNotFitError as error:
            where = f"fleet pool '{self.pool.name}'"
            problems = [Problem(where, problem.message) for problem in error.problems]
            raise DoesNotFitError(problems, hint=error.hint) from None

    def _longest(self) -> int:
        """Tokens of the longest request that the pool holds alone, in whole blocks and beside what is set aside.

        Raises:
            DoesNotFitError: Not even one block.
        """
        if self.capacity.layout:
            return self.capacity.longest
        kv = self._new_kv(self.pool_tokens)
        if not kv.num_blocks:
            raise DoesNotFitError(
                Problem(
                    f"fleet pool '{self.pool.name}'",
                    f"kv_cache '{self.spec.kv_cache.kind}' has no block of {kv.block_size:,} tokens in a KV pool of "
                    f"{self.pool_tokens:,}{self._set_aside()}; enlarge the pool, or change what takes it",
                )
            )
        return kv.num_tokens

    def _too_long(self, longest: int) -> DoesNotFitError:
        """Why ``max_model_len`` cannot be."""
        return DoesNotFitError(
            Problem(
                f"fleet pool '{self.pool.name}'",
                f"max_model_len is {self.max_model_len:,} tokens, but of {self.pool_tokens:,} in the KV pool one "
                f"request can have {longest:,}{self._set_aside()}; lower it, or enlarge the pool",
            )
        )

    def _set_aside(self) -> str:
        """What of the pool requests cannot have, in words; empty where that is less than a block."""
        taken = self.spec.set_aside_tokens
        return f" ({taken:,} are store_tokens)" if taken else ""

    def _new_kv(self, max_model_len: int) -> KVCache:
        """The pool's KV cache as it comes, without what it works with."""
        layout, kinds = self.capacity.layout, plugins.KV_CACHES
        if self.spec.kv_tiers:
            kinds = plugins.TIERED_CACHES
        elif self.spec.enable_prefix_caching:
            kinds = plugins.PREFIX_CACHES
        elif layout:
            kinds = plugins.HYBRID_CACHES
        kv_class = kinds.get(self.spec.kv_cache.kind)
        kv: KVCache = kv_class(
            self.pool_tokens,
            self.spec.block_size,
            max_model_len,
            options_of(kv_class, self.spec.kv_cache),
            **({"layout": layout, "num_blocks": self.capacity.num_blocks} if layout else {}),
        )
        return kv

    def _kv_cache(self) -> KVCache:
        kv = self._new_kv(self.max_model_len)
        kv.preemption = self._preemption()
        if isinstance(kv, SegmentReuse):
            kv.way = Pipe(self._tokens_per_s(kv.store_in))
        if not kv.num_blocks:
            raise DoesNotFitError(
                Problem(
                    f"fleet pool '{self.pool.name}'",
                    f"a KV pool of {self.pool_tokens:,} tokens holds no {self.spec.kv_cache.kind} reservation of "
                    f"{kv.block_size:,} tokens (max_model_len {self.max_model_len:,}); lower max_model_len",
                )
            )
        return kv

    def _preemption(self) -> Recompute:
        mode: type[Recompute] = plugins.PREEMPTION_MODES.get(self.spec.preemption_mode.kind)
        host = self._host_memory() if mode.uses_host else HOST
        return mode(host, options_of(mode, self.spec.preemption_mode))

    def _host_memory(self) -> HostMemory:
        """The hosts of a replica's accelerators. Raises ScenarioError where the catalogue knows no way to one."""
        pace_s = 0.0
        sizes = [stage.block_bytes / self.capacity.block_size for stage in self.capacity.stages]
        for stage, size in enumerate(sizes):
            device = self.plan.accelerator_of(stage, self.accelerator)
            if device.host_link_bytes_per_s is None:
                problem = Problem(
                    f"fleet pool '{self.pool.name}'",
                    f"preemption_mode '{self.spec.preemption_mode.kind}' moves KV to host memory, and the catalogue "
                    f"has no host_link_bytes_per_s for {device.name}; take recompute",
                )
                raise ScenarioError(problem)
            pace_s = max(pace_s, size / device.host_link_bytes_per_s)
        total = self.kv_bytes_per_token
        return HostMemory(total, total / pace_s, max(sizes) / total) if total else HOST

    def _tokens_per_s(self, store: str) -> float:
        """Tokens of KV that go from ``store`` into prompts in a second: each device copies its part, all at once.

        Raises:
            ScenarioError: The catalogue knows no way from the host to an accelerator.
        """
        slowest = inf
        for stage in self.capacity.stages:
            device = self.plan.accelerator_of(stage.stage, self.accelerator)
            rate = device.memory_bytes_per_s / 2 if store == "gpu" else device.host_link_bytes_per_s
            if rate is None:
                problem = Problem(
                    f"fleet pool '{self.pool.name}'",
                    f"segments come from host memory, and the catalogue has no host_link_bytes_per_s for "
                    f"{device.name}; write `store: gpu`",
                )
                raise ScenarioError(problem)
            if stage.block_bytes:
                slowest = min(slowest, rate * self.capacity.block_size / stage.block_bytes)
        return slowest

    def _arithmetic(self, capacity: KVCapacity) -> str:
        if capacity.given:
            return f"{self.pool_tokens:,} tokens, set by num_kv_tokens"
        if capacity.layout:
            return f"{capacity.tightest.in_words()} = {capacity.num_blocks:,} blocks"
        return f"{capacity.tightest.in_words()} = {capacity.num_tokens:,} tokens"

    def _layout_in_words(self) -> str:
        capacity, layout = self.capacity, self.capacity.layout
        if layout is None:
            return ""
        most = layout.concurrency(capacity.num_blocks, self.max_model_len)
        return (
            f"{capacity.num_blocks:,} blocks for {layout.in_words()}; {most:.2f} sequences of {self.max_model_len:,} "
            "tokens a replica"
        )


def options_of(policy: type, ref: PolicyRef) -> Any:
    """The checked options of ``ref``, as the policy's own class; None when it has none."""
    options = getattr(policy, "Options", None)
    return options.model_validate(ref.options) if options else None


def refuse_what_can_never_run(loaded: LoadedScenario, plans: Sequence[PoolPlan]) -> None:
    """Raise ScenarioError for a fixed length that no pool can ever serve: a mistake, not a result."""
    workload = loaded.scenario.workload
    prompt, output = workload.input_tokens, workload.output_tokens
    if not isinstance(prompt, int) or not isinstance(output, int):
        return
    prompt += workload.prefix_tokens
    engines = [plan.engine(0, StepLog(), fast_forward=True) for plan in plans]
    refusals = [engine.refusal(Request(0, 0.0, prompt, output)) for engine in engines]
    if all(refusals):
        longest = max(engine.kv.max_model_len for engine in engines)
        raise ScenarioError(
            Problem(
                "workload",
                f"{prompt:,} input and {output:,} output tokens can never run: {refusals[0]} ({longest:,} tokens "
                "at most, or what the KV pool holds); shorten them, or give the pool more room",
            )
        )
