"""A scenario back to a file, and what identifies it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import yaml

from llmsim.files import capacity
from llmsim.files.scenario_names import COST_FILES, cost_models
from llmsim.files.yaml_text import add_core_schema
from llmsim.spec.scenario import Scenario


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
    for _, cost_model in cost_models(data):
        for key in COST_FILES.keys() & cost_model.keys():
            cost_model[key] = _content(cost_model[key])
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()


def _content(path: str | None) -> str | None:
    """The hash of the file at ``path``; a name that is no file stands for itself."""
    if path is None or not Path(path).is_file():
        return path
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
