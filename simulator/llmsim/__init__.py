"""Discrete-event simulator of LLM serving.

``load`` reads a scenario, ``run`` simulates it, ``Result`` is what comes back.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from llmsim.api import Result, load, run

    __version__: str

__all__ = ["Result", "__version__", "load", "run"]


def __getattr__(name: str) -> Any:
    """The public names, imported when first asked for: ``import llmsim`` costs nothing."""
    if name == "__version__":
        return _version()
    if name in __all__:
        return getattr(import_module("llmsim.api"), name)
    raise AttributeError(f"module 'llmsim' has no attribute '{name}'")


def _version() -> str:
    """The installed version; ``unknown`` when run from a checkout that is not installed."""
    metadata = import_module("importlib.metadata")
    try:
        return str(metadata.version("llmsim"))
    except metadata.PackageNotFoundError:
        return "unknown"
