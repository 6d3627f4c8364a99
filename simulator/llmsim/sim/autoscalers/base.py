"""What an autoscaler is: it looks at a pool now and then, and says how many replicas it should have."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from math import ceil, nan
from typing import TYPE_CHECKING, Any, NamedTuple

from llmsim.engine.kv.base import NoOptions
from llmsim.spec.base import Place, Strict

if TYPE_CHECKING:
    from llmsim.spec.scenario import Scenario

ROUNDING = 1e-9
"""Relative: three and this much are three."""


class PoolView(NamedTuple):
    """What a controller can see of a pool: gauges of this moment, and counts since it looked last.

    Attributes:
        now_s, interval_s: The time, and how long ago the last look was.
        target: Replicas wanted so far.
        serving, starting, draining: Replicas that take requests, will, and only finish those they have.
        running, waiting: Requests at the serving replicas that run, and that do not.
        held: Requests at the door, which wait for a replica to be there.
        kv_usage, kv_usage_max: Share of the KV blocks held, mean and maximum over the serving replicas.
        arrivals: Requests for the pool's model that came.
        completions: Requests that the serving replicas delivered.
        ttft_attainment: Of the requests for the pool's model whose time to the first token was up, the share
            that had it by then; nan when there were none, or there is no target.
    """

    now_s: float
    interval_s: float
    target: int
    serving: int
    starting: int = 0
    draining: int = 0
    running: int = 0
    waiting: int = 0
    held: int = 0
    kv_usage: float = 0.0
    kv_usage_max: float = 0.0
    arrivals: int = 0
    completions: int = 0
    ttft_attainment: float = nan

    @property
    def ongoing(self) -> int:
        """Requests that are not done: running, waiting, or held at the door."""
        return self.running + self.waiting + self.held


class Setting(NamedTuple):
    """What an autoscaler is built into.

    Attributes:
        startup_s: Time from wanting one more replica until it serves, as far as it is known beforehand.
        attainment: Share of the requests that has to meet the targets (``slo.percentile``).
    """

    startup_s: float = 0.0
    attainment: float = 1.0


NOTHING_KNOWN = Setting()


class Autoscaler(ABC):
    """Says how many replicas a pool should have. Sees what a real controller could: never the future.

    Limits and delays are not its business: whatever it says is kept between ``min_replicas`` and
    ``max_replicas``, above 0 while there are requests, and takes effect after the delays.

    Attributes:
        follows_load: Whether what it says moves up and down with the load, so that delays calm it.
    """

    Options: type[Strict] = NoOptions
    follows_load = True

    def __init__(self, options: Strict | None = None, setting: Setting = NOTHING_KNOWN) -> None:
        self.options = options if options is not None else self.Options()
        self.setting = setting

    @abstractmethod
    def desired(self, view: PoolView) -> int:
        """The number of replicas wanted; called at each look, in order."""

    @classmethod
    def conflicts(cls, options: dict[str, Any], scenario: Scenario, pool: int) -> Iterator[tuple[Place, str]]:
        """(place, message) of each thing in ``scenario`` that this policy cannot scale its ``pool``-th pool by."""
        yield from ()


def enough(total: float, per_replica: float) -> int:
    """How many replicas carry ``total`` with at most ``per_replica`` each. Pure."""
    return ceil(total / per_replica * (1 - ROUNDING))


def within(total: float, wanted: float, tolerance: float) -> bool:
    """Whether ``total`` is ``wanted``, give or take the relative ``tolerance``. Pure."""
    return abs(total - wanted) <= tolerance * wanted
