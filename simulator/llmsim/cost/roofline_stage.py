"""A pipeline stage priced operator by operator, with memory of what was asked.

Counts repeat and contexts grow steadily, so the two questions asked most are a dictionary look-up
(``tokens_s``) and a straight line (``decode_line``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from llmsim.cost.attention import AttentionCost, PricedAttention
from llmsim.cost.lowering import Lowering
from llmsim.cost.ops import Needs, Op, Work
from llmsim.cost.optable import StageTable
from llmsim.cost.rows import OpRow, attention_row, op_row
from llmsim.cost.stage import DecodeLine, StageCost

CHUNKS_REMEMBERED = 1 << 18
"""Distinct prefill chunks kept; beyond, they are priced anew."""


class _Memo(dict[int, float]):
    """Seconds by count, computed when first asked for."""

    def __init__(self, ops: Sequence[Op]) -> None:
        super().__init__()
        self._seconds: list[Callable[[int], float]] = [op.seconds for op in ops]

    def __missing__(self, count: int) -> float:
        self[count] = total = sum([seconds(count) for seconds in self._seconds])
        return total


class RooflineStage(StageCost):
    """One pipeline stage, priced operator by operator (F8).

    Attributes:
        table: Its operators.
        provenance: Where its efficiencies come from, for the report.
        peak_flops_per_s, hbm_bytes_per_s: Datasheet peaks of one device, for the ridge point.
    """

    attention_class = PricedAttention

    def __init__(self, table: StageTable, low: Lowering, peak_flops_per_s: float) -> None:
        self.table = table
        self.spans = table.spans
        self.provenance = low.efficiency.provenance
        self.peak_flops_per_s = peak_flops_per_s
        self.hbm_bytes_per_s = low.bytes_per_s
        self.num_devices = low.tp
        self.ring_devices = low.plan.prefill_context_parallel_size
        self._attention = AttentionCost(table.attention, len(table.spans), low, self.attention_class)
        # The engine asks for a line before every run: bound here, the question is one call, not two.
        self.decode_line = self._attention.decode_line  # type: ignore[method-assign, assignment]  # see above
        self._by_tokens = _Memo([op for op in table.ops if op.per == "tokens"])
        self._by_logit_rows = _Memo([op for op in table.ops if op.per == "logit_rows"])
        self._by_sequences = _Memo([op for op in table.ops if op.per == "sequences"])
        self._chunks: dict[tuple[int, int], float] = {}

    def tokens_s(self, tokens: int, logit_rows: int, sequences: int) -> float:
        """See :class:`StageCost`."""
        return self._by_tokens[tokens] + self._by_logit_rows[logit_rows] + self._by_sequences[sequences]

    def chunk_s(self, new_tokens: int, cached: int) -> float:
        """See :class:`StageCost`."""
        key = (new_tokens, cached)
        seconds = self._chunks.get(key)
        if seconds is None:
            seconds = self._attention.chunk_s(new_tokens, cached)
            if len(self._chunks) < CHUNKS_REMEMBERED:
                self._chunks[key] = seconds
        return seconds

    def decode_line(self, sequences: int, kv_tokens: Sequence[int], growth: Sequence[int]) -> DecodeLine:
        """See :class:`StageCost`."""
        return self._attention.decode_line(sequences, kv_tokens, growth)

    def floor(self) -> RooflineFloor | None:
        """See :class:`StageCost`."""
        tokens = (op.layers * op.least_s() for op in self.table.ops if op.per == "tokens")
        return RooflineFloor(sum(tokens), self._attention.read_planes(len(self.spans)), self._attention)

    def _counts(self, tokens: int, logit_rows: int, sequences: int) -> Iterator[tuple[Op, int]]:
        counts = {"tokens": tokens, "logit_rows": logit_rows, "sequences": sequences}
        return ((op, counts[op.per]) for op in self.table.ops if counts[op.per])

    def op_rows(
        self,
        tokens: int,
        logit_rows: int,
        sequences: int,
        *,
        chunks: Sequence[tuple[int, int]] = (),
        decoding: int = 0,
        kv_tokens: Sequence[int] = (),
    ) -> list[OpRow]:
        """One iteration operator by operator; the rows' times add up to the iteration's. Pure query.

        Args:
            tokens: T; logit_rows: S; sequences: B.
            chunks: (new tokens, cached tokens) of each prefill chunk.
            decoding: Sequences that decode.
            kv_tokens: Per span, KV tokens they read.
        """
        rows = [op_row(self.table.index, op, n) for op, n in self._counts(tokens, logit_rows, sequences)]
        for op in self._attention.ops if chunks else ():
            works = [op.chunk_work(*chunk) for chunk in chunks]
            needs = [op.chunk_needs(*chunk) for chunk in chunks]
            rows.append(attention_row(self.table.index, f"prefill_{op.op.name}", op.op.layers, works, needs))
        for op in self._attention.ops if decoding else ():
            kv = kv_tokens[op.op.span_index]
            works, needs = [op.decode_work(decoding, kv)], [op.decode_needs(decoding, kv)]
            rows.append(attention_row(self.table.index, f"decode_{op.op.name}", op.op.layers, works, needs))
        return rows

    def bound_seconds(self, tokens: int, logit_rows: int, sequences: int) -> dict[str, float]:
        """See :class:`StageCost`: compute, memory, network, launch, host; they add up to ``tokens_s``."""
        total = dict.fromkeys(Needs._fields, 0.0)
        for op, n in self._counts(tokens, logit_rows, sequences):
            needs = op.needs(n)
            total[needs.bound()] += op.layers * max(needs)
            total["launch"] += op.layers * op.floor_s
        return total

    def chunk_bound_seconds(self, new_tokens: int, cached: int) -> dict[str, float]:
        """See :class:`StageCost`."""
        return self._attention.bounds(
            [(op, op.chunk_needs(new_tokens, cached)) for op in self._attention.ops]
        )

    def decode_bound_seconds(self, sequences: int, kv_tokens: Sequence[int]) -> dict[str, float]:
        """See :class:`StageCost`."""
        ops = self._attention.ops
        return self._attention.bounds(
            [(op, op.decode_needs(sequences, kv_tokens[op.op.span_index])) for op in ops]
        )

    def iteration_work(
        self,
        tokens: int,
        logit_rows: int,
        sequences: int,
        prefill_pairs: float = 0,
        decode_kv_tokens: float = 0,
    ) -> Work:
        """FLOPs and bytes on one device, for energy (F12). Pure query.

        ``prefill_pairs`` and ``decode_kv_tokens`` count full attention; shorter spans are then
        overstated. Cached tokens that prefill chunks read again are not in these sums.
        """
        works = [op.work(n).times(op.layers) for op, n in self._counts(tokens, logit_rows, sequences)]
        works += [op.summed_work(prefill_pairs, decode_kv_tokens) for op in self._attention.ops]
        return Work(*(sum(column) for column in zip(*works, strict=True)))


class RooflineFloor(NamedTuple):
    """See :class:`~llmsim.cost.stage.StageFloor`: arithmetic without starts, tails or streaming."""

    token_s: float
    read_planes: Sequence[tuple[float, Sequence[float]]]
    attention: AttentionCost

    def prompt_s(self, new_tokens: int, cached: int) -> float:
        """See :class:`~llmsim.cost.stage.StageFloor`."""
        return self.attention.least_prompt_s(new_tokens, cached)
