"""YAML to values, with the line and column each came from.

Plain scalars are read as the YAML 1.2 core schema says: ``1e9`` is a number, ``12:30``, ``no`` and
``on`` are text. (PyYAML alone follows YAML 1.1 and does the opposite.) A key given twice is a problem.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from llmsim.errors import Problem, ScenarioError
from llmsim.spec.base import Place

_TAG = "tag:yaml.org,2002:"

CORE_SCHEMA: list[tuple[str, str, list[str]]] = [
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", list("-+0123456789")),
    (
        "float",
        r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        list("-+.0123456789"),
    ),
]
"""YAML 1.2.2, section 10.3.2: tag, pattern of the whole scalar, possible first characters."""


def add_core_schema(cls: type[yaml.SafeLoader] | type[yaml.SafeDumper]) -> None:
    """Make ``cls`` resolve plain scalars as :data:`CORE_SCHEMA` says, after what it already knows."""
    for name, pattern, first in CORE_SCHEMA:
        cls.add_implicit_resolver(_TAG + name, re.compile(rf"(?:{pattern})$"), first)


class _Loader(yaml.SafeLoader):
    """PyYAML's parser without YAML 1.1's readings of plain scalars."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012  (declared so by PyYAML)


add_core_schema(_Loader)

MAX_VALUES = 1_000_000
"""Values in a document; aliases can make more of a few lines than any memory holds."""


@dataclass
class Document:
    """A YAML file's content and where each part of it stands.

    Attributes:
        source: How the user named the file.
        value: The content: mappings, lists, text, numbers, booleans and None.
        positions: Place to (line, column), both from 1, of each value.
        key_positions: The same of each mapping's keys.
        problems: What is wrong with the text although it could be read.
        overrides: Place to the command-line option that set it, instead of the file.
        hint: Where to look up what a problem is about.
    """

    source: str
    value: Any = None
    positions: dict[Place, tuple[int, int]] = field(default_factory=dict)
    key_positions: dict[Place, tuple[int, int]] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    overrides: dict[Place, str] = field(default_factory=dict)
    hint: str | None = None

    def where(self, place: Place, *, key: bool = False) -> str:
        """``file:line:column`` of the value (or ``key``) at ``place``, or of what should hold it."""
        for length in range(len(place), 0, -1):
            if place[:length] in self.overrides:
                return self.overrides[place[:length]]
        found = self.key_positions.get(place) if key else None
        while found is None and place not in self.positions and place:
            place = place[:-1]
        found = found or self.positions.get(place)
        return f"{self.source}:{found[0]}:{found[1]}" if found else self.source


def read_yaml(path: Path, source: str | None = None) -> Document:
    """The YAML file at ``path``; ``source`` is its name in messages.

    Raises:
        ScenarioError: There is no such file, or it is not UTF-8 text, or not YAML.
    """
    source = source or str(path)
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise ScenarioError(Problem(source, "no such file")) from None
    except IsADirectoryError:
        raise ScenarioError(Problem(source, "is a directory; name a file in it")) from None
    except UnicodeDecodeError as error:
        raise ScenarioError(Problem(source, f"is not UTF-8 text (byte {error.start})")) from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ScenarioError(Problem(source, f"cannot be read: {reason}")) from None
    return parse_yaml(text, source)


def parse_yaml(text: str, source: str) -> Document:
    """The YAML document in ``text``. An empty text is the value None.

    Raises:
        ScenarioError: The text is not YAML.
    """
    document = Document(source)
    try:
        root = yaml.compose(text, Loader=_Loader)
        document.value = None if root is None else _construct(root, (), document)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"{source}:{mark.line + 1}:{mark.column + 1}" if mark else source
        message = ", ".join(filter(None, [error.context, error.problem]))
        raise ScenarioError(Problem(where, f"not YAML: {message}")) from None
    except yaml.YAMLError as error:
        raise ScenarioError(Problem(source, f"not YAML: {' '.join(str(error).split())}")) from None
    except RecursionError:
        raise ScenarioError(Problem(source, "nested too deep, or an alias that contains itself")) from None
    except _TooManyValuesError:
        message = f"holds more than {MAX_VALUES:,} values; are there aliases of aliases?"
        raise ScenarioError(Problem(source, message)) from None
    return document


class _TooManyValuesError(Exception):
    """The document would not fit in memory."""


def _position(node: yaml.Node) -> tuple[int, int]:
    return node.start_mark.line + 1, node.start_mark.column + 1


def _construct(node: yaml.Node, place: Place, document: Document) -> Any:
    """The value of ``node``; notes the position of it and of everything in it."""
    if len(document.positions) == MAX_VALUES:
        raise _TooManyValuesError
    document.positions[place] = _position(node)
    if isinstance(node, yaml.MappingNode):
        return _mapping(node, place, document)
    if isinstance(node, yaml.SequenceNode):
        return [_construct(item, (*place, index), document) for index, item in enumerate(node.value)]
    return _scalar(node, document)


def _mapping(node: yaml.MappingNode, place: Place, document: Document) -> dict[str, Any]:
    """Keys are text as it stands, whatever a value like that would be: ``1``, ``true`` and ``~`` are names."""
    result: dict[str, Any] = {}
    for key_node, value_node in node.value:
        if not isinstance(key_node, yaml.ScalarNode):
            document.problems.append(_problem(key_node, "a key is one word, not a list or mapping", document))
            continue
        key: str = key_node.value
        _scalar(key_node, document)  # a tag that does not hold is a problem
        inner = (*place, key)
        if key in result:
            first = document.key_positions[inner][0]
            message = f"{'.'.join(map(str, inner))}: given twice, first on line {first}; keep one"
            document.problems.append(_problem(key_node, message, document))
            continue
        document.key_positions[inner] = _position(key_node)
        result[key] = _construct(value_node, inner, document)
    return result


def _scalar(node: yaml.Node, document: Document) -> Any:
    """The value of a scalar by its tag; None, and a problem noted, when the text is not of that kind."""
    tag = node.tag.removeprefix(_TAG)
    try:
        return _READERS[tag](node.value)
    except (KeyError, ValueError):
        text = node.value if len(node.value) <= 60 else f"{node.value[:57]}..."
        document.problems.append(_problem(node, f"'{text}' cannot be read as {tag}", document))
        return None


def _problem(node: yaml.Node, message: str, document: Document) -> Problem:
    line, column = _position(node)
    return Problem(f"{document.source}:{line}:{column}", message)


def _int(text: str) -> int:
    base = {"0x": 16, "0o": 8}.get(text[:2])
    return int(text[2:], base) if base else int(text)


def _float(text: str) -> float:
    return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))


_READERS: dict[str, Callable[[str], Any]] = {
    "null": lambda text: None,
    "bool": lambda text: {"true": True, "false": False}[text.lower()],
    "int": _int,
    "float": _float,
    "str": str,
}
"""How a scalar of each tag is read."""
