"""What an iteration of one pipeline stage costs at least, whatever else is in it.

``tokens_s(T, B, B)`` of a stage with a floor is ``u(T) + v(B)``. Here are both as tables over every T and
B that the engine's limits allow, as the least of all larger ones, for an iteration always holds at
least what one looks at. No assumption on their shape is made: kernels in waves are not monotone.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from llmsim.cost.stage import StageCost, StageFloor

Floats = npt.NDArray[np.float64]

MOST_TOKENS = 4096
"""Iterations up to this many tokens are priced one by one; larger ones by the floor per token."""


@dataclass(frozen=True)
class Limits:
    """What the engine lets into one iteration.

    Attributes:
        tokens: Most new tokens; None where nothing limits them.
        sequences: Most sequences.
        kv_tokens: Most tokens that decoding sequences attend to together; None where that is not known.
    """

    tokens: int | None
    sequences: int
    kv_tokens: int | None


class Iterations:
    """The least cost of one stage's iterations.

    Args:
        stage, floor: Its cost, and what of it no batch undercuts.
        limits: Of one iteration.
    """

    def __init__(self, stage: StageCost, floor: StageFloor, limits: Limits) -> None:
        self.floor = floor
        self.limits = limits
        most = min(limits.tokens or MOST_TOKENS, MOST_TOKENS)
        self.is_open = limits.tokens is None or limits.tokens > most
        """Whether larger iterations than those of the table may happen."""
        first = stage.tokens_s(1, 1, 1)
        self.tokens_s: Floats = np.array([stage.tokens_s(count, 1, 1) for count in range(1, most + 1)])
        """u(T) of T = 1, 2, …, shape (most,)."""
        own = [stage.tokens_s(1, count, count) - first for count in range(1, limits.sequences + 1)]
        self.sequences_s: Floats = _least_from(np.array(own))
        """The least v(B) of any B from 1, 2, … on, shape (sequences,)."""
        self.hidden_s = sum(stage.hidden_host_s) if stage.hidden_host_s else 0.0

    def beyond_s(self, per_token_s: float) -> float:
        """The least ``u(T) − per_token_s·T`` of iterations beyond the table. Pure query."""
        if not self.is_open:
            return float("inf")
        spare = self.floor.token_s - per_token_s
        return spare * (len(self.tokens_s) + 1) if spare >= 0 else -float("inf")

    @cached_property
    def least_s(self) -> float:
        """Of any iteration, attention left out."""
        return min(float(self.tokens_s.min()), self.beyond_s(0.0)) + float(self.sequences_s[0])

    def relieved_s(self, per_token_s: float) -> Floats:
        """The least ``u(T') − per_token_s·T'`` over T' ≥ T, for T = 1, 2, …; shape (most,). Pure query."""
        counts = np.arange(1, len(self.tokens_s) + 1)
        return np.minimum(_least_from(self.tokens_s - per_token_s * counts), self.beyond_s(per_token_s))

    @cached_property
    def most_per_token_s(self) -> float:
        """The highest price per prompt token that iterations of prompts alone are never below."""
        counts = np.arange(1, len(self.tokens_s) + 1)
        known = float(((self.tokens_s + self.sequences_s[0]) / counts).min())
        return min(known, self.floor.token_s) if self.is_open else known


def _least_from(values: Floats) -> Floats:
    """The least of each value and those after it."""
    return np.asarray(np.minimum.accumulate(values[::-1])[::-1])
