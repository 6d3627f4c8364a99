"""A scenario file, and what the command line changes of it, as a checked scenario."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import ValidationError

from llmsim.errors import CatalogError, Problem, ScenarioError
from llmsim.files import catalog
from llmsim.files.bench_flags import apply_bench_flags
from llmsim.files.catalog import expanded
from llmsim.files.changes import Change, apply, read_changes
from llmsim.files.explain import explain
from llmsim.files.machines import machine_conflicts
from llmsim.files.prices import price_conflicts
from llmsim.files.scenario_names import catalogue_names, make_paths_absolute
from llmsim.files.topology import placement_conflicts
from llmsim.files.yaml_text import Document, read_yaml
from llmsim.files.zones import fleet_conflicts
from llmsim.registry import nearest
from llmsim.spec.base import Place, raise_problems
from llmsim.spec.bench import BenchFlags
from llmsim.spec.model import ModelShape
from llmsim.spec.parallel import parallel_conflicts
from llmsim.spec.scenario import Scenario, length_conflicts
from llmsim.spec.serving import Pool


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
    source: Path | str | LoadedScenario,
    sets: Sequence[str] = (),
    *,
    seed: int | None = None,
    goodput: Sequence[str] = (),
    bench: BenchFlags | None = None,
    changes: Sequence[Change] = (),
) -> LoadedScenario:
    """The scenario in a file, or a loaded one changed, checked against the schema and the catalogue.

    Args:
        source: A YAML file, the name of a shipped scenario, or a scenario that was loaded before.
        sets: Changes, each ``path.to.key=value`` with the value in YAML.
        seed: Replaces ``simulation.seed``.
        goodput: Targets as ``ttft:200``, in milliseconds; merged into ``slo``.
        bench: Workload options of ``vllm bench serve``; each replaces what the file says.
        changes: More changes, made after those.

    Raises:
        ScenarioError: With every problem found in file and changes.
    """
    if isinstance(source, LoadedScenario):
        path, base_dir = source.path, source.base_dir
        document = Document(str(path), source.scenario.model_dump(mode="json"))
    else:
        path = _scenario_path(expanded(source))
        base_dir = path.parent.resolve()
        document = _document(path)
    for change in read_changes(sets, goodput, seed, document.problems):
        apply(change, document)
    if bench:
        apply_bench_flags(bench, document)
    for change in changes:
        apply(change, document)
    unreadable = {problem.where for problem in document.problems}
    document.value.setdefault("name", re.sub(r"[^\w.+-]+", "-", path.stem)[:80])
    make_paths_absolute(document.value, base_dir)
    model, own = catalogue_names(document, base_dir)
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
    for place, name in scenario.workload.models_asked:
        if name not in served:
            yield ("workload", *place), f"no pool serves '{name}'; {nearest(name, served)}"


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
