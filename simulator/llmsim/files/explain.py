"""What pydantic found wrong, said in the words of the file: where, what was given, what to do."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any, NamedTuple

from pydantic import BaseModel, ValidationError

from llmsim.errors import Problem
from llmsim.files.known_keys import KnownKeys, child_of, value_at
from llmsim.files.yaml_text import Document
from llmsim.registry import nearest
from llmsim.spec.base import NAME, Place

_MAPPING_TYPES = {
    "model_type",
    "model_attributes_type",
    "dict_type",
    "dict_attributes_type",
    "dataclass_type",
}
_PLAIN = {"list_type": "Input should be a list", "bool_type": "Input should be true or false"}
_ABSENT = {"missing", "conflict"}
"""Findings about a key that the file need not have."""

_UNKNOWN_KEY = {"extra_forbidden", "invalid_key", "unexpected_keyword_argument"}


class _Branch(NamedTuple):
    """Which alternative of a union (``name``) of the value at ``place`` a fault was found under."""

    place: Place
    name: str


@dataclass(frozen=True)
class _Fault:
    """One of pydantic's findings, at a place of the file instead of one of the schema."""

    place: Place
    kind: str
    message: str
    context: dict[str, Any]
    branch: _Branch | None = None


def explain(error: ValidationError, document: Document, model: type[BaseModel]) -> list[Problem]:
    """Every problem of ``document`` that validation against ``model`` found, in plain words. Pure."""
    keys = KnownKeys(model)
    faults = _without_union_noise(_faults(error, document.value))
    return [_problem(fault, document, keys) for fault in faults]


def _faults(error: ValidationError, root: Any, prefix: tuple[str | int, ...] = ()) -> Iterator[_Fault]:
    """Pydantic's findings one by one, those inside another validator's error included."""
    for item in error.errors(include_url=False):
        context = item.get("ctx", {})
        loc = (*prefix, *item["loc"])
        inner = context.get("error")
        if isinstance(inner, ValidationError):
            yield from _faults(inner, root, loc)
            continue
        place, branch = _in_file(loc, root, may_be_absent=item["type"] in _ABSENT)
        yield _Fault(place, item["type"], item["msg"], context, branch)


def _in_file(loc: Sequence[str | int], value: Any, *, may_be_absent: bool) -> tuple[Place, _Branch | None]:
    """Where in the file ``loc`` is: pydantic puts names of union branches and tags between the keys."""
    place: Place = ()
    branch = None
    tag_seen = False
    for index, item in enumerate(loc):
        last = index == len(loc) - 1
        is_tag = isinstance(value, dict) and value.get("kind") == item and not tag_seen and not last
        child = child_of(value, item)
        if child is not None and not is_tag:
            place, value, tag_seen = (*place, child[0]), child[1], False
        elif may_be_absent and last:
            place = (*place, item)
        elif is_tag:
            tag_seen = True
        elif branch is None and isinstance(item, str):
            branch = _Branch(place, item)
    return place, branch


def _without_union_noise(faults: Iterable[_Fault]) -> list[_Fault]:
    """One story per union: of the alternatives tried, the one the file came closest to."""
    result = []
    for place, group in groupby(faults, key=lambda fault: fault.branch and fault.branch.place):
        told = list(group)
        result += told if place is None else _closest(place, told)
    return result


def _closest(place: Place, faults: list[_Fault]) -> list[_Fault]:
    """The faults of the alternative that got furthest, or all of them told as one when none fits at all."""
    branches = [list(group) for _, group in groupby(faults, key=lambda fault: fault.branch)]
    fitting = [branch for branch in branches if not any(fault.place == place for fault in branch)]
    if fitting:
        return min(fitting, key=len)
    right_type = [branch for branch in branches if not branch[0].kind.endswith("_type")]
    if len(branches) == 1 or right_type:
        return (right_type or branches)[0]
    choices = [_expected(branch[0]) for branch in branches]
    message = "Input should be " + " or ".join(dict.fromkeys(choices))
    return [replace(faults[0], kind="union", message=message)]


def _expected(fault: _Fault) -> str:
    if fault.kind in _MAPPING_TYPES:
        return "a mapping"
    return fault.message.removeprefix("Value error, ").removeprefix("Input should be ")


def _problem(fault: _Fault, document: Document, keys: KnownKeys) -> Problem:
    """``fault`` as people read it."""
    place = fault.place
    if fault.kind == "union_tag_invalid":
        place = (*place, "kind")
    where = document.where(place, key=fault.kind in _UNKNOWN_KEY)
    dotted = ".".join(map(str, place))
    message = _message(fault, document.value, keys)
    return Problem(where, f"{dotted}: {message}" if dotted else message)


def _message(fault: _Fault, root: Any, keys: KnownKeys) -> str:
    """What is wrong: with a key, with a kind, with how two keys agree, or with a value."""
    context = fault.context
    if fault.kind in _UNKNOWN_KEY:
        return f"unknown key; {nearest(str(fault.place[-1]), keys.at(fault.place[:-1], root))}"
    if fault.kind == "missing":
        return "required, but missing"
    if fault.kind == "union_tag_invalid":
        known = [tag.strip(" '") for tag in context["expected_tags"].split(",")]
        return f"unknown kind '{context['tag']}'; {nearest(context['tag'], known)}"
    if fault.kind == "union_tag_not_found":
        return f"needs a `kind`, one of: {', '.join(keys.kinds(fault.place, root))}"
    return fault.message if fault.kind == "conflict" else _about_value(fault, value_at(fault.place, root))


def _about_value(fault: _Fault, value: Any) -> str:
    is_block = isinstance(value, dict | list)
    return _plain(fault, value) + ("" if fault.kind == "value_error" and is_block else _given(value))


def _plain(fault: _Fault, value: Any) -> str:
    """Pydantic's message where it is plain enough, ours where it speaks of Python."""
    if fault.kind in _MAPPING_TYPES:
        return "Input should be a mapping of keys"
    if fault.kind == "string_pattern_mismatch" and fault.context.get("pattern") == NAME:
        return "Input should be letters, digits and . _ + - without spaces"
    if fault.kind in _PLAIN:
        return _PLAIN[fault.kind]
    if fault.kind == "int_type" and isinstance(value, float) and value.is_integer():
        return f"Input should be a whole number: write {int(value)}"
    if fault.kind == "literal_error" and isinstance(value, str):
        known = [name.strip("'") for name in fault.context["expected"].replace(" or ", ", ").split(", ")]
        return (
            f"{fault.message}; {nearest(value, known)}"
            if "did you" in nearest(value, known)
            else fault.message
        )
    return fault.message.removeprefix("Value error, ")


def _given(value: Any) -> str:
    """`` (got …)``, unless that would be a whole block of the file."""
    if isinstance(value, dict | list):
        kind = "mapping" if isinstance(value, dict) else "list"
        return f" (got a {kind})"
    names = {None: "nothing", True: "true", False: "false"}
    shown = names[value] if value is None or isinstance(value, bool) else repr(value)
    return f" (got {shown if len(shown) <= 60 else shown[:57] + '...'})"
