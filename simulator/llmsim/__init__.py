"""Discrete-event simulator of LLM serving.

``load`` reads a scenario, ``run`` simulates it, ``Result`` is what comes back; ``compare``, ``sweep`` and ``plan``
make many runs of one question. The rest is for those who
write a policy: subclass ``Scheduler``, answer with a ``StepPlan``, and register the class.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from llmsim.api import Result, load, run
    from llmsim.engine.batch import Batch
    from llmsim.engine.ordered_queue import OrderedQueue
    from llmsim.engine.plan import StepPlan, Wait
    from llmsim.engine.predictor import Predictor
    from llmsim.engine.scheduler import Scheduler
    from llmsim.plugins import COST_MODELS, KV_CACHES, PREDICTORS, ROUTERS, SCHEDULERS
    from llmsim.studies import Where, compare, plan, sweep

    __version__: str

__all__ = [
    "COST_MODELS",
    "KV_CACHES",
    "PREDICTORS",
    "ROUTERS",
    "SCHEDULERS",
    "Batch",
    "OrderedQueue",
    "Predictor",
    "Result",
    "Scheduler",
    "StepPlan",
    "Wait",
    "Where",
    "__version__",
    "compare",
    "load",
    "plan",
    "run",
    "sweep",
]

_HOMES = {
    **dict.fromkeys(("COST_MODELS", "KV_CACHES", "PREDICTORS", "ROUTERS", "SCHEDULERS"), "llmsim.plugins"),
    **dict.fromkeys(("Result", "load", "run"), "llmsim.api"),
    **dict.fromkeys(("Where", "compare", "plan", "sweep"), "llmsim.studies"),
    **dict.fromkeys(("StepPlan", "Wait"), "llmsim.engine.plan"),
    "Batch": "llmsim.engine.batch",
    "OrderedQueue": "llmsim.engine.ordered_queue",
    "Predictor": "llmsim.engine.predictor",
    "Scheduler": "llmsim.engine.scheduler",
}


def __getattr__(name: str) -> Any:
    """The public names, imported when first asked for: ``import llmsim`` costs nothing."""
    if name == "__version__":
        return _version()
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'llmsim' has no attribute '{name}'")


def _version() -> str:
    """The installed version; ``unknown`` when run from a checkout that is not installed."""
    metadata = import_module("importlib.metadata")
    try:
        return str(metadata.version("llmsim"))
    except metadata.PackageNotFoundError:
        return "unknown"
