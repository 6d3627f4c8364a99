"""What a scheduler may answer: a plan for the next iteration, a time to wake up at, or nothing."""

from __future__ import annotations

from math import inf

from llmsim.engine.request import Request
from llmsim.spec.attention import FOREVER


class StepPlan:
    """What the next iteration computes, and for how many iterations that answer stays the same.

    Attributes:
        chunks: (request, new prompt tokens) of the prefills that take part.
        decodes: Whether the batch's decoding sequences each produce a token.
        stable_for: Iterations the plan stays valid if nothing arrives. The engine itself ends a run
            at a completion, at a block shortage and after an iteration with prefills.
        until_s: The plan stays valid until this time; then it is made anew, at the next iteration boundary.
        padded_to: Each chunk is computed as if it had this many tokens; 0 without padding.
    """

    __slots__ = ("chunks", "decodes", "padded_to", "stable_for", "until_s")

    def __init__(
        self,
        chunks: list[tuple[Request, int]],
        *,
        decodes: bool,
        stable_for: int = FOREVER,
        padded_to: int = 0,
        until_s: float = inf,
    ) -> None:
        self.chunks = chunks
        self.decodes = decodes
        self.stable_for = stable_for
        self.padded_to = padded_to
        self.until_s = until_s


class Wait:
    """Nothing to run before ``until_s`` unless a request arrives: a declared pause."""

    __slots__ = ("until_s",)

    def __init__(self, until_s: float) -> None:
        self.until_s = until_s
