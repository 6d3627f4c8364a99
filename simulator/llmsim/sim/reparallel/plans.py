"""What each pipeline of a pool's mesh costs and holds: the oracle of its choices."""

from __future__ import annotations

from math import ceil, inf

from llmsim.cost.footprint import block_bytes, layer_weight_bytes
from llmsim.cost.one_batch import OneBatch
from llmsim.cost.plan import Formats
from llmsim.errors import DoesNotFitError, ScenarioError
from llmsim.files.scenario_file import LoadedScenario
from llmsim.sim.build import PoolPlan
from llmsim.sim.parallel import demand_of
from llmsim.sim.reparallel.choose import Space
from llmsim.sim.reparallel.mesh import ModelBytes

MOST_RANKS = 8
"""Largest tensor-parallel degree where the cost model has no limit of its own: as in SpotServe's profiles."""


class Plans:
    """The pool as a pipeline of so many stages and ranks, each made when first asked for.

    The pool's own plan is the smallest pipeline there may be. A request is of the workload's mean lengths.

    Args:
        as_published: Estimate a prefill by the formula of SpotServe's artifact, which divides its time by the
            micro-batches it passes in.

    Attributes:
        model: Bytes to hold.
        context_tokens: Tokens of a request at its end.
    """

    def __init__(self, loaded: LoadedScenario, plan: PoolPlan, *, as_published: bool = False) -> None:
        self._loaded, self._pool, self._as_published = loaded, plan.pool, as_published
        self._known: dict[tuple[int, int], PoolPlan | None] = {}
        self._latency_s: dict[tuple[int, int, int], float | None] = {}
        self._demand = demand_of(loaded, plan.pool)
        self.context_tokens = ceil(self._demand.input_tokens + self._demand.output_tokens)
        shape = loaded.model_of(plan.pool)
        spec = plan.spec
        formats = Formats.resolve(
            shape, dtype=spec.dtype, kv_cache_dtype=spec.kv_cache_dtype, quantization=spec.quantization
        )
        layers = [
            layer_weight_bytes(group, shape, formats, 1) for group in shape.layers for _ in range(group.count)
        ]
        ends = plan.weight_bytes - sum(layers)
        layers[0] += ends / 2
        layers[-1] += ends / 2
        self.model = ModelBytes(layers, block_bytes(shape.layers, formats, 1, 1) / len(layers))
        self.batch = plan.spec.max_num_seqs
        self.space = Space(
            layers=getattr(plan.stages[0], "padded_layers", len(layers)),
            most_ranks=getattr(plan.stages[0], "most_ranks", MOST_RANKS),
            most_batch=self.batch,
            least_devices=plan.plan.num_devices,
            batches=True,
            is_even=hasattr(plan.stages[0], "padded_layers"),
        )

    def of(self, stages: int, ranks: int) -> PoolPlan | None:
        """The pool with such a pipeline; None where it does not fit, or cannot be priced."""
        key = stages, ranks
        if key not in self._known:
            cut = {"tensor_parallel_size": ranks, "pipeline_parallel_size": stages, "pipeline_layers": None}
            try:
                made = PoolPlan(self._loaded, self._pool.model_copy(update=cut))
            except (DoesNotFitError, ScenarioError):
                self._known[key] = None
            else:
                made.stages = [OneBatch(made.stages)]
                self._known[key] = made
        return self._known[key]

    def latency_s(self, stages: int, ranks: int, batch: int) -> float | None:
        """Seconds of a full batch, from its first prompt token to its last output token; None: does not fit."""
        key = stages, ranks, batch
        if key not in self._latency_s:
            plan = self.of(stages, ranks)
            fits = plan is not None and plan.pool_tokens >= batch * self.context_tokens
            self._latency_s[key] = self._request_s(plan, batch) if plan and fits else None
        return self._latency_s[key]

    def _request_s(self, plan: PoolPlan, batch: int) -> float:
        prompt, outputs = round(self._demand.input_tokens), self._demand.output_tokens
        (stage,) = plan.stages
        assert isinstance(stage, OneBatch)
        prompt_s = stage.tokens_s(batch * prompt, batch, batch)
        if self._as_published:
            prompt_s = min(seconds / m for m, seconds in stage.in_micro_batches(batch * prompt, batch))
        prompt_s += batch * stage.chunk_s(prompt, 0)
        return prompt_s + outputs * self.decode_s(plan, batch)

    def decode_s(self, plan: PoolPlan, batch: int) -> float:
        """One iteration in the middle of the output. Pure query."""
        (stage,) = plan.stages
        context = int(self._demand.input_tokens + self._demand.output_tokens / 2)
        reads = [batch * span.read(context) for span in stage.spans]
        return stage.tokens_s(batch, batch, batch) + stage.decode_line(batch, reads, [0] * len(reads)).first_s

    def buffer_bytes(self, stages: int, ranks: int) -> float:
        """What a device of such a pipeline has left for weights on their way. Pure query."""
        plan = self.of(stages, ranks)
        if plan is None or plan.capacity.given:
            return inf
        tight = plan.capacity.tightest
        blocks = plan.capacity.num_blocks / plan.capacity.sequences(self.context_tokens)
        return max(0.0, tight.kv_bytes - self.batch * blocks * tight.pool_block_bytes)
