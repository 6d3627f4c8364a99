"""A pipeline that serves one batch at a time: the batch passes all stages before its next iteration begins."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from llmsim.cost.stage import DecodeLine, StageCost


class OneBatch(StageCost):
    """All stages of a pipeline as one, each idle while another one works.

    The engine of SpotServe (arXiv 2311.15566, §3.2), whose throughput is D · B / latency. Prompts of a batch pass in as
    many micro-batches as make it shortest: m of them take (stages + m − 1) / stages times what one takes in all stages.
    """

    def __init__(self, stages: Sequence[StageCost]) -> None:
        self.parts = stages
        self.spans = stages[0].spans

    def tokens_s(self, tokens: int, logit_rows: int, sequences: int) -> float:
        """See :class:`StageCost`."""
        whole_s = self._summed_s(tokens, logit_rows, sequences)
        if tokens <= sequences or len(self.parts) == 1:
            return whole_s
        return min(whole_s, *(seconds for _, seconds in self.in_micro_batches(tokens, sequences)))

    def in_micro_batches(self, tokens: int, sequences: int) -> Iterator[tuple[int, float]]:
        """(m, seconds) of prompts cut into m equal micro-batches, m a power of two. Pure query."""
        stages = len(self.parts)
        m = 1
        while sequences % m == 0 and tokens % m == 0:
            one_s = self._summed_s(tokens // m, sequences // m, sequences // m)
            yield m, one_s * (stages + m - 1) / stages
            m *= 2

    def _summed_s(self, tokens: int, logit_rows: int, sequences: int) -> float:
        return sum(stage.tokens_s(tokens, logit_rows, sequences) for stage in self.parts)

    def chunk_s(self, new_tokens: int, cached: int) -> float:
        """See :class:`StageCost`."""
        return sum(stage.chunk_s(new_tokens, cached) for stage in self.parts)

    def decode_line(self, sequences: int, kv_tokens: Sequence[int], growth: Sequence[int]) -> DecodeLine:
        """See :class:`StageCost`."""
        lines = [stage.decode_line(sequences, kv_tokens, growth) for stage in self.parts]
        return DecodeLine(
            sum(line.first_s for line in lines),
            sum(line.step_s for line in lines),
            min(line.valid_for for line in lines),
        )

    def bound_seconds(self, tokens: int, logit_rows: int, sequences: int) -> dict[str, float]:
        """See :class:`StageCost`."""
        return _added(stage.bound_seconds(tokens, logit_rows, sequences) for stage in self.parts)

    def chunk_bound_seconds(self, new_tokens: int, cached: int) -> dict[str, float]:
        """See :class:`StageCost`."""
        return _added(stage.chunk_bound_seconds(new_tokens, cached) for stage in self.parts)

    def decode_bound_seconds(self, sequences: int, kv_tokens: Sequence[int]) -> dict[str, float]:
        """See :class:`StageCost`."""
        return _added(stage.decode_bound_seconds(sequences, kv_tokens) for stage in self.parts)


def _added(parts: Iterable[dict[str, float]]) -> dict[str, float]:
    total: dict[str, float] = {}
    for part in parts:
        for name, seconds in part.items():
            total[name] = total.get(name, 0.0) + seconds
    return total
