"""The base of everything a user writes: strict, frozen, and nothing unknown let through."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Strict(BaseModel):
    """A mapping in a file: unknown keys are errors, types are not coerced, values cannot change."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)
