"""What a pool's accelerators cost: by the scenario, the instance type, or the catalogue."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

from llmsim.errors import CatalogError, UserError
from llmsim.files import catalog
from llmsim.files.spot.prices import PriceSeries, read_prices
from llmsim.spec.base import Place
from llmsim.spec.scenario import Scenario
from llmsim.spec.serving import Pool
from llmsim.spec.spot import PriceTrace


@dataclass(frozen=True)
class PoolPrices:
    """Prices of one pool.

    Attributes:
        on_demand: Of one accelerator, in $/h; None when none is known.
        spot: The same of interruptible capacity; None without a ``spot`` section or a known price.
        num_accelerators: How many are rented together: those of the pool's instance type; 1 without one.
    """

    on_demand: PriceSeries | None
    spot: PriceSeries | None
    num_accelerators: int = 1

    def billed(self, accelerators: int) -> int:
        """Accelerators paid for when so many are used: whole instances. Pure query."""
        return -(-accelerators // self.num_accelerators) * self.num_accelerators


def pool_prices(pool: Pool) -> PoolPrices:
    """The prices of ``pool``, whose names and files are known to exist.

    Raises:
        TraceError: The price trace cannot be read.
    """
    size = catalog.instance(pool.instance).num_accelerators if pool.instance else 1
    return PoolPrices(_on_demand(pool), _spot(pool, size), size)


def _on_demand(pool: Pool) -> PriceSeries | None:
    if pool.usd_per_hour is not None:
        return PriceSeries.constant(pool.usd_per_hour)
    return _listed(pool, "usd_per_hour")


def _spot(pool: Pool, size: int) -> PriceSeries | None:
    if pool.spot is None:
        return None
    price = pool.spot.price
    if isinstance(price, PriceTrace):
        series = read_prices(price.trace).from_start(price.start_s, price.time_scale)
        return series.scaled(1 / (price.accelerators or size))
    if price is not None:
        return PriceSeries.constant(price)
    return _listed(pool, "spot_usd_per_hour")


def _listed(pool: Pool, field: str) -> PriceSeries | None:
    """The catalogue's price of one accelerator: the instance type's share of it, else the accelerator's own."""
    usd: float | None
    if pool.instance is not None:
        instance = catalog.instance(pool.instance)
        usd = getattr(instance, field)
        return None if usd is None else PriceSeries.constant(usd / instance.num_accelerators)
    usd = getattr(catalog.accelerator(pool.accelerator), field)
    return None if usd is None else PriceSeries.constant(usd)


def price_conflicts(scenario: Scenario) -> Iterator[tuple[Place, str]]:
    """Pools without a price, where a target needs one."""
    if scenario.slo.usd_per_million_output_tokens is None:
        return
    for index, pool in enumerate(scenario.fleet):
        with suppress(CatalogError, UserError):  # told with the names and files that are wrong
            prices, what = pool_prices(pool), pool.instance or pool.accelerator
            if pool.spot is not None and prices.spot is None:
                message = (
                    f"slo.usd_per_million_output_tokens needs a price, and no spot price of {what} is known"
                )
                yield ("fleet", index, "spot"), f"{message}; give spot.price"
            elif prices.on_demand is None:
                message = f"slo.usd_per_million_output_tokens needs a price, and none of {what} is known"
                yield ("fleet", index), f"{message}; give usd_per_hour"
