"""What the command line changes of a scenario file: ``--set``, ``--goodput`` and ``--seed``."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from llmsim.errors import Problem, ScenarioError
from llmsim.files.yaml_text import Document, parse_yaml
from llmsim.spec.base import Place

GOODPUT_METRICS = ("ttft", "tpot", "e2el", "itl")

_ENTRY = re.compile("[0-9]{1,9}")
"""The number of a list's entry, in a path."""


@dataclass(frozen=True)
class Change:
    """A value the command line puts at a place, and the option that says so."""

    place: Place
    value: Any
    option: str


def read_changes(
    sets: Sequence[str], goodput: Sequence[str], seed: int | None, problems: list[Problem]
) -> Iterator[Change]:
    """The command line's changes, in order; what cannot be read goes to ``problems``.

    Args:
        sets: Each ``path.to.key=value``, the value in YAML.
        goodput: Each ``metric:milliseconds``.
        seed: Of the simulation.
        problems: Grows.
    """
    for text in sets:
        dotted, equals, value = text.partition("=")
        if equals and all(dotted.split(".")):
            yield from _change(place_of(dotted), value, f"--set {text}", problems)
        else:
            problems.append(Problem(f"--set {text}", "write path.to.key=value, such as fleet.replicas=2"))
    for text in goodput:
        metric, _, limit = text.partition(":")
        if metric in GOODPUT_METRICS and limit:
            yield from _change(("slo", f"{metric}_ms"), limit, f"--goodput {text}", problems)
        else:
            known = ", ".join(GOODPUT_METRICS)
            problems.append(
                Problem(f"--goodput {text}", f"write metric:milliseconds; the metrics are {known}")
            )
    if seed is not None:
        yield Change(("simulation", "seed"), seed, f"--seed {seed}")


def place_of(dotted: str) -> Place:
    """Where ``fleet.0.replicas`` is: keys, and numbers of entries of lists. Pure."""
    return tuple(int(key) if _ENTRY.fullmatch(key) else key for key in dotted.split("."))


def _change(place: Place, text: str, option: str, problems: list[Problem]) -> Iterator[Change]:
    """The change to the value that ``text`` is in YAML."""
    try:
        parsed = parse_yaml(text, option)
    except ScenarioError as error:
        problems += [Problem(option, problem.message) for problem in error.problems]
    else:
        problems += [Problem(option, problem.message) for problem in parsed.problems]
        yield Change(place, parsed.value, option)


def apply(change: Change, document: Document) -> None:
    """Put a value into the document; mappings on the way are made, a list of one is stepped through."""
    target: Any = document.value
    place: Place = ()
    for index, key in enumerate(change.place):
        if isinstance(target, list) and not isinstance(key, int) and len(target) == 1:
            target, place = target[0], (*place, 0)
        message = _cannot_hold(target, key, place)
        if message:
            document.problems.append(Problem(change.option, message))
            return
        place = (*place, key)
        if index == len(change.place) - 1:
            target[key] = change.value
        elif isinstance(target, dict) and target.get(key) is None:
            target[key] = {}
            document.overrides[place] = change.option
        target = target[key]
    document.overrides[place] = change.option


def _cannot_hold(target: Any, key: str | int, place: Place) -> str | None:
    """Why nothing can be put under ``key`` of ``target``; None when it can."""
    dotted = ".".join(map(str, place))
    if isinstance(target, dict):
        return None
    if not isinstance(target, list):
        return f"{dotted} is {target!r}, which has no keys; set {dotted} as a whole"
    entries = "1 entry" if len(target) == 1 else f"{len(target)} entries"
    if not isinstance(key, int):
        return f"{dotted} has {entries}; say which by number, as in {dotted}.0.{key}"
    return None if key < len(target) else f"{dotted} has {entries}, numbered from 0"
