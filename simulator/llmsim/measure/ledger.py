"""Who was held when, and what that cost: the integral of price over held time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from math import fsum
from typing import Any

from llmsim.files.prices import PoolPrices
from llmsim.files.spot.prices import PriceSeries


@dataclass(frozen=True)
class Holding:
    """Accelerators held, and paid for, without a break.

    Attributes:
        pool: Name of their pool.
        accelerator: Catalogue name.
        devices: How many accelerators; of an instance all, busy or not.
        start_s, end_s: From when they are paid for, and until when, in s.
        price: Of one accelerator; None when none is known.
        on_demand: Of one accelerator on demand, for comparison; None when none is known.
        is_spot: Whether they can be reclaimed.
        replica: Index of the replica that they serve; None where there is none, or several.
        instance: Which instance, where it has a name; else "".
        instance_type: Catalogue name of the instance type; "" without one.
        zone: Where it is; "" without zones.
        instances: How many instances that is.
    """

    pool: str
    accelerator: str
    devices: int
    start_s: float
    end_s: float
    price: PriceSeries | None
    on_demand: PriceSeries | None = None
    is_spot: bool = False
    replica: int | None = None
    instance: str = ""
    instance_type: str = ""
    zone: str = ""
    instances: int = 1

    @classmethod
    def of_pool(cls, pool: str, prices: PoolPrices, devices: int, *, is_spot: bool, **fields: Any) -> Holding:
        """Accelerators of ``pool`` at its prices, in whole instances; ``fields`` are the others."""
        price = prices.spot if is_spot else prices.on_demand
        billed = prices.billed(devices)
        return cls(
            pool=pool, devices=billed, price=price, on_demand=prices.on_demand, is_spot=is_spot, **fields
        )

    @property
    def held_s(self) -> float:
        """How long."""
        return max(0.0, self.end_s - self.start_s)

    @property
    def accelerator_seconds(self) -> float:
        """Device-seconds held."""
        return self.devices * self.held_s

    def usd(self, price: PriceSeries | None) -> float | None:
        """What the holding costs at ``price`` of one accelerator; None without one."""
        return None if price is None else self.devices * price.integral_usd(self.start_s, self.end_s)


def within(holdings: Iterable[Holding], start_s: float, end_s: float) -> list[Holding]:
    """The parts of ``holdings`` between two times; those outside are left out. Pure."""
    cut = (
        replace(each, start_s=max(each.start_s, start_s), end_s=min(each.end_s, end_s)) for each in holdings
    )
    return [each for each in cut if each.end_s > each.start_s]


def accelerator_seconds(holdings: Iterable[Holding]) -> float:
    """Device-seconds held."""
    return fsum(each.accelerator_seconds for each in holdings)


def cost_usd(holdings: Iterable[Holding]) -> float | None:
    """∫ price over the time held, in $; None when any price is unknown."""
    return _sum(each.usd(each.price) for each in holdings)


def on_demand_usd(holdings: Iterable[Holding]) -> float | None:
    """What the same holdings would have cost on demand, in $; None when any such price is unknown."""
    return _sum(each.usd(each.on_demand) for each in holdings)


def saving(holdings: Sequence[Holding]) -> float | None:
    """Share saved against on demand; None without spot capacity, or without a price."""
    usd, full_usd = cost_usd(holdings), on_demand_usd(holdings)
    if usd is None or not full_usd or not any(each.is_spot for each in holdings):
        return None
    return 1 - usd / full_usd


def by_pool(holdings: Iterable[Holding]) -> dict[str, dict[str, float | None]]:
    """Per pool, in order of appearance: device-seconds, those of spot, cost, and cost on demand."""
    pools: dict[str, list[Holding]] = {}
    for each in holdings:
        pools.setdefault(each.pool, []).append(each)
    return {
        name: {
            "accelerator_seconds": accelerator_seconds(held),
            "spot_accelerator_seconds": accelerator_seconds(each for each in held if each.is_spot),
            "cost_usd": cost_usd(held),
            "on_demand_usd": on_demand_usd(held),
        }
        for name, held in pools.items()
    }


def accelerators_held(holdings: Iterable[Holding]) -> list[tuple[float, int, int]]:
    """The step function (time in s, spot accelerators, on-demand accelerators) held from then on. Pure."""
    changes: dict[float, list[int]] = {}
    for each in holdings:
        for time_s, sign in ((each.start_s, 1), (each.end_s, -1)):
            changes.setdefault(time_s, [0, 0])[not each.is_spot] += sign * each.devices
    steps, spot, on_demand = [], 0, 0
    for time_s in sorted(changes):
        spot, on_demand = spot + changes[time_s][0], on_demand + changes[time_s][1]
        steps.append((time_s, spot, on_demand))
    return steps


def _sum(parts: Iterable[float | None]) -> float | None:
    """The exactly rounded sum, in any order the same; None when a part is unknown."""
    known = list(parts)
    return None if None in known else fsum(part for part in known if part is not None)
