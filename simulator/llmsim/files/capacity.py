"""What the pools of a scenario file name besides accelerators: instance types, and traces of capacity and price."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from pydantic import ValidationError

from llmsim.errors import CatalogError
from llmsim.files import catalog
from llmsim.files.spot.prices import read_prices
from llmsim.files.spot.read import read_capacity
from llmsim.spec.base import Place
from llmsim.spec.spot import PriceTrace, Spot

Mapping = dict[str, Any]


def files(value: Mapping) -> Iterator[Mapping]:
    """Every mapping of ``value``, a scenario, whose ``trace`` names a file of capacity or prices."""
    for _, pool in _pools(value):
        for mapping in _spot_files(pool.get("spot")):
            if isinstance(mapping.get("trace"), str):
                yield mapping


def lookups(value: Mapping) -> Iterator[tuple[Place, Callable[[Any], object], Any]]:
    """(where, what looks there, at what) of everything that has to be found or read.

    Looking at a pool's instance also gives the pool the accelerator that it leaves out.
    """
    for place, pool in _pools(value):
        if isinstance(pool.get("instance"), str):
            yield (*place, "instance"), _take_instance, pool
        spot = pool.get("spot")
        for mapping in _spot_files(spot):
            if isinstance(mapping.get("trace"), str):
                at, read = (
                    (("spot",), _read_capacity) if mapping is spot else (("spot", "price"), _read_prices)
                )
                yield (*place, *at, "trace"), read, mapping


def _pools(value: Mapping) -> Iterator[tuple[Place, Mapping]]:
    fleet = value.get("fleet")
    for index, pool in enumerate(fleet if isinstance(fleet, list) else [fleet]):
        if isinstance(pool, dict):
            yield (("fleet", index) if isinstance(fleet, list) else ("fleet",)), pool


def _spot_files(spot: object) -> Iterator[Mapping]:
    if isinstance(spot, dict):
        yield spot
        if isinstance(spot.get("price"), dict):
            yield spot["price"]


def _take_instance(pool: Mapping) -> None:
    """Changes ``pool``: its accelerator is the instance's. Raises CatalogError when it names another."""
    instance = catalog.instance(pool["instance"])
    given = pool.get("accelerator")
    if isinstance(given, str) and given and _accelerator_name(given) not in (instance.accelerator, None):
        raise CatalogError(
            f"{instance.name} has {instance.accelerator}, but accelerator says {given}; remove one of the two"
        )
    if not given:
        pool["accelerator"] = instance.accelerator


def _accelerator_name(name: str) -> str | None:
    """The catalogue's name for ``name``; None when there is none, which is told elsewhere."""
    try:
        return catalog.accelerator(name).name
    except CatalogError:
        return None


def _read_capacity(mapping: Mapping) -> None:
    """Read the availability trace, so that what is wrong with it is told before anything runs."""
    try:
        spot = Spot.model_validate(mapping)
    except ValidationError:
        return  # told with the scenario's other problems
    read_capacity(spot.trace or "", names=spot.names, time_scale=spot.time_scale, start_s=spot.start_s)


def _read_prices(mapping: Mapping) -> None:
    """The same of a price trace."""
    try:
        price = PriceTrace.model_validate(mapping)
    except ValidationError:
        return
    read_prices(price.trace)
