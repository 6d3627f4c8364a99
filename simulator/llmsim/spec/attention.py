"""Which cached tokens a query attends to: the one thing in which attention kinds differ over time.

A :class:`Span` answers, for a sequence that holds ``c`` tokens in its cache, how many KV tokens the
next decoded token reads, how many query-key pairs a prefill chunk makes, and for how many more
decoded tokens the read count keeps growing at the same rate. The last makes runs of identical
decode iterations closed-form.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

SpanKind = Literal["full", "window", "chunk", "topk"]

FOREVER = 1 << 60
"""A number of iterations no run reaches."""


class Span(NamedTuple):
    """``full`` causal attention, the last ``size`` tokens, the current chunk, or the best ``size``.

    Attributes:
        kind: ``full``; ``window``: the last ``size`` tokens, the token itself included (Mistral,
            Gemma); ``chunk``: tokens since the last multiple of ``size`` (Llama 4); ``topk``: at
            most ``size`` selected tokens, all of them kept (DeepSeek sparse attention).
        size: Tokens; 0 for ``full``.
    """

    kind: SpanKind = "full"
    size: int = 0

    def read(self, context: int) -> int:
        """KV tokens that one decoded token reads after ``context`` cached ones, its own included."""
        if self.kind == "full":
            return context + 1
        if self.kind == "chunk":
            return context % self.size + 1
        return min(context + 1, self.size)

    def slope(self, context: int) -> int:
        """``read(context + 1) - read(context)``."""
        return self.read(context + 1) - self.read(context)

    def steady_for(self, context: int) -> int:
        """For how many more decoded tokens ``slope`` stays what it is at ``context``; at least 1."""
        if self.kind == "full":
            return FOREVER
        if self.kind == "chunk":
            left = self.size - 1 - context % self.size
            return left if left > 0 else 1
        return self.size - 1 - context if context + 1 < self.size else FOREVER

    def pairs(self, new_tokens: int, cached: int) -> int:
        """Query-key pairs of a causal prefill chunk: Σ ``read(c)`` for c in cached … cached+new-1."""
        if self.kind == "full":
            return new_tokens * cached + new_tokens * (new_tokens + 1) // 2
        if self.kind == "chunk":
            return self._chunk_pairs(cached + new_tokens) - self._chunk_pairs(cached)
        growing = max(0, min(new_tokens, self.size - cached))
        ramp = growing * cached + growing * (growing + 1) // 2
        return ramp + (new_tokens - growing) * self.size

    def _chunk_pairs(self, tokens: int) -> int:
        whole, rest = divmod(tokens, self.size)
        return whole * (self.size * (self.size + 1) // 2) + rest * (rest + 1) // 2

    def prefill_read(self, new_tokens: int, cached: int) -> int:
        """KV tokens that a prefill chunk touches at least once."""
        if self.kind == "window":
            return min(cached, self.size - 1) + new_tokens
        if self.kind == "chunk":
            return cached % self.size + new_tokens
        return cached + new_tokens


FULL = Span()
