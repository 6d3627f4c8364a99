"""Which keys a model allows at a place of a file, for suggesting the one that was meant."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Any

from pydantic import BaseModel

from llmsim.spec.base import Place


def child_of(value: Any, item: str | int) -> tuple[str | int, Any] | None:
    """(item, what ``value`` holds under it), or None when it holds nothing there."""
    if isinstance(value, dict):
        return next(((item, inner) for key, inner in value.items() if str(key) == str(item)), None)
    if isinstance(value, list) and isinstance(item, int) and item < len(value):
        return item, value[item]
    return None


def value_at(place: Place, value: Any) -> Any:
    """What the file says at ``place``; None where it says nothing. Pure query."""
    for item in place:
        child = child_of(value, item)
        value = child[1] if child else None
    return value


class KnownKeys:
    """The keys a model's JSON Schema allows at a place of a file."""

    def __init__(self, model: type[BaseModel]) -> None:
        self._model = model

    @cached_property
    def _schema(self) -> dict[str, Any]:
        return self._model.model_json_schema()

    def at(self, place: Place, root: Any) -> list[str]:
        """The keys allowed in the mapping at ``place``, given what the file says its kinds are."""
        found = (key for node in self._nodes(place, root) for key in node.get("properties", {}))
        return list(dict.fromkeys(found))

    def kinds(self, place: Place, root: Any) -> list[str]:
        """The values ``kind`` may have in the mapping at ``place``."""
        nodes = (node.get("properties", {}).get("kind", {}) for node in self._nodes(place, root))
        return [
            name for kind in nodes for name in kind.get("enum", [kind["const"]] if "const" in kind else [])
        ]

    def _nodes(self, place: Place, root: Any) -> list[dict[str, Any]]:
        nodes = list(self._alternatives(self._schema, root))
        for item in place:
            child = child_of(root, item)
            root = child[1] if child else None
            nodes = [found for node in nodes for found in self._step(node, item, root)]
        return nodes

    def _step(self, node: dict[str, Any], item: str | int, value: Any) -> Iterator[dict[str, Any]]:
        """Where ``item`` leads from ``node``; a list that is written as its one item is stepped through."""
        if isinstance(item, int):
            inner = node.get("items")
        else:
            inner = node.get("properties", {}).get(item) or node.get("additionalProperties") or None
        if inner:
            yield from self._alternatives(inner, value)

    def _alternatives(self, node: dict[str, Any], value: Any) -> Iterator[dict[str, Any]]:
        """``node`` with references and unions resolved, without the kinds that ``value`` is not of."""
        if "$ref" in node:
            node = self._schema["$defs"][node["$ref"].rsplit("/", 1)[1]]
        choices = node.get("anyOf") or node.get("oneOf") or node.get("allOf")
        if choices:
            for choice in choices:
                yield from self._alternatives(choice, value)
        elif node.get("type") == "array" and isinstance(value, dict):
            yield from self._alternatives(node["items"], value)
        elif self._is_of_kind(node, value):
            yield node

    @staticmethod
    def _is_of_kind(node: dict[str, Any], value: Any) -> bool:
        kind = node.get("properties", {}).get("kind", {}).get("const")
        given = value.get("kind") if isinstance(value, dict) else None
        return kind is None or given is None or kind == given
