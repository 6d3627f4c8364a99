"""What is compared: several scenarios, or the grid that ``--vary`` makes of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmsim.errors import Problem, ScenarioError, UserError
from llmsim.files.scenario_file import LoadedScenario
from llmsim.files.scenario_text import scenario_sha256
from llmsim.planning.axes import Axis
from llmsim.planning.points import Base, Setting, settings_of, with_seed
from llmsim.planning.settings_text import assignments, last_part
from llmsim.spec.arrivals import ClosedArrivals

HINT = "give another scenario, or --vary engine.scheduler=orca,vllm"


@dataclass(frozen=True)
class Contender:
    """One scenario of a comparison.

    Attributes:
        name: Unique among them, short.
        values: What ``--vary`` gives it: scenario key to value.
        loaded: The scenario.
    """

    name: str
    values: Mapping[str, Any]
    loaded: LoadedScenario

    def setting(self, rate_factor: float = 1.0, loaded: LoadedScenario | None = None) -> Setting:
        """It as something to run, at ``rate_factor`` times its rate as ``loaded`` says. Pure query."""
        return Setting({"scenario": self.name, "rate_factor": rate_factor}, loaded or self.loaded)


def contenders(bases: Sequence[Base], axes: Sequence[Axis] = ()) -> list[Contender]:
    """Every scenario with every combination of ``axes``; the first is the baseline.

    Raises:
        ScenarioError: With every problem of all of them; a scenario that is there twice; names that do not tell
            scenarios apart.
        UserError: There are fewer than two.
    """
    problems: list[Problem] = []
    found = [(base, setting) for base in bases for setting in _settings(base, axes, problems)]
    if problems:
        raise ScenarioError(
            list(dict.fromkeys(problems)), hint="`llmsim schema` lists every key with its unit"
        )
    if len(found) < 2:
        raise UserError("one scenario and nothing varied: nothing to compare it with", hint=HINT)
    loaded = [setting.loaded for _, setting in found if setting.loaded is not None]
    names = _names(bases, [setting.values for _, setting in found], loaded)
    problems = list(_twice(names, loaded)) or list(_ambiguous(names))
    if problems:
        raise ScenarioError(problems, hint=HINT)
    return [
        Contender(name, setting.values, each)
        for name, (_, setting), each in zip(names, found, loaded, strict=True)
    ]


def _settings(base: Base, axes: Sequence[Axis], problems: list[Problem]) -> Iterator[Setting]:
    """The settings of one file; what cannot be run goes to ``problems``."""
    try:
        settings = settings_of(base, axes)
    except ScenarioError as error:
        problems += error.problems
        return
    for setting in settings:
        if setting.loaded is None:
            problems.append(
                Problem(f"--vary {_values(setting.values)}", setting.problem or "cannot be loaded")
            )
        yield setting


def _names(
    bases: Sequence[Base], values: Sequence[Mapping[str, Any]], loaded: Sequence[LoadedScenario]
) -> list[str]:
    """What is varied; with several files their scenario's names, or the files' where scenarios share one."""
    if len(bases) == 1:
        return [_values(each) for each in values]
    titles = {each.path: each.scenario.name for each in loaded}
    if len(set(titles.values())) < len(titles):
        titles = {path: Path(path).stem for path in titles}
    return [
        ", ".join(filter(None, (titles[each.path], _values(varied))))
        for each, varied in zip(loaded, values, strict=True)
    ]


def _values(values: Mapping[str, Any]) -> str:
    """``scheduler=orca``: the last part of each key where that tells them apart."""
    short = list(map(last_part, values))
    keys = short if len(set(short)) == len(short) else list(values)
    return assignments(dict(zip(keys, values.values(), strict=True)))


def _twice(names: Sequence[str], loaded: Sequence[LoadedScenario]) -> Iterator[Problem]:
    """Scenarios that differ in nothing that a run depends on."""
    seen: dict[str, str] = {}
    for name, each in zip(names, loaded, strict=True):
        scenario = with_seed(each, 0).scenario.model_copy(update={"name": "", "sweep": None})
        sha256 = scenario_sha256(scenario)
        if sha256 in seen:
            first = seen[sha256]
            same = "is given twice" if first == name else f"is the same scenario as {first}"
            yield Problem(name, f"{same}: they can only agree")
        seen.setdefault(sha256, name)


def _ambiguous(names: Sequence[str]) -> Iterator[Problem]:
    for name in dict.fromkeys(names):
        if names.count(name) > 1:
            message = f"{names.count(name)} scenarios are called so; give each a `name:` of its own"
            yield Problem(name, message)


def pairing_warnings(compared: Sequence[Contender]) -> list[str]:
    """In words, where pairs of runs with one seed are not runs of the same requests, or have other targets. Pure."""
    first, *others = compared
    warnings = [warning for other in others for warning in _against(first, other)]
    if any(isinstance(each.loaded.scenario.workload.arrival, ClosedArrivals) for each in compared):
        warnings.append(
            "in a closed loop every scenario gets the same requests in the same order, at times of its own: a "
            "request is sent when another ends"
        )
    if any(each.loaded.scenario.workload.has_sessions for each in compared):
        warnings.append(
            "sessions ask the same in every scenario, at times of their own: a request is sent when the one before it "
            "has ended and its user has thought"
        )
    return warnings


def _against(first: Contender, other: Contender) -> Iterator[str]:
    ours, theirs = first.loaded.scenario, other.loaded.scenario
    differing = _differing_keys(ours.workload.model_dump(), theirs.workload.model_dump())
    swapped = ours.model_copy(update={"workload": theirs.workload})
    if differing and scenario_sha256(swapped) != scenario_sha256(ours):
        yield (
            f"{other.name} does not get the requests of {first.name}: workload.{', workload.'.join(differing)} "
            "differ; pairs have a seed in common and no more, so that intervals are wider and a difference may be "
            "the workload's"
        )
    if ours.slo != theirs.slo:
        yield f"{other.name} has other targets than {first.name}: attainment and goodput mean different things"


def _differing_keys(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> list[str]:
    return [key for key in ours if ours[key] != theirs.get(key)]
