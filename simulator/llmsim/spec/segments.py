"""Prompts that are put together from parts which others use as well: documents, tool descriptions, examples."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from llmsim.spec.base import Strict
from llmsim.spec.lengths import TokenCount


class SharedSegments(Strict):
    """Parts of prompts, anywhere in them and in any order; for `kv_cache: segment` (Prompt Cache)."""

    tokens: TokenCount = Field(description="length of every segment, in addition to `input_tokens`")
    num_segments: Annotated[int, Field(ge=1, le=10_000)] = Field(
        1, description="how many different ones there are"
    )
    per_prompt: Annotated[int, Field(ge=1, le=1000)] = Field(
        1, description="how many of them a prompt has, each once"
    )
    zipf: float = Field(
        0.0,
        ge=0,
        le=100,
        description="popularity: the k-th is drawn in proportion to 1/k^zipf; 0 is equally often",
    )

    @model_validator(mode="after")
    def _has_enough(self) -> SharedSegments:
        if self.per_prompt > self.num_segments:
            raise ValueError(f"a prompt has {self.per_prompt} of only {self.num_segments} segments")
        return self
