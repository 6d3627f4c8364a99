"""A plug-in chosen in a scenario: by its name, or by a mapping with its options."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, GetCoreSchemaHandler, GetJsonSchemaHandler, ValidationError
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import PydanticCustomError, core_schema

from llmsim.errors import CatalogError
from llmsim.registry import Registry
from llmsim.spec.base import Strict


@dataclass(frozen=True)
class PolicyRef:
    """A plug-in chosen by name, and its options, every one of them present.

    Attributes:
        kind: Its name in its registry.
        options: Option to value, checked against the class's ``Options``.
    """

    kind: str
    options: dict[str, Any]


@dataclass(frozen=True)
class Policy:
    """Marks a :class:`PolicyRef` field written as a name or as ``{kind: name, option: value}``."""

    registry: Registry[Any]

    def read(self, value: Any) -> PolicyRef:
        """The reference ``value`` stands for. Raises ValueError when the name or an option is wrong."""
        if isinstance(value, PolicyRef):
            value = self.write(value)
        options = dict(value) if isinstance(value, dict) else {"kind": value}
        kind = options.pop("kind", None)
        if not isinstance(kind, str):
            raise ValueError(
                f"Input should be a {self.registry.kind}'s name, or a mapping with its name as `kind`"
            )
        try:
            model = self.options_of(kind)
        except CatalogError as error:
            raise self._unknown(str(error), isinstance(value, dict)) from None
        return PolicyRef(kind, model.model_validate(options).model_dump(mode="json"))

    @staticmethod
    def _unknown(message: str, in_mapping: bool) -> ValueError:
        """The error about a policy's name; in a mapping it is at ``kind``."""
        if not in_mapping:
            return ValueError(message)
        fault = PydanticCustomError("conflict", "{message}", {"message": message})
        return ValidationError.from_exception_data(
            "Policy", [{"type": fault, "loc": ("kind",), "input": None}]
        )

    def options_of(self, kind: str) -> type[BaseModel]:
        """The model of the options that the policy ``kind`` takes. Raises CatalogError for an unknown one."""
        model: type[BaseModel] = getattr(self.registry.get(kind), "Options", Strict)
        if not (isinstance(model, type) and issubclass(model, BaseModel)):
            raise CatalogError(
                f"{self.registry.kind} '{kind}': its Options should be a class derived from llmsim.spec.base.Strict"
            )
        return model

    @staticmethod
    def write(ref: PolicyRef) -> dict[str, Any]:
        """``ref`` as a file says it in full."""
        return {"kind": ref.kind, **ref.options}

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(
            self.read, serialization=core_schema.plain_serializer_function_ser_schema(self.write)
        )

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        names = self.registry.names()
        mappings = []
        for name in names:
            with suppress(
                CatalogError
            ):  # a plug-in that cannot be loaded is told of when a scenario names it
                mappings.append(self._mapping_schema(name, handler))
        return {"anyOf": [{"type": "string", "enum": names}, *mappings]}

    def _mapping_schema(self, name: str, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """What may be written beside ``kind: name``."""
        options = handler.resolve_ref_schema(handler(self.options_of(name).__pydantic_core_schema__))
        return {
            "type": "object",
            "title": name,
            "description": (self.registry.get(name).__doc__ or "").partition("\n")[0],
            "properties": {"kind": {"const": name, "type": "string"}, **options.get("properties", {})},
            "required": ["kind", *options.get("required", [])],
            "additionalProperties": False,
        }
