"""How fast a server is, as its operator has measured it: one request alone."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from llmsim.cost.stage import StageCost

KEPT = 1 << 16
"""Prompt lengths whose time is remembered."""


class Profile:
    """Seconds of a request that has the server to itself: what FastServe, AlpaServe and Clipper measure beforehand.

    Args:
        stages: Price of each pipeline stage; without any, nothing takes time.
        chunk_tokens: Most prompt tokens in an iteration.
    """

    def __init__(self, stages: Sequence[StageCost] = (), chunk_tokens: int = 2048) -> None:
        self._stages = stages
        self._chunk_tokens = chunk_tokens
        self.prefill_s = lru_cache(KEPT)(self._prefill_s)
        """Seconds from the start of a prompt of so many tokens until its first output token. Pure query."""

    def _prefill_s(self, tokens: int, computed: int = 0) -> float:
        seconds = 0.0
        while computed < tokens:
            count = min(self._chunk_tokens, tokens - computed)
            for stage in self._stages:
                seconds += max(stage.chunk_s(count, computed) + stage.tokens_s(count, 1, 1), _host_s(stage))
            computed += count
        return seconds

    def decode_s(self, context: int) -> float:
        """Seconds of one output token after ``context`` tokens. Pure query."""
        seconds = 0.0
        for stage in self._stages:
            reads = [span.read(context) for span in stage.spans]
            slopes = [span.slope(context) for span in stage.spans]
            device_s = stage.tokens_s(1, 1, 1) + stage.decode_line(1, reads, slopes).first_s
            seconds += max(device_s, _host_s(stage))
        return seconds


def _host_s(stage: StageCost) -> float:
    """What an asynchronous engine's host takes at least for a batch of one."""
    return sum(stage.hidden_host_s) if stage.hidden_host_s is not None else 0.0
