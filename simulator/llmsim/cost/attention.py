"""Attention over the KV cache: chunks of prompts, and lines of decode iterations (F3, F4).

A kernel's start is charged once per iteration (``attention_start`` in the op table); here is what
grows with the work. Prefill's share of peak rises with the tokens a query attends to,
``x / (x + half_length)``, which adds ``half_length`` pairs per query. A chunk reads its context
once: the re-reads by further query tiles are served by L2 (kernel tables show no slowdown).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from llmsim.cost.lowering import Lowering
from llmsim.cost.ops import Needs, Work
from llmsim.cost.optable import AttentionOp
from llmsim.cost.stage import FOREVER, DecodeLine

Line = Callable[[int, Sequence[int], Sequence[int]], DecodeLine]


class PricedAttention:
    """One attention operator with its rates; costs are of one layer."""

    def __init__(self, op: AttentionOp, low: Lowering) -> None:
        self.op = op
        fit = low.efficiency
        bytes_per_s = low.bytes_per_s * fit.decode.memory
        flops_per_s = low.peak_flops_per_s * fit.prefill.compute
        self.half_length = fit.prefill.half_length
        self.pair_s = op.prefill_flops_per_pair / flops_per_s
        self.context_s = op.context_flops / flops_per_s
        self.kv_memory_s = op.kv_bytes / bytes_per_s
        self.kv_compute_s = op.flops_per_pair / flops_per_s
        self.query_s = op.query_bytes / bytes_per_s

    def chunk_needs(self, new_tokens: int, cached: int) -> Needs:
        """Seconds of a prefill chunk, by resource."""
        span = self.op.span
        pairs = span.pairs(new_tokens, cached) + self.half_length * new_tokens
        compute = pairs * self.pair_s + cached * self.context_s
        memory = span.prefill_read(new_tokens, cached) * self.kv_memory_s + new_tokens * self.query_s
        return Needs(compute, memory)

    def decode_needs(self, sequences: int, kv_tokens: int) -> Needs:
        """Seconds of a decode iteration, by resource."""
        return Needs(kv_tokens * self.kv_compute_s, kv_tokens * self.kv_memory_s + sequences * self.query_s)

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

    def __init__(self, ops: Sequence[AttentionOp], num_spans: int, low: Lowering) -> None:
        self.ops = [PricedAttention(op, low) for op in ops]
        self.decode_line: Line = self._line_function(num_spans)

    def chunk_s(self, new_tokens: int, cached: int) -> float:
        """Seconds of a prefill chunk over all layers. Pure query."""
        total = 0.0
        for priced in self.ops:
            op = priced.op
            span = op.span
            compute = (
                span.pairs(new_tokens, cached) + priced.half_length * new_tokens
            ) * priced.pair_s + cached * priced.context_s
            memory = span.prefill_read(new_tokens, cached) * priced.kv_memory_s + new_tokens * priced.query_s
            total += op.layers * (compute if compute > memory else memory)
        return total

    def _line_function(self, num_spans: int) -> Line:
        """The cheapest exact ``decode_line``: affine when no operator can turn compute-bound."""
        if any(priced.kv_compute_s > priced.kv_memory_s for priced in self.ops):
            return self._bent_line
        slopes = [0.0] * num_spans
        for priced in self.ops:
            slopes[priced.op.span_index] += priced.op.layers * priced.kv_memory_s
        per_sequence = sum(priced.op.layers * priced.query_s for priced in self.ops)
        if num_spans == 1:
            return _one_span_line(per_sequence, slopes[0])
        return _affine_line(per_sequence, slopes)

    def _bent_line(self, sequences: int, kv_tokens: Sequence[int], growth: Sequence[int]) -> DecodeLine:
        """Every operator on the arm that binds it now, until the first of them changes arms."""
        first = step = 0.0
        valid_for = FOREVER
        for priced in self.ops:
            op = priced.op
            kv, more = kv_tokens[op.span_index], growth[op.span_index]
            offset = sequences * priced.query_s
            lead = kv * (priced.kv_compute_s - priced.kv_memory_s) - offset
            drift = more * (priced.kv_compute_s - priced.kv_memory_s)
            compute_bound = lead > 0 or (lead == 0 and drift > 0)
            slope = priced.kv_compute_s if compute_bound else priced.kv_memory_s
            first += op.layers * (kv * slope + (0.0 if compute_bound else offset))
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


def _one_span_line(per_sequence: float, slope: float) -> Line:
    new = tuple.__new__  # a third of the cost of DecodeLine(...), which counts here

    def line(sequences: int, kv_tokens: Sequence[int], growth: Sequence[int]) -> DecodeLine:
        return new(DecodeLine, (per_sequence * sequences + slope * kv_tokens[0], slope * growth[0], FOREVER))

    return line


def _affine_line(per_sequence: float, slopes: Sequence[float]) -> Line:
    def line(sequences: int, kv_tokens: Sequence[int], growth: Sequence[int]) -> DecodeLine:
        first = per_sequence * sequences
        step = 0.0
        for slope, kv, more in zip(slopes, kv_tokens, growth, strict=True):
            first += slope * kv
            step += slope * more
        return DecodeLine(first, step)

    return line
