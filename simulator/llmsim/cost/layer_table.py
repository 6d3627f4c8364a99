"""A cost model of measured layer times, for a model that somebody has timed."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from pydantic import Field

from llmsim.cost.plan import Formats, ParallelPlan
from llmsim.cost.stage import DecodeLine, StageCost
from llmsim.errors import Problem, ScenarioError
from llmsim.files.layer_times import LayerTimes, read_layer_times
from llmsim.spec.attention import FULL
from llmsim.spec.base import Strict
from llmsim.spec.hardware import Accelerator
from llmsim.spec.model import ModelShape


class TableOptions(Strict):
    """Options of ``cost_model: {kind: table}``."""

    path: str = Field(min_length=1, description="JSON of layer times, in the form of SpotServe's profiles")
    prompt_tokens: int = Field(
        512,
        ge=2,
        description="prompt length its prefills were timed with; other lengths count in proportion",
        json_schema_extra={"unit": "tokens"},
    )


class TableCost(StageCost):
    """``kind: table``: measured milliseconds per layer, by tensor-parallel degree and batch.

    Between two measured batches times are interpolated; beyond the largest they are refused. A stage
    computes ⌈layers / stages⌉ layers, as FasterTransformer does, which pads the last one. An iteration
    of T tokens for B sequences is (T − B) / (prompt length − 1) prompts, the rest decodes. Times do not depend on the
    context, which SpotServe's profiles do not vary.

    Attributes:
        padded_layers: A number of stages divides it.
        most_ranks: Largest tensor-parallel degree that is used.

    Source of the form, and of how its parts add up: SpotServe (Miao et al. 2024, ASPLOS, arXiv 2311.15566)
    and its artifact; Table 1 of the paper is reproduced to the millisecond.
    """

    Options = TableOptions

    @classmethod
    def stages(
        cls,
        options: TableOptions,
        model: ModelShape,
        accelerator: Accelerator,
        plan: ParallelPlan,
        formats: Formats,
        **_: object,
    ) -> list[TableCost]:
        """One per pipeline stage. Pure query.

        Raises:
            ScenarioError: The table is of another model, or has no such tensor-parallel degree.
        """
        times = read_layer_times(Path(options.path))
        problems = list(_problems(times, model, plan, options.path))
        if problems:
            raise ScenarioError(problems)
        return [cls(times, plan, stage, options.prompt_tokens) for stage in range(plan.num_stages)]

    def __init__(self, times: LayerTimes, plan: ParallelPlan, stage: int, prompt_tokens: int) -> None:
        self.spans = (FULL,)
        self.prompt_tokens = prompt_tokens
        self.padded_layers = times.padded_layers
        self.most_ranks = times.most_ranks
        ends = (stage == 0) + (stage == plan.num_stages - 1)
        hops = stage < plan.num_stages - 1
        count = -(-times.num_layers // plan.num_stages)
        layer = times.layers[plan.tp_of(stage)]
        self._prefill_s = {
            batch: times.factor
            * (count * one.prefill_s + hops * times.prefill_hop_s + ends * times.embedding_s.get(batch, 0.0))
            for batch, one in layer.items()
        }
        self._decode_s = {
            batch: times.factor * (count * one.decode_s + hops * times.decode_hop_s)
            for batch, one in layer.items()
        }

    def tokens_s(self, tokens: int, logit_rows: int, sequences: int) -> float:
        """See :class:`StageCost`. All of an iteration's time is here."""
        prompts = (tokens - sequences) / (self.prompt_tokens - 1)
        decodes = max(0.0, sequences - prompts)
        return interpolated(self._prefill_s, prompts) + (
            interpolated(self._decode_s, max(1.0, decodes)) if decodes > 1e-9 else 0.0
        )

    def chunk_s(self, new_tokens: int, cached: int) -> float:
        """See :class:`StageCost`."""
        return 0.0

    def decode_line(self, sequences: int, kv_tokens: Sequence[int], growth: Sequence[int]) -> DecodeLine:
        """See :class:`StageCost`."""
        return DecodeLine(0.0, 0.0)


def interpolated(seconds: Mapping[int, float], batch: float) -> float:
    """Seconds at ``batch`` on the line through the measured ones; below the smallest in proportion. Pure query.

    Args:
        seconds: By batch, in ascending order.

    Raises:
        ScenarioError: It is beyond the largest measured.
    """
    known = list(seconds)
    at = bisect_left(known, batch)
    if at == len(known):
        message = f"a batch of {batch:g} is beyond the table, which ends at {known[-1]}"
        raise ScenarioError(Problem("cost_model", f"{message}; lower engine.max_num_seqs"))
    high = known[at]
    if high == batch:
        return seconds[high]
    if not at:
        return seconds[high] * batch / high
    low = known[at - 1]
    return seconds[low] + (seconds[high] - seconds[low]) * (batch - low) / (high - low)


def _problems(times: LayerTimes, model: ModelShape, plan: ParallelPlan, path: str) -> Iterator[Problem]:
    """What keeps the table from pricing ``model`` under ``plan``."""
    if times.num_layers != model.num_layers:
        message = (
            f"{path} is of a model with {times.num_layers} layers, and {model.name} has {model.num_layers}"
        )
        yield Problem("cost_model.path", message)
    missing = sorted({plan.tp_of(stage) for stage in range(plan.num_stages)} - times.layers.keys())
    if missing:
        known = ", ".join(map(str, times.layers))
        message = f"{path} has no times for tensor_parallel_size {missing[0]}; it has {known}"
        yield Problem("cost_model.path", message)
