"""The two ends: nothing is known of an output's length, and everything."""

from __future__ import annotations

from llmsim.engine.predictor import Predictor
from llmsim.engine.request import Request


class Nothing(Predictor):
    """Says of every request that it may be as long as ``max_model_len`` allows: all a real server knows."""

    is_informed = False

    def first(self, req: Request) -> int:
        """See :class:`Predictor`."""
        return self.longest


class Oracle(Predictor):
    """Says the true length. No real server has it: the bound for the others."""

    def first(self, req: Request) -> int:
        """See :class:`Predictor`."""
        return req.output_tokens
