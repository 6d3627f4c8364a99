"""Finds a shipped or local file by name: accelerators, nodes, links, instances, models, workload profiles, scenarios.

A name that is a file's stem costs one file read. Anything else (an alias, a Hugging Face id, another
spelling) is looked up in an index of the aliases of all files of that kind, built when first needed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from os.path import isfile
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeVar, cast

import yaml
from pydantic import BaseModel, ValidationError

from llmsim.errors import CatalogError, Problem
from llmsim.files.yaml_text import add_core_schema
from llmsim.registry import nearest
from llmsim.spec.hardware import Accelerator, Instance, Link, Node
from llmsim.spec.model import ModelShape

Kind = Literal["accelerator", "node", "link", "instance", "model", "workload profile", "scenario"]

FOLDERS: dict[Kind, str] = {
    "accelerator": "hardware/accelerators",
    "node": "hardware/nodes",
    "link": "hardware/links",
    "instance": "hardware/instances",
    "model": "workloads/models",
    "workload profile": "workloads",
    "scenario": "scenarios",
}

_VARIANT = re.compile(r"-(instruct|chat|hf|it|base)(?=-|$)|^meta-(?=llama)")
"""Parts of a Hugging Face name that do not change a model's shape."""

Entry = TypeVar("Entry", bound=BaseModel)


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]  # the C one where PyYAML has it
    """PyYAML's fast parser with YAML 1.2's reading of numbers, as scenarios have it."""

    yaml_implicit_resolvers: ClassVar[dict[str, Any]] = {}


add_core_schema(_Loader)


def root() -> Path:
    """The folder of ``hardware``, ``workloads`` and ``scenarios``: in the package, or the checkout."""
    here = Path(__file__).resolve()
    for folder in (here.parents[1] / "catalog", here.parents[3]):
        if (folder / "hardware").is_dir():
            return folder
    raise CatalogError("the catalogue is missing from this installation; install llmsim again")


def names(kind: Kind) -> list[str]:
    """Every entry of a kind, sorted: the stems of its files. Pure query."""
    return sorted(path.stem for path in (root() / FOLDERS[kind]).glob("*.yaml"))


def accelerators() -> list[str]:
    """The accelerators' names, sorted."""
    return names("accelerator")


def models() -> list[str]:
    """The models' names, sorted."""
    return names("model")


def workload_profiles() -> list[str]:
    """The workload profiles' names, sorted."""
    return names("workload profile")


@cache
def accelerator(name: str) -> Accelerator:
    """The accelerator called ``name``; remembered.

    Raises:
        CatalogError: Nothing has that name; the message suggests the nearest.
    """
    return _load(Accelerator, _find("accelerator", name))


@cache
def node(name: str) -> Node:
    """The node called ``name``; remembered. Raises as :func:`accelerator`."""
    return _load(Node, _find("node", name))


@cache
def link(name: str) -> Link:
    """The link called ``name``; remembered. Raises as :func:`accelerator`."""
    return _load(Link, _find("link", name))


@cache
def instance(name: str) -> Instance:
    """The instance type called ``name``; remembered. Raises as :func:`accelerator`."""
    return _load(Instance, _find("instance", name))


def model(ref: str, base_dir: Path | None = None, assume: str | None = None) -> ModelShape:
    """The model that ``ref`` means.

    Args:
        ref: A catalogue name, an alias, a Hugging Face id, or a path: to a ``config.json`` (or the
            folder that holds it), or to a YAML file in the catalogue's own form.
        base_dir: What a relative path is relative to; the working directory by default.
        assume: Read an unknown architecture of a ``config.json`` as this known one.

    Raises:
        CatalogError: Neither a known name nor a file; the message suggests the nearest names.
        ModelConfigError: A ``config.json`` that does not say what has to be known.
    """
    path = _model_file(ref, base_dir or Path())
    if path is None or path.suffix != ".json":
        if assume is not None:
            raise CatalogError("`assume` is for reading a config.json, which this is not; remove it")
        return _catalogued_model(ref) if path is None else _load(ModelShape, path)
    from llmsim.files.hf_config import load_config  # noqa: PLC0415  (a catalogue name needs no config reader)

    return load_config(path, assume=assume)


def workload_profile(name: str) -> dict[str, Any]:
    """The workload profile called ``name``, as its file has it. Raises as :func:`accelerator`."""
    return read(_find("workload profile", name))


def scenario_path(name: str) -> Path:
    """The shipped scenario called ``name``. Raises as :func:`accelerator`."""
    return _find("scenario", name)


def read(path: Path) -> dict[str, Any]:
    """The mapping in a catalogue file.

    Raises:
        CatalogError: The file cannot be read, is not YAML, or is not a mapping.
    """
    try:
        content = yaml.load(path.read_text("utf-8"), _Loader)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise CatalogError(Problem(str(path), " ".join(str(error).split()))) from None
    if not isinstance(content, dict):
        raise CatalogError(Problem(str(path), f"should be a mapping, but is {type(content).__name__}"))
    return cast(dict[str, Any], content)


@cache
def _catalogued_model(name: str) -> ModelShape:
    return _load(ModelShape, _find("model", name))


def _model_file(ref: str, base_dir: Path) -> Path | None:
    """The file ``ref`` names, or None when it reads as a name."""
    path = base_dir / expanded(ref)
    if isfile(path / "config.json"):
        return path / "config.json"
    if path.suffix not in {".json", ".yaml", ".yml"}:
        return None
    if not isfile(path):
        raise CatalogError(Problem(ref, f"no such model file (looked for {path})"))
    return path


def expanded(path: Path | str) -> Path:
    """``path`` with the home directory for ``~``; as it is where that is nobody's."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)


def _load(kind: type[Entry], path: Path) -> Entry:
    """The validated entry in a file; a model's ``aliases`` are the index's, not the shape's."""
    content = read(path)
    if "aliases" not in kind.model_fields:
        content.pop("aliases", None)
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        raise CatalogError(
            [Problem(f"{path}: {'.'.join(map(str, e['loc']))}", e["msg"]) for e in error.errors()]
        ) from None


def _find(kind: Kind, name: str) -> Path:
    """The file of the entry that ``name`` means."""
    folder = root() / FOLDERS[kind]
    path = folder / f"{name}.yaml"
    if "/" not in name and isfile(path):
        return path
    index = _index(kind)
    for spelling in _spellings(name):
        if spelling in index:
            return folder / f"{index[spelling]}.yaml"
    raise CatalogError(
        f"unknown {kind} '{name}'; {nearest(name.rpartition('/')[2], names(kind))}",
        hint=f"`llmsim list {kind.split()[0]}s` shows all of them",
    )


@cache
def _index(kind: Kind) -> dict[str, str]:
    """Every spelling of every name and alias of a kind, to the entry's file stem."""
    index = {_squeeze(stem): stem for stem in names(kind)}
    for stem in () if kind == "scenario" else names(kind):
        for alias in read(root() / FOLDERS[kind] / f"{stem}.yaml").get("aliases", []):
            for spelling in (str(alias), str(alias).rpartition("/")[2]):
                index.setdefault(_squeeze(spelling), stem)
    return index


def _spellings(name: str) -> Iterator[str]:
    """What an index may hold ``name`` under, the most specific first."""
    yield _squeeze(name)
    repository = name.lower().rpartition("/")[2]
    yield _squeeze(repository)
    yield _squeeze(_VARIANT.sub("", re.sub(r"[\s_]+", "-", repository)))


def _squeeze(name: str) -> str:
    """``name`` without case and punctuation: ``H100 SXM`` and ``h100-sxm`` are one, ``1.3b`` and ``13b`` are not."""
    apart = re.sub(r"(?<=\d)[\s._-]+(?=\d)", "_", name.lower())
    return re.sub(r"[^a-z0-9+/_]|(?<!\d)_|_(?!\d)", "", apart)
