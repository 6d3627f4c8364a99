"""Segments that prompts are put together from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from llmsim.spec.segments import SharedSegments
from llmsim.workload.lengths import Lengths, Take

AT_ONCE = 1 << 20
"""Random numbers drawn at a time."""


class Segments:
    """Draws the segments of prompts.

    Args:
        spec: What the workload says.
        rng: Draws who has which.
    """

    def __init__(self, spec: SharedSegments, rng: np.random.Generator) -> None:
        self.tokens = spec.tokens * spec.per_prompt
        self._spec = spec
        self._rng = rng
        self._weights = -spec.zipf * np.log(np.arange(1, spec.num_segments + 1, dtype=np.float64))

    def draw(self, n: int) -> list[tuple[tuple[int, int], ...]]:
        """The (name, tokens) of the next n requests' segments, drawn one after another without return."""
        spec, rows = self._spec, max(1, AT_ONCE // self._spec.num_segments)
        drawn: list[tuple[tuple[int, int], ...]] = []
        for first in range(0, n, rows):
            shape = (min(rows, n - first), spec.num_segments)
            keys = self._weights + self._rng.gumbel(size=shape)  # the largest are such a draw (Gumbel-top-k)
            order = np.argsort(-keys, axis=1)[:, : spec.per_prompt]
            drawn += [tuple((name, spec.tokens) for name in row) for row in order.tolist()]
        return drawn


def with_segments(start: Callable[[], Take], segments: Callable[[], Segments]) -> Callable[[], Take]:
    """The requests' lengths, with segments."""

    def begin() -> Take:
        take, shared = start(), segments()

        def joined(n: int) -> Lengths:
            drawn = take(n)
            labels: dict[str, list[Any]] = {"segments": shared.draw(n)}
            return drawn._replace(inputs=drawn.inputs + shared.tokens, labels=(drawn.labels or {}) | labels)

        return joined

    return begin
