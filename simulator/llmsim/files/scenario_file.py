"""A scenario file, and what the command line changes of it, as a checked scenario; and back to a file."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from os.path import isfile
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import ValidationError

from llmsim.errors import CatalogError, Problem, ScenarioError, UserError
from llmsim.files import capacity, catalog
from llmsim.files.catalog import expanded
from llmsim.files.changes import apply, read_changes
from llmsim.files.explain import explain
from llmsim.files.layer_times import read_layer_times
from llmsim.files.machines import machine_conflicts
from llmsim.files.overlay_file import read_overlay
from llmsim.files.prices import price_conflicts
from llmsim.files.topology import placement_conflicts
from llmsim.files.yaml_text import Document, add_core_schema, read_yaml
from llmsim.files.zones import fleet_conflicts
from llmsim.registry import nearest
from llmsim.spec.base import Place, raise_problems
from llmsim.spec.model import ModelShape
from llmsim.spec.parallel import parallel_conflicts
from llmsim.spec.scenario import Scenario, length_conflicts
from llmsim.spec.serving import Pool

T = TypeVar("T")

COST_FILES: dict[str, Callable[[Path], object]] = {
    "overlay": read_overlay,
    "efficiency": catalog.read,
    "path": read_layer_times,
}
"""Keys of a cost model that name files, and what reads each."""

DEVICE_NAMES: dict[str, Callable[[str], object]] = {"accelerator": catalog.accelerator, "node": catalog.node}
"""Keys of a pool, or of its stages, that are names of the catalogue."""


@dataclass(frozen=True)
class LoadedScenario:
    """A scenario that can be run.

    Attributes:
        scenario: What the file and the command line say; its paths are absolute.
        path: The file.
        base_dir: The directory relative paths start from.
        model: The model's shape.
        pool_models: Shapes of the models that pools name themselves, by the pool's name.
    """

    scenario: Scenario
    path: Path
    base_dir: Path
    model: ModelShape
    pool_models: Mapping[str, ModelShape] = field(default_factory=dict)

    def model_of(self, pool: Pool) -> ModelShape:
        """The shape of the model that ``pool`` serves. Pure query."""
        return self.pool_models.get(pool.name, self.model)

    @property
    def models_in_words(self) -> str:
        """The names of all models served."""
        return " and ".join(dict.fromkeys(self.model_of(pool).name for pool in self.scenario.fleet))

    def names_of(self, ref: str) -> list[str]:
        """What requests may call the model that the scenario names ``ref``. Pure query."""
        pools = [pool for pool in self.scenario.fleet if self.scenario.model_of(pool).ref == ref]
        shapes = [self.model_of(pool) for pool in pools]
        return [ref, *(name for shape in shapes for name in (shape.name, *shape.aliases))]


def load_scenario(
    path: Path | str, sets: Sequence[str] = (), *, seed: int | None = None, goodput: Sequence[str] = ()
) -> LoadedScenario:
    """The scenario in the file ``path``, checked against the schema and the catalogue.

    Args:
        path: A YAML file, or the name of a shipped scenario.
        sets: Changes, each ``path.to.key=value`` with the value in YAML.
        seed: Replaces ``simulation.seed``.
        goodput: Targets as ``ttft:200``, in milliseconds; merged into ``slo``.

    Raises:
        ScenarioError: With every problem found in file and changes.
    """
    path = _scenario_path(expanded(path))
    base_dir = path.parent.resolve()
    document = _document(path)
    for change in read_changes(sets, goodput, seed, document.problems):
        apply(change, document)
    unreadable = {problem.where for problem in document.problems}
    document.value.setdefault("name", re.sub(r"[^\w.+-]+", "-", path.stem)[:80])
    _make_paths_absolute(document.value, base_dir)
    model, own = _catalogue_names(document, base_dir)
    try:
        scenario = Scenario.model_validate(document.value)
        if model is not None:
            pool_models = {scenario.fleet[index].name: shape for index, shape in own.items()}
            loaded = LoadedScenario(scenario, path, base_dir, model, pool_models)
            raise_problems("Scenario", model_conflicts(loaded))
    except ValidationError as error:
        found = explain(error, document, Scenario)
        document.problems += [problem for problem in found if problem.where not in unreadable]
    if document.problems or model is None:
        raise _error(document)
    return loaded


def _scenario_path(path: Path) -> Path:
    """``path``, or the shipped scenario of that name where there is no such file."""
    if os.path.lexists(path) or path.suffix or len(path.parts) != 1:
        return path
    try:
        return catalog.scenario_path(path.name)
    except CatalogError as error:
        raise ScenarioError(Problem(str(path), f"no such file; {error}"), hint=error.hint) from None


def _document(path: Path) -> Document:
    """The file's content, a mapping. Raises ScenarioError when it is anything else."""
    document = read_yaml(path)
    if isinstance(document.value, dict):
        return document
    given = "is empty" if document.value is None else f"is a {type(document.value).__name__}"
    given = given.replace("a str", "text").replace("a int", "a number").replace("a float", "a number")
    message = f"{given}; a scenario is a mapping with at least `model:`, `fleet:` and `workload:`"
    raise ScenarioError(
        Problem(document.source, message), hint="`llmsim schema` lists every key with its unit"
    )


def _make_paths_absolute(value: dict[str, Any], base_dir: Path) -> None:
    """Changes ``value``: file names in it start at the root, so that it means the same anywhere."""
    fleet, workload = value.get("fleet"), value.get("workload")
    for mapping in (value, *(fleet if isinstance(fleet, list) else [fleet])):
        model = mapping.get("model") if isinstance(mapping, dict) else None
        if isinstance(model, str) and _is_path(model, base_dir):
            mapping["model"] = model = {"path": model}
        if isinstance(model, dict):
            _make_absolute(model, "path", base_dir)
    if isinstance(workload, dict):
        _make_absolute(workload, "trace", base_dir)
        if str(workload.get("profile")).endswith((".yaml", ".yml")):
            _make_absolute(workload, "profile", base_dir)
    for _, cost_model in _cost_models(value):
        for key in COST_FILES:
            _make_absolute(cost_model, key, base_dir)
    for mapping in capacity.files(value):
        _make_absolute(mapping, "trace", base_dir)


def _cost_models(value: dict[str, Any]) -> Iterator[tuple[Place, dict[str, Any]]]:
    """The pools' cost models that are written as mappings, and where."""
    fleet = value.get("fleet")
    for index, pool in enumerate(fleet if isinstance(fleet, list) else [fleet]):
        cost_model = pool.get("cost_model") if isinstance(pool, dict) else None
        if isinstance(cost_model, dict):
            place: Place = ("fleet", index) if isinstance(fleet, list) else ("fleet",)
            yield (*place, "cost_model"), cost_model


def _make_absolute(mapping: dict[str, Any], key: str, base_dir: Path) -> None:
    if isinstance(mapping.get(key), str) and mapping[key]:
        mapping[key] = os.path.normpath(base_dir / expanded(mapping[key]))


def _is_path(name: str, base_dir: Path) -> bool:
    return name.endswith((".json", ".yaml", ".yml")) or isfile(base_dir / name / "config.json")


def _catalogue_names(document: Document, base_dir: Path) -> tuple[ModelShape | None, dict[int, ModelShape]]:
    """The model, and those of pools by position, when their names are known.

    Every unknown name and missing file becomes a problem.
    """
    pool_models: dict[int, ModelShape] = {}
    fleet = document.value.get("fleet")
    pools = fleet if isinstance(fleet, list) else [fleet]
    for index, pool in enumerate(pools):
        at: Place = ("fleet", index) if isinstance(fleet, list) else ("fleet",)
        for place, devices in _device_mappings(pool, at):
            for key, find in DEVICE_NAMES.items():
                if isinstance(devices.get(key), str):
                    _look_up((*place, key), document, find, devices[key])
        own = (
            _model((*at, "model"), pool.get("model"), document, base_dir) if isinstance(pool, dict) else None
        )
        if own is not None:
            pool_models[index] = own
    for at, look_at_pool, pool in capacity.lookups(document.value):
        _look_up(at, document, look_at_pool, pool)
    for place, group in _node_groups(document.value):
        if isinstance(group.get("node"), str):
            _look_up((*place, "node"), document, catalog.node, group["node"])
    for at, cost_model in _cost_models(document.value):
        for key, look_at in COST_FILES.items():
            if isinstance(cost_model.get(key), str):
                _look_up((*at, key), document, look_at, Path(cost_model[key]))
    _look_for_workload(document)
    return _model(("model",), document.value.get("model"), document, base_dir), pool_models


def _model(place: Place, given: Any, document: Document, base_dir: Path) -> ModelShape | None:
    """The model that the file names at ``place``, when it is known."""
    asked = given if isinstance(given, dict) else {"name": given}
    ref = asked.get("name") or asked.get("path")
    if not isinstance(ref, str):
        return None
    return _look_up(place, document, catalog.model, ref, base_dir, asked.get("assume"))


def _device_mappings(pool: Any, at: Place) -> Iterator[tuple[Place, dict[str, Any]]]:
    """What names accelerators and nodes: the pool, and the stages of an asymmetric pipeline."""
    if isinstance(pool, dict):
        yield at, pool
        stages = pool.get("stages")
        for number, stage in enumerate(stages if isinstance(stages, list) else []):
            if isinstance(stage, dict):
                yield (*at, "stages", number), stage


def _node_groups(value: dict[str, Any]) -> Iterator[tuple[Place, dict[str, Any]]]:
    """The machines that the topology lists, and where."""
    topology = value.get("topology")
    groups = topology.get("nodes") if isinstance(topology, dict) else None
    for index, group in enumerate(groups if isinstance(groups, list) else []):
        if isinstance(group, dict):
            yield ("topology", "nodes", index), group


def _look_for_workload(document: Document) -> None:
    """Add a problem when the workload's trace or profile does not exist."""
    workload = document.value.get("workload")
    if not isinstance(workload, dict):
        return
    profile, trace = workload.get("profile"), workload.get("trace")
    if isinstance(profile, str) and not profile.endswith((".yaml", ".yml")):
        _look_up(("workload", "profile"), document, catalog.workload_profile, profile)
    for key, path in (("trace", trace), ("profile", profile)):
        if isinstance(path, str) and Path(path).is_absolute() and not isfile(path):
            message = f"workload.{key}: no such file: {path}{_meant_profile(path) if key == 'trace' else ''}"
            document.problems.append(Problem(document.where(("workload", key)), message))


def _meant_profile(path: str) -> str:
    """What to write instead when a trace that is not there has the name of a profile."""
    try:
        name = catalog.workload_profile(Path(path).name)["name"]
    except CatalogError:
        return ""
    return f"; '{name}' is a profile: write `profile: {name}`"


def _look_up(place: Place, document: Document, find: Callable[..., T], *arguments: Any) -> T | None:
    """What ``find`` finds; its problems become the document's, at ``place``."""
    try:
        return find(*arguments)
    except UserError as error:
        dotted = ".".join(map(str, place))
        document.hint = document.hint or error.hint
        document.problems += [
            Problem(document.where(place), f"{dotted}: {problem}") for problem in error.problems
        ]
    return None


def model_conflicts(loaded: LoadedScenario) -> Iterator[tuple[Place, str]]:
    """What the scenario allows and its models do not."""
    scenario = loaded.scenario
    models = [loaded.model_of(pool) for pool in scenario.fleet]
    yield from parallel_conflicts(scenario.fleet, models)
    yield from machine_conflicts(scenario.fleet)
    yield from placement_conflicts(scenario)
    yield from fleet_conflicts(scenario)
    yield from price_conflicts(scenario)
    engines = [scenario.engine_of(pool) for pool in scenario.fleet]
    if any(engine.longest() is None for engine in engines):
        limits = [
            engine.longest(model.max_position_embeddings)
            for engine, model in zip(engines, models, strict=True)
        ]
        names = " or ".join(dict.fromkeys(model.name for model in models))
        yield from length_conflicts(scenario.workload, limits, f"{names}'s limit")
    served = {name for pool in scenario.fleet for name in loaded.names_of(scenario.model_of(pool).ref)}
    for name in scenario.workload.models or ():
        if name not in served:
            yield ("workload", "models", name), f"no pool serves '{name}'; {nearest(name, served)}"


def _error(document: Document) -> ScenarioError:
    """All problems of ``document``, in the order of the file, and where to look things up."""
    problems = sorted(dict.fromkeys(document.problems), key=lambda problem: _order(problem, document))
    section = problems[-1].message.partition(":")[0].partition(".")[0]
    name = f" {section}" if section in Scenario.model_fields else ""
    hint = f"`llmsim schema{name}` lists every key with its unit"
    return ScenarioError(problems, hint=document.hint if len(problems) == 1 and document.hint else hint)


def _order(problem: Problem, document: Document) -> tuple[bool, list[int]]:
    in_file = problem.where.startswith(document.source)
    rest = problem.where.removeprefix(document.source) if in_file else ""
    return not in_file, [int(number) for number in rest.split(":") if number]


class _Dumper(yaml.SafeDumper):
    """Quotes text that YAML 1.1 or 1.2 would read as something else; writes no anchors."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


add_core_schema(_Dumper)


def resolved_yaml(scenario: Scenario) -> str:
    """``scenario`` as a file with every key present; reading it gives the same scenario."""
    data = scenario.model_dump(mode="json")
    text: str = yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)
    return text


def scenario_sha256(scenario: Scenario) -> str:
    """What identifies a scenario: the hash of its resolved form, with files by content instead of by path."""
    data = scenario.model_dump(mode="json")
    for model in (data["model"], *(pool["model"] for pool in data["fleet"] if pool["model"])):
        model["path"] = _content(model["path"])
    for key in ("trace", "profile"):
        data["workload"][key] = _content(data["workload"][key])
    for mapping in capacity.files(data):
        mapping["trace"] = _content(mapping["trace"])
    for _, cost_model in _cost_models(data):
        for key in COST_FILES.keys() & cost_model.keys():
            cost_model[key] = _content(cost_model[key])
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()


def _content(path: str | None) -> str | None:
    """The hash of the file at ``path``; a name that is no file stands for itself."""
    if path is None or not Path(path).is_file():
        return path
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
