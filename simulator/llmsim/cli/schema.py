"""``llmsim schema``: the scenario's keys, read from the models that check them."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any, NamedTuple

from rich.table import Table
from rich.text import Text

from llmsim.cli.console import Console
from llmsim.errors import UserError
from llmsim.registry import nearest
from llmsim.spec.scenario import Scenario

Node = dict[str, Any]


class Key(NamedTuple):
    """One line of the table."""

    name: str
    type: str
    unit: str
    default: str
    meaning: str


class Section(NamedTuple):
    """One mapping of the scenario: its place, what it is, the model that checks it, its keys."""

    place: str
    title: str
    model: str
    keys: list[Key]


def print_schema(section: str, *, as_json: bool) -> None:
    """Prints the keys of every section, or of ``section`` and what is inside it; or the JSON Schema."""
    schema = Scenario.model_json_schema()
    everything = list(_sections(schema, schema, "", "a scenario"))
    found = _once([part for part in everything if not section or f"{part.place}.".startswith(f"{section}.")])
    if not found or found[0].title.startswith(f"{section} of kind "):
        found = _single_key(everything, section) + found
    if not found:
        places = {part.place for part in everything if part.place}
        raise UserError(
            f"no section '{section}'; {nearest(section, places)}", hint="`llmsim schema` shows all of them"
        )
    if as_json:
        print(json.dumps(_subschema(schema, section), indent=2))
        return
    console = Console(width=None if sys.stdout.isatty() else 120)
    for part in found:
        console.print(Text(part.title, style="bold"))
        console.print(_table(part.keys), Text())


def _single_key(parts: list[Section], place: str) -> list[Section]:
    """The one key at ``place``, as a section of its own; nothing when there is none."""
    outer, _, name = place.rpartition(".")
    keys = [key for part in parts if part.place == outer for key in part.keys if key.name == name]
    return [Section(place, f"{place}: {keys[0].meaning}", "", keys[:1])] if keys else []


def _sections(node: Node, schema: Node, place: str, meaning: str) -> Iterator[Section]:
    """Every mapping in ``node`` with its keys, outer before inner."""
    for model in _mappings(node, schema):
        kind = model["properties"].get("kind", {}).get("const")
        first_line = model.get("description", meaning).partition("\n")[0].replace("``", "`")
        title = f"{place or 'scenario'}{f' of kind {kind}' if kind else ''}: {first_line}"
        keys = [
            _key(key, inner, model, schema) for key, inner in model["properties"].items() if key != "kind"
        ]
        if keys or (kind and place.startswith("workload")):
            yield Section(place, title, f"{model['title']} {kind}", keys)
        for key, inner in model["properties"].items():
            below = f"{place}.{key}" if place else key
            yield from _sections(inner, schema, below, inner.get("description", ""))


def _once(parts: list[Section]) -> list[Section]:
    """``parts`` with each model only where it is least deep. Pure."""
    outermost: dict[str, Section] = {}
    for part in sorted(parts, key=lambda part: part.place.count(".")):
        outermost.setdefault(part.model, part)
    return [part for part in parts if outermost[part.model] is part]


def _mappings(node: Node, schema: Node) -> Iterator[Node]:
    """The mappings a value of ``node`` may be, lists and unions opened."""
    node = _resolve(node, schema)
    for choice in _choices(node):
        yield from _mappings(choice, schema)
    if "items" in node:
        yield from _mappings(node["items"], schema)
    if isinstance(node.get("additionalProperties"), dict):
        yield from _mappings(node["additionalProperties"], schema)
    if "properties" in node:
        yield node


def _choices(node: Node) -> list[Node]:
    return [*node.get("anyOf", []), *node.get("oneOf", []), *node.get("allOf", [])]


def _resolve(node: Node, schema: Node) -> Node:
    return schema["$defs"][node["$ref"].rsplit("/", 1)[1]] if "$ref" in node else node


def _key(name: str, node: Node, model: Node, schema: Node) -> Key:
    default = "required" if name in model.get("required", []) else _shown(node)
    return Key(name, _type(node, schema), _unit(node), default, node.get("description", ""))


def _shown(node: Node) -> str:
    """The default of ``node``; a mapping's own keys say theirs."""
    default = node.get("default", {})
    if isinstance(default, dict):
        return str(default.get("kind", "see below"))
    return default if isinstance(default, str) else json.dumps(default)


def _unit(node: Node) -> str:
    return next((part["unit"] for part in [node, *_choices(node)] if "unit" in part), "")


def _type(node: Node, schema: Node) -> str:
    """The type of ``node`` in words: a list of names, ``integer``, ``mapping`` …"""
    node = _resolve(node, schema)
    if "const" in node:
        return json.dumps(node["const"]).strip('"')
    if "enum" in node:
        return " | ".join(map(str, node["enum"]))
    choices = _choices(node)
    if choices:
        return " | ".join(dict.fromkeys(_type(choice, schema) for choice in choices))
    if node.get("type") == "array":
        return f"list of {_type(node.get('items', {}), schema)}"
    kind: str | list[str] = node.get("type", "any")
    return "number" if isinstance(kind, list) else {"object": "mapping", "string": "text"}.get(kind, kind)


def _table(keys: list[Key]) -> Table | str:
    if not keys:
        return "no keys of its own"
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for heading in Key._fields:
        table.add_column(heading, overflow="fold", no_wrap=heading in {"name", "unit"})
    for key in keys:
        table.add_row(*map(Text, key))
    return table


def _subschema(schema: Node, section: str) -> Node:
    """The JSON Schema of one section, or of the whole."""
    node = schema
    for key in filter(None, section.split(".")):
        node = next(
            model["properties"][key] for model in _mappings(node, schema) if key in model["properties"]
        )
    return {**node, "$defs": schema["$defs"]} if section else schema
