"""A cost model of five numbers, for measured lines and for queueing theory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from pydantic import Field

from llmsim.cost.plan import Formats, ParallelPlan
from llmsim.cost.stage import DecodeLine, StageCost
from llmsim.spec.attention import FULL
from llmsim.spec.base import Strict
from llmsim.spec.hardware import Accelerator
from llmsim.spec.model import ModelShape


class LinearOptions(Strict):
    """Coefficients of ``seconds = a + b·tokens + c·sequences + d·prefill pairs + e·KV tokens read``."""

    iteration_s: float = Field(0.0, ge=0, description="seconds of any iteration")
    per_token_s: float = Field(0.0, ge=0, description="seconds per new token")
    per_sequence_s: float = Field(0.0, ge=0, description="seconds per sequence in the batch")
    per_prefill_pair_s: float = Field(0.0, ge=0, description="seconds per query-key pair of a prefill chunk")
    per_decode_kv_token_s: float = Field(0.0, ge=0, description="seconds per KV token that decoding reads")


class LinearCost(StageCost):
    """``kind: linear``. DistServe's fitted lines (arXiv 2401.09670) have this form."""

    Options = LinearOptions

    @classmethod
    def stages(
        cls,
        options: LinearOptions,
        model: ModelShape,
        accelerator: Accelerator,
        plan: ParallelPlan,
        formats: Formats,
        **_: object,
    ) -> list[LinearCost]:
        """One line per pipeline stage, each with its layers' share of the given one. Pure query."""
        counts = plan.layer_counts(model.num_layers)
        shares = [count / sum(counts) for count in counts]
        return [
            cls(LinearOptions(**{name: value * share for name, value in options.model_dump().items()}))
            for share in shares
        ]

    def __init__(self, options: LinearOptions) -> None:
        self.options = options
        self.spans = (FULL,)

    def tokens_s(self, tokens: int, logit_rows: int, sequences: int) -> float:
        """See :class:`StageCost`."""
        o = self.options
        return o.iteration_s + o.per_token_s * tokens + o.per_sequence_s * sequences

    def chunk_s(self, new_tokens: int, cached: int) -> float:
        """See :class:`StageCost`."""
        return self.options.per_prefill_pair_s * FULL.pairs(new_tokens, cached)

    def decode_line(self, sequences: int, kv_tokens: Sequence[int], growth: Sequence[int]) -> DecodeLine:
        """See :class:`StageCost`."""
        per_token_s = self.options.per_decode_kv_token_s
        return DecodeLine(per_token_s * kv_tokens[0], per_token_s * growth[0])

    def floor(self) -> LinearFloor:
        """See :class:`StageCost`."""
        o = self.options
        return LinearFloor(o.per_token_s, ((0.0, (o.per_decode_kv_token_s,)),), o.per_prefill_pair_s)


class LinearFloor(NamedTuple):
    """See :class:`~llmsim.cost.stage.StageFloor`: a line is its own floor."""

    token_s: float
    read_planes: Sequence[tuple[float, Sequence[float]]]
    pair_s: float

    def prompt_s(self, new_tokens: int, cached: int) -> float:
        """See :class:`~llmsim.cost.stage.StageFloor`. Cut or not, the pairs are the same."""
        return self.pair_s * FULL.pairs(new_tokens, cached)
