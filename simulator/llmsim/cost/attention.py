"""Attention over the KV cache: chunks of prompts, and lines of decode iterations (F3, F4).

The start that prefill's and decode's kernels share is charged once per iteration
(``attention_start`` in the op table); here is what either takes longer to start, and what grows with
the work. Prefill's share of peak rises with the tokens a query attends to,
``x / (x + half_length)``, which adds ``half_length`` pairs per query. A chunk reads its context
once: the re-reads by further query tiles are served by L2 (kernel tables show no slowdown).
Each sequence's KV head is a work item of its own, which a multiprocessor takes ``sequence_s`` to start.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from llmsim.cost.lowering import Lowering
from llmsim.cost.ops import Needs, Work
from llmsim.cost.optable import AttentionOp
from llmsim.cost.products import hidden
from llmsim.cost.stage import FOREVER, DecodeLine

QUERY_TILE_ROWS = 128
"""Query rows that one thread block of FlashAttention 2 and 3 holds."""

CACHED_SHARE = 0.25
"""Share of L2 in which a prefill kernel finds queries and keys that were just written."""

Line = Callable[[int, Sequence[int], Sequence[int]], DecodeLine]


class PricedAttention:
    """One attention operator with its rates; costs are of one layer."""

    def __init__(self, op: AttentionOp, low: Lowering) -> None:
        self.op = op
        fit, decode = low.efficiency, low.efficiency.decode_for(low.formats.kv)
        bytes_per_s = low.bytes_per_s * decode.memory
        flops_per_s = low.peak_flops_per_s * fit.prefill.compute
        sms = low.num_sms
        self.half_length, self.overlap = fit.prefill.half_length, fit.prefill.overlap
        self.pair_s = op.prefill_flops_per_pair / flops_per_s
        self.tail_s = fit.prefill.tail * self.pair_s * sms / op.num_heads
        self.context_s = op.context_flops / flops_per_s
        self.kv_memory_s = op.kv_bytes / bytes_per_s
        self.kv_compute_s = op.flops_per_pair / flops_per_s
        self.query_s = op.query_bytes / bytes_per_s
        self.cached_s = CACHED_SHARE * (low.accelerator.l2_bytes or 0.0) / bytes_per_s
        floors = low.attention_floors_s
        self.chunk_start_s, self.decode_start_s = (floor - min(floors) for floor in floors)
        self.sequence_s = self.query_s + decode.sequence_s * op.kv_heads / sms

    def chunk_needs(self, new_tokens: int, cached: int) -> Needs:
        """Seconds of a prefill chunk, by resource.

        The last query tile of a head runs alone on its multiprocessor: ``tail_s`` for each of its pairs.
        """
        span = self.op.span
        read = span.prefill_read(new_tokens, cached)
        last_tile = min(new_tokens, QUERY_TILE_ROWS) * min(read, span.size or read)
        compute = (
            (span.pairs(new_tokens, cached) + self.half_length * new_tokens) * self.pair_s
            + last_tile * self.tail_s
            + cached * self.context_s
        )
        start = self.chunk_start_s
        memory = max(0.0, read * self.kv_memory_s + new_tokens * self.query_s - self.cached_s)
        compute, memory = hidden(compute, memory, self.overlap)
        return Needs(start + compute, start + memory)

    def decode_needs(self, sequences: int, kv_tokens: int) -> Needs:
        """Seconds of a decode iteration, by resource."""
        start = self.decode_start_s
        memory = kv_tokens * self.kv_memory_s + sequences * self.sequence_s
        return Needs(start + kv_tokens * self.kv_compute_s, start + memory)

    def least_prompt_s(self, new_tokens: int, cached: int) -> float:
        """Arithmetic of a prompt's pairs, the same however it is cut into chunks. Pure query."""
        return (self.op.span.pairs(new_tokens, cached) + self.half_length * new_tokens) * self.pair_s

    def chunk_work(self, new_tokens: int, cached: int) -> Work:
        """FLOPs and bytes of a prefill chunk."""
        op, span = self.op, self.op.span
        flops = span.pairs(new_tokens, cached) * op.prefill_flops_per_pair + cached * op.context_flops
        kv_read = span.prefill_read(new_tokens, cached) * op.kv_bytes
        return Work(flops, activation_bytes=new_tokens * op.query_bytes, kv_read_bytes=kv_read)

    def decode_work(self, sequences: int, kv_tokens: int) -> Work:
        """FLOPs and bytes of a decode iteration."""
        op = self.op
        activation = sequences * op.query_bytes
        return Work(
            kv_tokens * op.flops_per_pair, activation_bytes=activation, kv_read_bytes=kv_tokens * op.kv_bytes
        )

    def summed_work(self, pairs: float, kv_tokens: float) -> Work:
        """FLOPs and KV bytes of all layers, from sums over many chunks and sequences."""
        op = self.op
        flops = pairs * op.prefill_flops_per_pair + kv_tokens * op.flops_per_pair
        return Work(flops, kv_read_bytes=kv_tokens * op.kv_bytes).times(op.layers)


class AttentionCost:
    """All attention operators of a stage."""

    def __init__(
        self,
        ops: Sequence[AttentionOp],
        num_spans: int,
        low: Lowering,
        priced: type[PricedAttention] = PricedAttention,
    ) -> None:
        self.ops = [priced(op, low) for op in ops]
        self.decode_line: Line = self._line_function(num_spans)

    def chunk_s(self, new_tokens: int, cached: int) -> float:
        """Seconds of a prefill chunk over all layers. Pure query."""
        return sum(priced.op.layers * max(priced.chunk_needs(new_tokens, cached)) for priced in self.ops)

    def least_prompt_s(self, new_tokens: int, cached: int) -> float:
        """Seconds over all layers that no way of cutting a prompt undercuts. Pure query."""
        return sum(priced.op.layers * priced.least_prompt_s(new_tokens, cached) for priced in self.ops)

    def read_planes(self, num_spans: int) -> list[tuple[float, tuple[float, ...]]]:
        """(seconds per sequence, per KV token of each span) if memory binds throughout, or arithmetic. Pure query."""
        memory, compute, per_sequence = [0.0] * num_spans, [0.0] * num_spans, 0.0
        for priced in self.ops:
            memory[priced.op.span_index] += priced.op.layers * priced.kv_memory_s
            compute[priced.op.span_index] += priced.op.layers * priced.kv_compute_s
            per_sequence += priced.op.layers * priced.sequence_s
        return [(per_sequence, tuple(memory)), (0.0, tuple(compute))]

    def _line_function(self, num_spans: int) -> Line:
        """The cheapest exact ``decode_line``: affine when no operator can turn compute-bound."""
        if any(priced.kv_compute_s > priced.kv_memory_s for priced in self.ops):
            return self._bent_line
        slopes = [0.0] * num_spans
        for priced in self.ops:
            slopes[priced.op.span_index] += priced.op.layers * priced.kv_memory_s
        per_sequence = sum(priced.op.layers * priced.sequence_s for priced in self.ops)
        start = sum(priced.op.layers * priced.decode_start_s for priced in self.ops)
        if num_spans == 1:
            return _one_span_line(start, per_sequence, slopes[0])
        return _affine_line(start, per_sequence, slopes)

    def _bent_line(self, sequences: int, kv_tokens: Sequence[int], growth: Sequence[int]) -> DecodeLine:
        """Every operator on the arm that binds it now, until the first of them changes arms."""
        first = step = 0.0
        valid_for = FOREVER
        for priced in self.ops:
            op = priced.op
            kv, more = kv_tokens[op.span_index], growth[op.span_index]
            offset = sequences * priced.sequence_s
            lead = kv * (priced.kv_compute_s - priced.kv_memory_s) - offset
            drift = more * (priced.kv_compute_s - priced.kv_memory_s)
            compute_bound = lead > 0 or (lead == 0 and drift > 0)
            slope = priced.kv_compute_s if compute_bound else priced.kv_memory_s
            first += op.layers * (priced.decode_start_s + kv * slope + (0.0 if compute_bound else offset))
            step += op.layers * more * slope
            if lead * drift < 0:
                valid_for = min(valid_for, int(-lead / drift) + 1)
        return DecodeLine(first, step, valid_for)

    @staticmethod
    def bounds(costs: Iterable[tuple[PricedAttention, Needs]]) -> dict[str, float]:
        """Seconds by the resource that binds each operator. Pure query."""
        total = dict.fromkeys(Needs._fields, 0.0)
        for priced, needs in costs:
            total[needs.bound()] += priced.op.layers * max(needs)
        return total


def _one_span_line(start: float, per_sequence: float, slope: float) -> Line:
    new = tuple.__new__  # a third of the cost of DecodeLine(...), which counts here

    def line(sequences: int, kv_tokens: Sequence[int], growth: Sequence[int]) -> DecodeLine:
        first = start + per_sequence * sequences + slope * kv_tokens[0]
        return new(DecodeLine, (first, slope * growth[0], FOREVER))

    return line


def _affine_line(start: float, per_sequence: float, slopes: Sequence[float]) -> Line:
    def line(sequences: int, kv_tokens: Sequence[int], growth: Sequence[int]) -> DecodeLine:
        first = start + per_sequence * sequences
        step = 0.0
        for slope, kv, more in zip(slopes, kv_tokens, growth, strict=True):
            first += slope * kv
            step += slope * more
        return DecodeLine(first, step)

    return line
