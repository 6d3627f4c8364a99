"""Prompts that begin alike: system prompts, few-shot examples, tool descriptions."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from llmsim.spec.base import Strict
from llmsim.spec.lengths import TokenCount


class SharedPrefix(Strict):
    """Tokens that stand before each prompt's own, the same for many requests."""

    tokens: TokenCount = Field(
        description="length of every prefix, in addition to `input_tokens`. Known to prefix caches and routers in "
        "whole blocks of 16 tokens"
    )
    num_prefixes: Annotated[int, Field(ge=1, le=10**6)] = Field(
        1, description="how many different ones there are"
    )
    zipf: float = Field(
        0.0,
        ge=0,
        le=100,
        description="popularity: the k-th is drawn in proportion to 1/k^zipf; 0 is equally often",
    )
