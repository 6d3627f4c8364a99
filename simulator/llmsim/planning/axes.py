"""What is varied: scenario keys and their values, as the command line and a ``sweep:`` section say them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import floor, inf, isfinite, log
from typing import Any

from llmsim.errors import Problem, ScenarioError
from llmsim.files.changes import Change, place_of
from llmsim.files.yaml_text import parse_yaml

MAX_VALUES = 10_000
"""Values of one key: a range with more is taken for a mistake."""

_NUMBER = r"([-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?)([a-zA-Zµ%/]*)"
_RANGE = re.compile(rf"\s*{_NUMBER}\s*:\s*{_NUMBER}\s*:\s*([x*]?){_NUMBER}\s*")
_NO_STEP = re.compile(rf"\s*{_NUMBER}\s*:\s*{_NUMBER}\s*:?\s*")


@dataclass(frozen=True)
class Axis:
    """One scenario key and the values it takes, in order.

    Attributes:
        key: Dotted, as in ``--set``.
        values: At least one.
        option: How the user said it, for messages: ``--over``.
    """

    key: str
    values: tuple[Any, ...]
    option: str = "--over"

    def change(self, value: Any) -> Change:
        """What gives the key one of its values. Pure query."""
        return change(self.key, value, self.option)


def change(key: str, value: Any, option: str) -> Change:
    """``key`` set to ``value``, as the ``option`` of a message. Pure."""
    return Change(place_of(key), value, f"{option} {key}={value}")


def read_axes(
    over: Sequence[str],
    vary: Sequence[str] = (),
    section: Mapping[str, list[Any] | str] | None = None,
    name: str = "sweep.over",
) -> list[Axis]:
    """The axes of ``--over`` and ``--vary`` options, and of a scenario's section.

    A key that both name takes the command line's values; ``--vary`` and ``--over`` read alike.

    Args:
        over: Each ``key=start:stop:step`` (stop included; ``x2`` as step multiplies) or ``key=a,b,c``.
        vary: The same.
        section: A section of the scenario: key to a list, or to text as above.
        name: What that section is called.

    Raises:
        ScenarioError: Every problem of all of them.
    """
    problems: list[Problem] = []
    axes = dict(_section_axes(section or {}, name, problems))
    said: set[str] = set()
    for option, texts in (("--over", over), ("--vary", vary)):
        for text in texts:
            key, equals, values = text.partition("=")
            if not equals or not all(key.split(".")):
                example = "workload.arrival.request_rate=1:20:1 or engine.scheduler=orca,vllm"
                problems.append(
                    Problem(f"{option} {text}", f"write KEY=start:stop:step or KEY=a,b,c: {example}")
                )
            elif key in said:
                problems.append(
                    Problem(f"{option} {text}", f"{key} is varied twice; give all values at once")
                )
            else:
                said.add(key)
                where = f"{option} {text}"
                axes[key] = Axis(key, _distinct(_parsed(values, where, problems), where, problems), option)
    if problems:
        raise ScenarioError(problems, hint="`llmsim schema` lists every key with its unit")
    return list(axes.values())


def _section_axes(
    section: Mapping[str, list[Any] | str], name: str, problems: list[Problem]
) -> Iterator[tuple[str, Axis]]:
    for key, given in section.items():
        where = f"{name}.{key}"
        listed = given if isinstance(given, list) else _parsed(given, where, problems)
        yield key, Axis(key, _distinct(listed, where, problems), name)


def _parsed(text: str, where: str, problems: list[Problem]) -> list[Any] | None:
    """The values that ``text`` says: a range, or a list in YAML. None, and more ``problems``, if none."""
    found = _RANGE.fullmatch(text)
    if found:
        return _range(found, where, problems)
    if _NO_STEP.fullmatch(text):
        problems.append(
            Problem(where, "a range needs a step: write start:stop:step, such as 1:20:1 or 1:64:x2")
        )
        return None
    try:
        parsed = parse_yaml(f"[{text}]", where)
    except ScenarioError as error:
        problems += [Problem(where, problem.message) for problem in error.problems]
        return None
    problems += [Problem(where, problem.message) for problem in parsed.problems]
    return list(parsed.value)


def _distinct(values: list[Any] | None, where: str, problems: list[Problem]) -> tuple[Any, ...]:
    """``values`` without repetition; none at all, or more than anyone means, is a problem."""
    if values is None:
        return ()
    kept = tuple({repr(value): value for value in values}.values())
    if not kept:
        problems.append(Problem(where, "no values: nothing would be run; give at least one"))
    elif len(kept) > MAX_VALUES:
        problems.append(Problem(where, f"{len(kept):,} values; at most {MAX_VALUES:,} are taken"))
    return kept


def _range(found: re.Match[str], where: str, problems: list[Problem]) -> list[Any] | None:
    """``start:stop:step``, the stop included; with ``x`` or ``*`` before the step each value is a multiple."""
    start, first_unit, stop, stop_unit, times, step, step_unit = found.groups()
    units = {first_unit, stop_unit, *(() if times else (step_unit,))}
    if len(units) > 1:
        problems.append(Problem(where, "start, stop and step have different units; write them in one"))
        return None
    low, high, by = float(start), float(stop), float(step)
    count = _count(low, high, by, multiplies=bool(times))
    if count is None:
        what = f"multiplying by {step}" if times else f"steps of {step}"
        message = f"never ends: {what} from {start} do not reach {stop}"
        problems.append(Problem(where, f"{message}; write start:stop:step, such as 1:20:1 or 1:64:x2"))
        return None
    if count > MAX_VALUES:
        problems.append(Problem(where, f"{count:,} values; at most {MAX_VALUES:,} are taken: a larger step?"))
        return None
    whole = all(re.fullmatch("[-+]?[0-9]+", text) for text in (start, stop, step))
    numbers = [low * by**index if times else low + by * index for index in range(count)]
    return [_written(number, first_unit, whole=whole) for number in numbers]


def _count(low: float, high: float, by: float, *, multiplies: bool) -> int | None:
    """How many values a range has; None when it never gets to its end."""
    if low == high:
        return 1
    if multiplies:
        steps = log(high / low) / log(by) if min(low, high, by) > 0 and by != 1 else -1.0
    else:
        steps = (high - low) / by if by else -1.0
    if not isfinite(steps) or not 0 <= steps < inf:
        return None
    return floor(steps * (1 + 1e-12) + 1e-9) + 1


def _written(number: float, unit: str, *, whole: bool) -> Any:
    """A value as the user would have written it: 3 and not 3.0, 0.3 and not 0.30000000000000004."""
    value = round(number) if whole and number == round(number) else float(f"{number:.12g}")
    return f"{value}{unit}" if unit else value
