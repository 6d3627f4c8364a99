"""Prefill context parallelism: every prompt, and every context's KV, shared by ``p`` devices.

Prefill is ring attention (arXiv 2310.01889): each device has 1/p of a chunk's queries and of its keys
and values, the latter travel p−1 hops, each behind the attention of the block that came before. Every
query block attends to as many pairs (interleaved parts, as vLLM deals them). Decoding tokens are computed by all p
alike, each attends to its own part of the KV, and the partial results are merged
(vLLM pull request 28718).
"""

from __future__ import annotations

from collections.abc import Iterator

from llmsim.cost import collectives
from llmsim.cost.attention import PricedAttention
from llmsim.cost.lowering import Lowering
from llmsim.cost.ops import Needs, Op, Work
from llmsim.cost.optable import AttentionOp
from llmsim.cost.roofline_stage import RooflineStage
from llmsim.spec.mixer import share


class RingAttention(PricedAttention):
    """One attention operator on one of ``p`` devices."""

    def __init__(self, op: AttentionOp, low: Lowering) -> None:
        super().__init__(op, low)
        self._whole = PricedAttention(op, low)
        self.devices = devices = low.plan.prefill_context_parallel_size
        self.kv_memory_s /= devices
        self.kv_compute_s /= devices
        machine = low.machine.every(low.tp)
        nodes = (machine, machine) if devices > machine.num_devices else ()
        self._hop = collectives.send(low.efficiency, low.accelerator, 1, *nodes)

    def chunk_needs(self, new_tokens: int, cached: int) -> Needs:
        """Seconds of a prefill chunk, by resource: ``block + (p−1)·max(block, hop)`` is their maximum.

        The usual ``p·max(block, hop)`` has one hop more, after the last block.
        """
        p, whole = self.devices, self._whole
        start = self.chunk_start_s
        read = self.op.span.prefill_read(new_tokens, cached)
        compute, memory, *_ = whole.chunk_needs(new_tokens, cached)
        compute = (compute - start) / p
        memory = max((memory - start) / p, read * whole.kv_memory_s - self.cached_s)
        block = start + max(compute, memory) / p
        hops = (p - 1) * self._hop.seconds(read / p * self.op.kv_bytes) if p > 1 else 0.0
        return Needs(p * start + compute, p * start + memory, block + hops)

    def chunk_work(self, new_tokens: int, cached: int) -> Work:
        """FLOPs and bytes of a prefill chunk: its part of the queries, all keys and values."""
        work = self._whole.chunk_work(new_tokens, cached)
        p = self.devices
        return work._replace(
            flops=work.flops / p,
            activation_bytes=work.activation_bytes / p,
            wire_bytes=(p - 1) / p * work.kv_read_bytes,
        )

    def decode_work(self, sequences: int, kv_tokens: int) -> Work:
        """FLOPs and bytes of a decode iteration."""
        work = super().decode_work(sequences, kv_tokens)
        p = self.devices
        return work._replace(flops=work.flops / p, kv_read_bytes=work.kv_read_bytes / p)

    def summed_work(self, pairs: float, kv_tokens: float) -> Work:
        """FLOPs and KV bytes of all layers, from sums over many chunks and sequences."""
        return super().summed_work(pairs, kv_tokens).times(1 / self.devices)


class RingStage(RooflineStage):
    """A pipeline stage whose prompts are shared by ``p`` devices.

    A device computes ``B + ⌈(T − B)/p⌉`` of T tokens: one of each of B sequences, which is all there is
    of a decoding one, and its part of the prompts.
    """

    attention_class = RingAttention

    def _own(self, tokens: int, sequences: int) -> int:
        return sequences + share(tokens - sequences, self.ring_devices) if tokens > sequences else tokens

    def tokens_s(self, tokens: int, logit_rows: int, sequences: int) -> float:
        """See :class:`llmsim.cost.stage.StageCost`."""
        return super().tokens_s(self._own(tokens, sequences), logit_rows, sequences)

    def floor(self) -> None:
        """See :class:`llmsim.cost.stage.StageCost`. Its price is no sum of terms of one count each."""

    def _counts(self, tokens: int, logit_rows: int, sequences: int) -> Iterator[tuple[Op, int]]:
        return super()._counts(self._own(tokens, sequences), logit_rows, sequences)
