"""The base of everything a user writes: strict, frozen, and nothing unknown let through."""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

Place = tuple[str | int, ...]
"""Keys and list positions that lead to a value."""


NAME = r"^[\w.+-]+$"
"""What a name may be that names a directory."""


class Strict(BaseModel):
    """A mapping in a file: unknown keys are errors, types are not coerced, values cannot change."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


def raise_problems(title: str, problems: Iterable[tuple[Place, str]]) -> None:
    """Raise one ValidationError with every (place, message) of ``problems``; nothing when there is none."""
    found: list[InitErrorDetails] = [
        {
            "type": PydanticCustomError("conflict", "{message}", {"message": message}),
            "loc": place,
            "input": None,
        }
        for place, message in problems
    ]
    if found:
        raise ValidationError.from_exception_data(title, found)
