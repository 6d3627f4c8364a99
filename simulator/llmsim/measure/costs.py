"""Money and energy in the summary: of the run, by pool, by class, and by token."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from llmsim.measure import ledger, money
from llmsim.measure.allocation import by_class
from llmsim.measure.describe import ratio
from llmsim.measure.records import RunRecord
from llmsim.measure.requests import Bools, RequestTable
from llmsim.measure.slo import good
from llmsim.spec.energy import Energy
from llmsim.spec.scenario import Scenario

J_PER_KWH = 3.6e6


def costs(record: RunRecord, table: RequestTable, scenario: Scenario, duration_s: float) -> dict[str, Any]:
    """Summary fields of money and energy.

    ``usd_per_hour`` is the average over ``duration``. Good tokens are the output of requests that met
    their targets. ``saving`` is the share saved by spot capacity against the same holdings on demand.
    ``energy_j`` is the accelerators' own; ``facility_energy_j`` is PUE times that.
    """
    tokens = _output_tokens(table, table.completed)
    met = good(table, scenario.slo)
    usd = money.cost_usd(record, duration_s)
    joules = money.energy_j(record, duration_s)
    held = money.held(record)
    return {
        "accelerator_seconds": money.accelerator_seconds(record, duration_s),
        "cost_usd": usd,
        "usd_per_hour": None if usd is None else ratio(3600 * usd, duration_s),
        "usd_per_million_output_tokens": money.usd_per_million(usd, tokens),
        "usd_per_million_good_tokens": None
        if met is None
        else money.usd_per_million(usd, _output_tokens(table, met)),
        "on_demand_usd": ledger.on_demand_usd(held) if held else usd,
        "saving": ledger.saving(held),
        "cost_by_pool": ledger.by_pool(held),
        "energy_j": joules,
        "energy_j_per_million_output_tokens": None if joules is None else ratio(1e6 * joules, tokens),
        **_site(joules, scenario.energy),
    }


def _site(joules: float | None, site: Energy) -> dict[str, float | None]:
    """Energy of the facility, and grams of CO2: energy × PUE × intensity (LLMCarbon, arXiv 2309.14393).

    Without a PUE the carbon is that of the accelerators' energy alone.
    """
    facility_j = None if joules is None or site.pue is None else joules * site.pue
    drawn_j = joules if facility_j is None else facility_j
    grams = None
    if drawn_j is not None and site.carbon_g_per_kwh is not None:
        grams = drawn_j / J_PER_KWH * site.carbon_g_per_kwh
    return {"facility_energy_j": facility_j, "carbon_g": grams}


def class_costs(
    record: RunRecord, table: RequestTable, duration_s: float
) -> dict[str, dict[str, float | None]]:
    """Per class: cost, energy, and both by output token, dealt by :func:`allocation.by_class`."""
    usd = _by_class(table, money.cost_by_replica(record, duration_s))
    joules = _by_class(table, money.energy_by_replica(record, duration_s))
    return {
        name: _of_class(usd[index], joules[index], _output_tokens(table, members))
        for index, name in enumerate(table.class_names)
        for members in [table.completed & (table.class_index == index)]
    }


def _of_class(usd: float | None, joules: float | None, tokens: int) -> dict[str, float | None]:
    return {
        "cost_usd": usd,
        "usd_per_million_output_tokens": money.usd_per_million(usd, tokens),
        "energy_j": joules,
        "energy_j_per_million_output_tokens": None if joules is None else ratio(1e6 * joules, tokens),
    }


def _by_class(table: RequestTable, amounts: Mapping[int, float] | None) -> list[float | None]:
    shares = None if amounts is None else by_class(table, amounts)
    return [None] * len(table.class_names) if shares is None else shares.tolist()


def _output_tokens(table: RequestTable, members: Bools) -> int:
    """Output tokens of some requests."""
    return int(table.output_tokens[members].sum(dtype=np.int64))
