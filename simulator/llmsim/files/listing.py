"""The catalogue as tables: what ``llmsim list`` prints, one mapping of text per entry."""

from __future__ import annotations

from collections.abc import Callable

from llmsim.errors import CatalogError
from llmsim.files import catalog
from llmsim.registry import nearest
from llmsim.spec.hardware import Cited
from llmsim.units import format_bytes, format_seconds, format_si

Row = dict[str, str]


def kinds() -> list[str]:
    """What :func:`rows` can list, sorted."""
    return sorted(_ROWS)


def rows(kind: str) -> list[Row]:
    """One row per entry of a kind (``accelerators``, ``models`` …), by name; all rows have the same columns.

    Raises:
        CatalogError: No such kind; the message names those there are.
    """
    if kind not in _ROWS:
        raise CatalogError(f"nothing to list under '{kind}'; {nearest(kind, _ROWS)}")
    singular, describe = _ROWS[kind]
    return [describe(name) for name in catalog.names(singular)]


def _flops(value: float | None) -> str:
    return "–" if value is None else format_si(value, "FLOP/s")


def _rate(value: float | None) -> str:
    return "–" if value is None else format_si(value, "B/s")


def _price(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _source(entry: Cited, field: str) -> str:
    """Where ``field`` was read, marked when nobody compared it with the original."""
    cited = entry.sources().get(field)
    if cited is None:
        return "–"
    return f"{cited.citation} (unverified)" if cited.unverified else cited.citation


def _accelerator(name: str) -> Row:
    item = catalog.accelerator(name)
    half = "bf16" if item.peak_flops_per_s("bf16") else "fp16"
    return {
        "name": name,
        "vendor": item.vendor,
        "year": str(item.year),
        "memory": format_bytes(item.memory_bytes),
        "bandwidth": _rate(item.memory_bytes_per_s),
        "bf16 or fp16": _flops(item.peak_flops_per_s(half)),
        "fp8": _flops(item.peak_flops_per_s("fp8")),
        "link": f"{item.link_name} {_rate(item.link_bytes_per_s)}",
        "USD/h": _price(item.usd_per_hour),
        "source of peaks": _source(item, f"peaks.{half}"),
    }


def _node(name: str) -> Row:
    item = catalog.node(name)
    return {
        "name": name,
        "accelerators": f"{item.num_accelerators} x {item.accelerator}",
        "link": item.link,
        "network": f"{item.network_link or '–'} {_rate(item.network_bytes_per_s)}",
        "host memory": "–" if item.host_memory_bytes is None else format_bytes(item.host_memory_bytes),
        "USD/h": _price(item.usd_per_hour),
        "source of network": _source(item, "network_bytes_per_s"),
    }


def _link(name: str) -> Row:
    item = catalog.link(name)
    return {
        "name": name,
        "kind": item.kind,
        "per direction": _rate(item.bytes_per_s),
        "latency": "–" if item.latency_s is None else format_seconds(item.latency_s),
        "source": _source(item, "bytes_per_s"),
    }


def _instance(name: str) -> Row:
    item = catalog.instance(name)
    return {
        "name": name,
        "provider": item.provider,
        "region": item.region,
        "accelerators": f"{item.num_accelerators} x {item.accelerator}",
        "node": item.node or "–",
        "USD/h": _price(item.usd_per_hour),
        "spot USD/h": _price(item.spot_usd_per_hour),
        "read on": max(cited.read_on for cited in item.sources().values()),
        "source of price": _source(item, "usd_per_hour"),
    }


def _model(name: str) -> Row:
    item = catalog.model(name)
    return {
        "name": name,
        "parameters": format_si(item.parameters()),
        "active": format_si(item.active_parameters()),
        "layers": str(item.num_layers),
        "KV numbers per token": f"{item.kv_elements_per_token():,}",
        "context": f"{item.max_position_embeddings:,}",
        "source": item.source,
    }


def _workload(name: str) -> Row:
    profile = catalog.workload_profile(name)
    return {
        "name": name,
        "description": str(profile.get("description", "–")),
        "source": str(profile.get("source", "–")),
    }


def _scenario(name: str) -> Row:
    """The question is the comment a shipped scenario starts with."""
    path = catalog.scenario_path(name)
    with path.open(encoding="utf-8") as file:
        question = file.readline().lstrip("# ").rstrip()
    return {"name": name, "question": question, "source": str(path)}


_ROWS: dict[str, tuple[catalog.Kind, Callable[[str], Row]]] = {
    "accelerators": ("accelerator", _accelerator),
    "instances": ("instance", _instance),
    "links": ("link", _link),
    "models": ("model", _model),
    "nodes": ("node", _node),
    "scenarios": ("scenario", _scenario),
    "workloads": ("workload profile", _workload),
}
