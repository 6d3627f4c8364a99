"""``llmsim list KIND``: what a scenario can name, and where each entry comes from."""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Iterable
from typing import Any, get_args

from rich.table import Table
from rich.text import Text

from llmsim import plugins
from llmsim.cli.console import Console
from llmsim.errors import CatalogError, UserError
from llmsim.files import listing
from llmsim.registry import Registry, nearest
from llmsim.spec.arrivals import Arrival

POLICIES: dict[str, Registry[Any]] = {
    "schedulers": plugins.SCHEDULERS,
    "predictors": plugins.PREDICTORS,
    "kv_caches": plugins.KV_CACHES,
    "preemption_modes": plugins.PREEMPTION_MODES,
    "routers": plugins.ROUTERS,
    "exports": plugins.EXPORTS,
    "autoscalers": plugins.AUTOSCALERS,
    "reclaim_policies": plugins.RECLAIMS,
    "cost_models": plugins.COST_MODELS,
}


def list_entries(kind: str, *, as_json: bool) -> None:
    """Prints the entries of ``kind``, or the kinds there are when it is empty."""
    rows = _rows(kind)
    if as_json:
        print(json.dumps(rows, indent=2, ensure_ascii=False))
        return
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for heading in rows[0] if rows else [f"no {kind}"]:
        table.add_column(heading, overflow="fold", no_wrap=heading == "name")
    for row in rows:
        table.add_row(*map(Text, row.values()))
    Console(width=None if sys.stdout.isatty() else 160).print(table)


def _rows(kind: str) -> list[dict[str, str]]:
    """One row per entry, all with the same columns."""
    kinds = sorted([*POLICIES, *listing.kinds(), "arrivals"])
    if not kind:
        return [{"kind": name} for name in kinds]
    if kind in POLICIES:
        return [_policy(name, POLICIES[kind]) for name in POLICIES[kind].names()]
    if kind == "arrivals":
        return [_arrival(cls) for cls in get_args(get_args(Arrival)[0])]
    if kind in kinds:
        return listing.rows(kind)
    raise UserError(f"unknown kind '{kind}'; {nearest(kind, kinds)}", hint="`llmsim list` shows the kinds")


def _policy(name: str, registry: Registry[Any]) -> dict[str, str]:
    """A plug-in: what its docstring's first line says of it, and the source it names, or else its module."""
    try:
        cls = registry.get(name)
    except CatalogError as error:
        return {"name": name, "options": "", "meaning": str(error), "source": "cannot be loaded"}
    options: Iterable[str] = getattr(getattr(cls, "Options", None), "model_fields", {})
    return {
        "name": name,
        "options": ", ".join(options),
        **_about(cls),
    }


def _arrival(cls: Any) -> dict[str, str]:
    """A kind of arrivals: its keys, and what its docstring says of it."""
    return {
        "name": get_args(cls.model_fields["kind"].annotation)[0],
        "keys": ", ".join(key for key in cls.model_fields if key != "kind"),
        **_about(cls),
    }


def _about(cls: Any) -> dict[str, str]:
    """The first line of a docstring, and the source it names, or else the module."""
    text = inspect.cleandoc(cls.__doc__ or "").replace("``", "`")
    source = " ".join(text.partition("\nSource: ")[2].partition("\n\n")[0].split())
    return {"meaning": text.partition("\n")[0], "source": source or cls.__module__}
