"""Max-min fair rates: nobody gets more except by taking from somebody who has no more.

Progressive filling (Bertsekas and Gallager, Data Networks, 2nd edition 1992, §6.5.2): the rates of all
flows rise together; where a link is full its flows stop, and the others rise on.
"""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heapify, heappop, heapreplace
from math import inf
from typing import NamedTuple, Protocol


class Capacity(Protocol):
    """Something flows share, such as one direction of a link."""

    bytes_per_s: float


class Demand(NamedTuple):
    """Flows that take the same way, and so get the same rate.

    Attributes:
        hops: What each flow goes through and how many of its bytes (a share; 1 is all of them); nothing
            twice. Where the shares of parallel hops add up to one, the flow is spread over them.
        num_flows: How many there are.
        limit_bytes_per_s: Most that each may have.
    """

    hops: Sequence[tuple[Capacity, float]]
    num_flows: int = 1
    limit_bytes_per_s: float = inf


class _Load:
    """What one link has left to give, and to whom."""

    __slots__ = ("demands", "left", "num_rising", "weight")

    def __init__(self, link: Capacity) -> None:
        self.left = link.bytes_per_s
        self.weight = 0.0
        """Bytes/s it carries for each byte/s by which the rates of its rising flows rise."""
        self.demands: list[int] = []
        self.num_rising = 0

    def level(self) -> float:
        """The rate at which its flows fill it."""
        return max(0.0, self.left / self.weight)


def max_min_rates(demands: Sequence[Demand]) -> list[float]:
    """The rate of one flow of each demand, bytes/s; infinite where nothing limits it. Pure.

    Capacities and limits are not negative. Takes O(hops · log links).
    """
    if len(demands) == 1:
        return [_alone(demands[0])]
    rates = [inf] * len(demands)
    loads = _loads(demands)
    limits = [
        (demand.limit_bytes_per_s, i) for i, demand in enumerate(demands) if demand.limit_bytes_per_s < inf
    ]
    limits.sort(reverse=True)
    # A link's level never falls while flows stop below it, so an outdated entry only comes up too early.
    heap = [(load.level(), number, load) for number, load in enumerate(loads.values())]
    heapify(heap)
    while heap or limits:
        level, number, load = heap[0] if heap else (inf, 0, None)
        if limits and (load is None or limits[-1][0] <= level):
            limit, index = limits.pop()
            if rates[index] == inf:
                _stop(index, limit, demands, rates, loads)
        elif load is None or not load.num_rising:
            heappop(heap)
        elif (risen := load.level()) > level:
            heapreplace(heap, (risen, number, load))
        else:
            heappop(heap)
            for index in load.demands:
                if rates[index] == inf:
                    _stop(index, level, demands, rates, loads)
    return rates


def _alone(demand: Demand) -> float:
    """The rate of each flow of ``demand`` with nobody else there."""
    full = [link.bytes_per_s / (share * demand.num_flows) for link, share in demand.hops]
    return min([demand.limit_bytes_per_s, *full])


def _loads(demands: Sequence[Demand]) -> dict[Capacity, _Load]:
    """Every link with the demands that go through it, in the order they come."""
    loads: dict[Capacity, _Load] = {}
    for index, demand in enumerate(demands):
        for link, share in demand.hops:
            load = loads.get(link)
            if load is None:
                load = loads[link] = _Load(link)
            load.weight += share * demand.num_flows
            load.demands.append(index)
            load.num_rising += 1
    return loads


def _stop(
    index: int, rate: float, demands: Sequence[Demand], rates: list[float], loads: dict[Capacity, _Load]
) -> None:
    """Demand ``index`` rises no further than ``rate``."""
    rates[index] = rate
    demand = demands[index]
    for link, share in demand.hops:
        load = loads[link]
        weight = share * demand.num_flows
        load.left -= rate * weight
        load.weight -= weight
        load.num_rising -= 1
