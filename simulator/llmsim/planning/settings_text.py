"""Settings as people name them: what tells one entry of a grid from the others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def value_text(value: Any) -> str:
    """``256``; of a policy with options its kind, then they: ``static (max_wait_s 2)``. Pure."""
    if isinstance(value, dict) and "kind" in value:
        rest = ", ".join(f"{key} {given}" for key, given in value.items() if key != "kind")
        return f"{value['kind']} ({rest})" if rest else str(value["kind"])
    return "none" if value is None else str(value)


def last_part(key: str) -> str:
    """``replicas`` of ``fleet.replicas``. Pure."""
    return key.rpartition(".")[2]


def in_words(settings: Mapping[str, Any]) -> str:
    """``accelerator l40s, replicas 2``. Pure."""
    return ", ".join(f"{last_part(key)} {value_text(value)}" for key, value in settings.items())


def assignments(settings: Mapping[str, Any]) -> str:
    """``fleet.accelerator=l40s, fleet.replicas=2``: as ``--set`` takes them. Pure."""
    return ", ".join(f"{key}={value_text(value)}" for key, value in settings.items())
