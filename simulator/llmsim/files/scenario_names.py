"""What a scenario file names: files, made absolute, and entries of the catalogue, looked up."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from os.path import isfile
from pathlib import Path
from typing import Any, TypeVar

from llmsim.errors import CatalogError, Problem, UserError
from llmsim.files import capacity, catalog
from llmsim.files.catalog import expanded
from llmsim.files.layer_times import read_layer_times
from llmsim.files.overlay_file import read_overlay
from llmsim.files.yaml_text import Document
from llmsim.spec.base import Place
from llmsim.spec.model import ModelShape

T = TypeVar("T")

COST_FILES: dict[str, Callable[[Path], object]] = {
    "overlay": read_overlay,
    "efficiency": catalog.read,
    "path": read_layer_times,
}
"""Keys of a cost model that name files, and what reads each."""

DEVICE_NAMES: dict[str, Callable[[str], object]] = {"accelerator": catalog.accelerator, "node": catalog.node}
"""Keys of a pool, or of its stages, that are names of the catalogue."""


def make_paths_absolute(value: dict[str, Any], base_dir: Path) -> None:
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
        if isinstance(workload.get("clients"), str):
            workload["clients"] = {"file": workload["clients"]}
        if isinstance(workload.get("clients"), dict):
            _make_absolute(workload["clients"], "file", base_dir)
        if str(workload.get("profile")).endswith((".yaml", ".yml")):
            _make_absolute(workload, "profile", base_dir)
    for _, cost_model in cost_models(value):
        for key in COST_FILES:
            _make_absolute(cost_model, key, base_dir)
    for mapping in capacity.files(value):
        _make_absolute(mapping, "trace", base_dir)


def cost_models(value: dict[str, Any]) -> Iterator[tuple[Place, dict[str, Any]]]:
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


def catalogue_names(document: Document, base_dir: Path) -> tuple[ModelShape | None, dict[int, ModelShape]]:
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
    for at, cost_model in cost_models(document.value):
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
    clients = workload.get("clients")
    path = clients.get("file") if isinstance(clients, dict) else clients
    if isinstance(path, str) and Path(path).is_absolute() and not isfile(path):
        message = f"workload.clients: no such file: {path}"
        document.problems.append(Problem(document.where(("workload", "clients")), message))


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
