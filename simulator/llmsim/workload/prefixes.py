"""Prefixes that prompts share, as chained hashes of their blocks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from llmsim.spec.prefixes import SharedPrefix
from llmsim.workload.lengths import Lengths, Take

BLOCK = 16
"""Tokens that a prefix is known in: the block of vLLM's KV cache, of which it shares whole ones only."""

LONGEST = 512
"""Most tokens that one hash stands for, as in Mooncake's traces; fewer hashes are less work."""


class Prefixes:
    """The prefixes of one group of requests.

    Hashes are negative, so that no session's are the same.

    Args:
        spec: What the workload says.
        group: Number of the group among those of the workload; its prefixes are its own.
        rng: Draws who has which.

    Attributes:
        tokens: Length of each.
        hash_tokens: Tokens that each hash stands for; whole hashes fill the whole blocks of a prefix.
    """

    def __init__(self, spec: SharedPrefix, group: int, rng: np.random.Generator) -> None:
        self.tokens = spec.tokens
        self.hash_tokens = hash_tokens(spec.tokens)
        self._count = spec.tokens // self.hash_tokens
        self._group = group
        self._rng = rng
        self._shares = np.cumsum(np.arange(1, spec.num_prefixes + 1, dtype=np.float64) ** -spec.zipf)
        self._known: dict[int, tuple[int, ...]] = {}

    def draw(self, n: int) -> list[tuple[int, ...]]:
        """The hashes of the next n requests' prefixes."""
        places = np.searchsorted(self._shares, self._rng.random(n) * self._shares[-1], side="right")
        return [self._hashes(place) for place in places.tolist()]

    def _hashes(self, prefix: int) -> tuple[int, ...]:
        if prefix not in self._known:
            first = (self._group << 50) + (prefix << 30)
            self._known[prefix] = tuple(-1 - (first + block) for block in range(self._count))
        return self._known[prefix]


def hash_tokens(tokens: int) -> int:
    """Tokens that each hash of a prefix of ``tokens`` should stand for: as many blocks as divide it, up to LONGEST."""
    blocks = tokens // BLOCK
    return BLOCK * max(size for size in range(1, LONGEST // BLOCK + 1) if blocks % size == 0)


def with_prefixes(start: Callable[[], Take], prefixes: Callable[[], Prefixes]) -> Callable[[], Take]:
    """The requests' lengths, with prefixes that some of them share."""

    def begin() -> Take:
        take, shared = start(), prefixes()

        def prefixed(n: int) -> Lengths:
            drawn = take(n)
            labels: dict[str, list[Any]] = {
                "hash_ids": shared.draw(n),
                "hash_tokens": [shared.hash_tokens] * n,
            }
            return drawn._replace(inputs=drawn.inputs + shared.tokens, labels=(drawn.labels or {}) | labels)

        return prefixed

    return begin
