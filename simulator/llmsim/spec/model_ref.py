"""How a scenario names a model."""

from __future__ import annotations

from typing import Any

from pydantic import Field, GetJsonSchemaHandler, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import core_schema

from llmsim.spec.base import Strict


class ModelRef(Strict):
    """Which model is served."""

    name: str | None = Field(None, description="a name of `llmsim list models`, or an org/name known there")
    path: str | None = Field(None, description="a config.json as on Hugging Face, or the directory it is in")
    assume: str | None = Field(None, description="read an unknown architecture as this known one")

    @model_validator(mode="after")
    def _one_of_two(self) -> ModelRef:
        if (self.name is None) == (self.path is None):
            raise ValueError("a model needs either `name` or `path`")
        return self

    @property
    def ref(self) -> str:
        """The name or the path, whichever was given."""
        return self.name or self.path or ""


class AlsoText:
    """Tells editors that the mapping may be written as a name."""

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {"anyOf": [{"type": "string"}, handler(schema)]}


def model_by_name(value: Any) -> Any:
    """A name as the mapping it stands for. Raises ValueError for what is neither."""
    if not isinstance(value, str | dict | ModelRef):
        raise ValueError("Input should be a model's name, or a mapping with `name` or `path`")
    return {"name": value} if isinstance(value, str) else value
