"""The price of an iteration, as the engine asks for it.

A stage (all the layers one pipeline stage holds, on one device of its tensor-parallel group) answers
four questions whose sum is the time of its part of an iteration (F11). They are apart because each
depends on little, so each can be remembered:

======================  =====================================================================
``tokens_s(T, S, B)``   everything that depends on counts alone: T new tokens, S logit rows, B sequences
``chunk_s(q, c)``       attention of one prefill chunk of q new tokens after c cached ones
``decode_line(B, …)``   attention of B decoding sequences: affine in the KV tokens they read
======================  =====================================================================
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from llmsim.spec.attention import FOREVER, Span

__all__ = ["FOREVER", "DecodeLine", "StageCost", "StageFloor"]


class DecodeLine(NamedTuple):
    """Seconds of decode attention over coming iterations: ``first_s + i * step_s`` for i < ``valid_for``."""

    first_s: float
    step_s: float
    valid_for: int = FOREVER


class StageFloor(Protocol):
    """What no way of batching can undercut, of a stage whose ``tokens_s(T, S, B)`` is a sum of terms of one count each.

    Attributes:
        token_s: ``tokens_s`` is at least this many seconds for each token, however many there are.
        read_planes: Pairs (seconds per sequence, seconds per KV token of each span); for each of them
            ``decode_line`` is at least ``sequences · first + Σ kv_tokens · second``.
    """

    @property
    def token_s(self) -> float: ...  # noqa: D102  above

    @property
    def read_planes(self) -> Sequence[tuple[float, Sequence[float]]]: ...  # noqa: D102  above

    def prompt_s(self, new_tokens: int, cached: int) -> float:
        """Σ ``chunk_s`` over the chunks of ``new_tokens`` after ``cached`` is at least this, however they are cut."""
        ...


class StageCost(ABC):
    """Seconds of one stage's share of an iteration. Answers are pure: same question, same answer."""

    spans: Sequence[Span]
    """The attention spans whose KV reads ``decode_line`` wants, in its order."""

    hidden_host_s: tuple[float, float] | None = None
    """Host work, per iteration and per sequence, that an asynchronous engine does behind the device's:
    an iteration takes no less than it. None where there is none."""

    @abstractmethod
    def tokens_s(self, tokens: int, logit_rows: int, sequences: int) -> float:
        """Weights, norms, collectives, launches and host work of an iteration, in seconds.

        Args:
            tokens: T, new tokens computed (prefill and decode).
            logit_rows: S, positions whose logits are needed.
            sequences: B, sequences that take part.
        """

    @abstractmethod
    def chunk_s(self, new_tokens: int, cached: int) -> float:
        """Attention of one prefill chunk, in seconds."""

    @abstractmethod
    def decode_line(self, sequences: int, kv_tokens: Sequence[int], growth: Sequence[int]) -> DecodeLine:
        """Attention of the decoding sequences, in seconds, now and as the contexts grow.

        Args:
            sequences: Decoding sequences, at least 1.
            kv_tokens: Per span, KV tokens they read together in the first iteration.
            growth: Per span, how many more they read in each later iteration.
        """

    def floor(self) -> StageFloor | None:
        """What no batch can undercut; None where the cost model promises nothing. Pure query."""
        return None

    def bound_seconds(self, tokens: int, logit_rows: int, sequences: int) -> dict[str, float]:
        """``tokens_s`` by the resource that binds: compute, memory, network, launch, host (or other)."""
        return {"other": self.tokens_s(tokens, logit_rows, sequences)}

    def chunk_bound_seconds(self, new_tokens: int, cached: int) -> dict[str, float]:
        """``chunk_s`` by the resource that binds."""
        return {"other": self.chunk_s(new_tokens, cached)}

    def decode_bound_seconds(self, sequences: int, kv_tokens: Sequence[int]) -> dict[str, float]:
        """The first iteration of ``decode_line`` by the resource that binds."""
        return {"other": self.decode_line(sequences, kv_tokens, [0] * len(kv_tokens)).first_s}
