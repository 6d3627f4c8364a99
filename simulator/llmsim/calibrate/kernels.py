"""``llmsim calibrate`` for kernels: efficiency files from kernel timings, reproducibly.

:func:`fit_accelerator` fits one accelerator to the user's tables; :func:`fit_all` makes every measured
and class file of ``hardware/efficiency/``; :func:`kernel_report` says how well they meet timings that
they were not fitted to.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from llmsim.calibrate.kernels_build import (
    EAGER_S,
    GRAPH_TOKENS,
    Section,
    build,
    curve_section,
    scaled,
    unthrottled,
    widened,
)
from llmsim.calibrate.kernels_classes import (
    KINDS,
    LAUNCH,
    PCIE,
    READ_ON,
    STREAMS,
    TIMED,
    Kind,
    Timed,
    curves_of,
    members,
)
from llmsim.calibrate.kernels_device import device_sections
from llmsim.calibrate.kernels_fit import Member, fit_curves
from llmsim.calibrate.kernels_physics import refuse_the_impossible
from llmsim.calibrate.kernels_report import KernelRow, kernel_report, transfer_spread
from llmsim.calibrate.kernels_streams import fit_elementwise, fit_sampler
from llmsim.calibrate.kernels_tables import read_tables
from llmsim.calibrate.kernels_write import efficiency_text
from llmsim.cost.efficiency import Efficiency, efficiency_for
from llmsim.errors import Problem, UserError
from llmsim.spec.hardware import Accelerator

__all__ = ["KernelRow", "efficiency_text", "fit_accelerator", "fit_all", "kernel_report"]

COMMON = {"launch": {"eager_s": EAGER_S, "graph_tokens": GRAPH_TOKENS}}
"""What no kernel timing tells."""


def fit_accelerator(
    folder: Path, device: Accelerator, *, gpu: str | None = None, source: str = "", date: str = READ_ON
) -> Efficiency:
    """The efficiency of ``device``, from the kernel tables in ``folder``.

    What the tables do not tell is taken from what is known of the device, or else of its class; the
    file's sources say which.

    Args:
        folder: Holds tables in the forms that ``benchmarks/measure_gpu.py`` writes.
        device: Its datasheet.
        gpu: Its name in the tables; not needed where they hold one only.
        source: Who measured, and with what.
        date: When.

    Raises:
        UserError: No table, none of that GPU, or times that no kernel takes.
    """
    tables = read_tables(folder)
    found = sorted({row["gpu"] for rows in tables.values() for row in rows})
    if gpu is None and len(found) > 1:
        raise UserError(Problem(str(folder), f"holds timings of {', '.join(found)}; say of which GPU"))
    if gpu is not None and gpu not in found:
        raise UserError(Problem(str(folder), f"holds no timings of '{gpu}', only of {', '.join(found)}"))
    group = [Member(gpu or found[0], device, tables)]
    curves = fit_curves(group)
    sections, lines = build(group, curves)
    if not sections:
        raise UserError(Problem(str(folder), f"holds too few timings of '{gpu or found[0]}' to fit anything"))
    refuse_the_impossible(curves, device)
    launch, streams, stream_lines = device_sections(tables, group[0])
    sections |= streams
    known = efficiency_for(device)
    lent = known.model_dump(
        exclude={"name", "accelerators", "default_for", "fits", "sources", "provenance", "date"},
        exclude_none=True,
    )
    borrowed = sorted(set(lent) - set(sections) - {"gemm", "launch"})
    borrowed += [f"gemm {dtype}" for dtype in lent["gemm"] if dtype not in sections.get("gemm", {})]
    for key in ("gemm", "experts"):
        sections[key] = {**lent[key], **sections.get(key, {})}
    sections["launch"] = lent["launch"] | launch
    document = {**lent, **sections, "name": device.name, "date": date, "accelerators": [device.name]}
    document |= {
        "fits": lines + stream_lines,
        "sources": [source or f"timings of {gpu or found[0]} in {folder.name}"],
    }
    if borrowed:
        document["sources"].append(f"{', '.join(borrowed)}: {known.provenance}")
    return Efficiency.model_validate(document)


@cache
def fit_all(folder: Path) -> dict[str, str]:
    """The text of every file of ``hardware/efficiency``, by its stem. Pure query."""
    tables = read_tables(folder)
    pcie = build(members(PCIE, tables), curves_of(folder, PCIE))[0]["all_reduce"]
    shared = {
        "elementwise": curve_section(fit_elementwise(tables)),
        "sampler": curve_section(fit_sampler(tables)),
        "all_reduce_pcie": pcie,
    }
    transfer = {family: transfer_spread(folder, all_reduce=family) for family in (False, True)}
    kinds = {kind.name: _kind(kind, folder, shared, transfer) for kind in KINDS}
    files = {f"class-{name}": document for name, document in kinds.items()}
    for timed in TIMED:
        files[timed.name] = _timed(timed, folder, shared, kinds[timed.parent])
    return {name: efficiency_text(document) for name, document in sorted(files.items())}


def _kind(kind: Kind, folder: Path, shared: Section, transfer: Mapping[bool, float]) -> dict[str, Any]:
    """The document of a class."""
    group = members(kind.members, read_tables(folder))
    own, _ = build(group, curves_of(folder, kind.members))
    sections = {"all_reduce": shared["all_reduce_pcie"], **own, **shared}
    for path, factor in kind.factors.items():
        head, *between, key = path.split(".")
        sections[head] = _applied(sections[head], between, key, factor)
    adds = {name: max(transfer["all_reduce" in name], kind.transfer) for name in sections}
    sections = {name: widened(section, adds[name]) for name, section in sections.items()}
    names = ", ".join(item.device.name for item in group)
    sources = [f"kernel timings of {names} fitted together; spread widened by {adds['gemm']:g}"]
    sources += [text for text in (kind.why, STREAMS, LAUNCH) if text]
    return {
        "name": f"class-{kind.name}", "date": READ_ON, "accelerators": [], "default_for": list(kind.families),
        **sections, **COMMON, "sources": sources, "fits": [],
    }  # fmt: skip


def _applied(section: Section, between: Sequence[str], key: str, factor: float) -> Section:
    if not between:
        return scaled(section, key, factor)
    return section | {between[0]: _applied(section[between[0]], between[1:], key, factor)}


def _timed(timed: Timed, folder: Path, shared: Section, parent: Mapping[str, Any]) -> dict[str, Any]:
    """The document of a timed accelerator; what was not timed is its class's."""
    tables = read_tables(folder)
    sections, lines = build(members([timed.gpu], tables), curves_of(folder, (timed.gpu,)))
    lent = [key for key in ("experts", "all_reduce") if key not in sections]
    lent += [f"gemm {dtype}" for dtype in parent["gemm"] if dtype not in sections["gemm"]]
    products = parent["gemm"]
    if timed.keeps_clocks:
        products = {dtype: unthrottled(curve) for dtype, curve in products.items()}
    sections["gemm"] = {**products, **sections["gemm"]}
    for key in ("experts", "all_reduce"):
        sections.setdefault(key, parent[key])
    sections |= {key: shared[key] for key in ("elementwise", "sampler")}
    words = "not timed here" + (", its products at the clocks of short bursts" if timed.keeps_clocks else "")
    sources = [timed.source, *([f"{', '.join(lent)}: {parent['name']}, {words}"] if lent else [])]
    return {
        "name": timed.name, "date": READ_ON, "accelerators": list(timed.accelerators), "default_for": [],
        **sections, **COMMON, "sources": [*sources, STREAMS, LAUNCH], "fits": lines,
    }  # fmt: skip
