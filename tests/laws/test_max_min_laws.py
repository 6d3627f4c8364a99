"""Max-min fairness, by its definition; and the network against a fluid model that does nothing clever."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmsim.sim.clock import ARRIVAL, Clock
from llmsim.sim.links import Link, Path
from llmsim.sim.max_min import Demand, max_min_rates
from llmsim.sim.network import Network
from llmsim.sim.transfers import Transfer

NEAR = 1e-9
LATE_S = 1e9
"""After everything."""

capacities = st.lists(st.sampled_from([0.0, 1.0, 2.0, 3.0, 7.5, 100.0]), min_size=1, max_size=6)


@st.composite
def demands_on(draw: st.DrawFn, links: list[Link]) -> Demand:
    """Some flows through some of ``links``, perhaps spread over two of them, perhaps limited."""
    chosen = draw(st.lists(st.sampled_from(links), min_size=1, unique=True))
    hops = [(link, 1.0) for link in chosen]
    if len(chosen) > 1 and draw(st.booleans()):
        share = draw(st.sampled_from([0.5, 1 / 3, 0.1]))
        hops[:2] = [(chosen[0], share), (chosen[1], 1 - share)]
    return Demand(tuple(hops), draw(st.integers(1, 4)), draw(st.sampled_from([inf, inf, 0.3, 1.0, 5.0])))


@st.composite
def problems(draw: st.DrawFn) -> list[Demand]:
    links = [Link(f"link {i}", capacity) for i, capacity in enumerate(draw(capacities))]
    return draw(st.lists(demands_on(links), min_size=1, max_size=12))


def used(demands: list[Demand], rates: list[float]) -> dict[Link, float]:
    total: dict[Link, float] = {}
    for demand, rate in zip(demands, rates, strict=True):
        for link, share in demand.hops:
            total[link] = total.get(link, 0.0) + rate * share * demand.num_flows
    return total


def fastest(demands: list[Demand], rates: list[float], link: Link) -> float:
    return max(rate for demand, rate in zip(demands, rates, strict=True) if link in dict(demand.hops))


@given(problems())
def test_no_link_carries_more_than_it_can(demands: list[Demand]) -> None:
    """Feasible, and nobody exceeds the limit."""
    rates = max_min_rates(demands)

    assert all(total <= link.bytes_per_s * (1 + NEAR) for link, total in used(demands, rates).items())
    assert all(0 <= rate <= demand.limit_bytes_per_s for demand, rate in zip(demands, rates, strict=True))


@given(problems())
def test_nobody_gets_more_except_from_one_who_has_no_more(demands: list[Demand]) -> None:
    """Each flow is at its limit, or has a full link on which no one is faster (Bertsekas and Gallager, §6.5.2).

    That is equivalent to max-min fairness, and so no link that somebody waits for is left idle.
    """
    rates = max_min_rates(demands)
    totals = used(demands, rates)
    for demand, rate in zip(demands, rates, strict=True):
        bottlenecks = [
            link
            for link, _ in demand.hops
            if totals[link] >= link.bytes_per_s * (1 - NEAR)
            and rate >= fastest(demands, rates, link) * (1 - NEAR)
        ]

        assert bottlenecks or rate == demand.limit_bytes_per_s


@given(problems(), st.randoms(use_true_random=False))
def test_the_order_of_the_flows_is_nothing_to_their_rates(demands: list[Demand], random: Random) -> None:
    """Whoever comes first has no advantage."""
    order = list(range(len(demands)))
    random.shuffle(order)
    shuffled = max_min_rates([demands[i] for i in order])

    assert [shuffled[order.index(i)] for i in range(len(demands))] == pytest.approx(max_min_rates(demands))


@given(problems())
def test_many_flows_are_as_many_times_one(demands: list[Demand]) -> None:
    """A demand of n flows is n demands of one."""
    apart = [demand._replace(num_flows=1) for demand in demands for _ in range(demand.num_flows)]
    together = max_min_rates(demands)
    expected = [rate for demand, rate in zip(demands, together, strict=True) for _ in range(demand.num_flows)]

    assert expected == pytest.approx(max_min_rates(apart))


@dataclass
class Order:
    """One transfer of the fluid model below."""

    hops: tuple[tuple[Link, float], ...]
    num_bytes: float
    limit: float
    start_s: float
    cancel_s: float
    moved: float = field(default=0.0)
    end_s: float = field(default=inf)
    """When it moves no more: the last byte, or the cancellation."""


def fluid(orders: list[Order]) -> None:
    """All rates anew at every event, each transfer by itself; fills in ``moved`` and ``end_s``."""
    now_s = 0.0
    active: list[Order] = []
    waiting = sorted(orders, key=lambda order: order.start_s)
    while active or waiting:
        rates = max_min_rates([Demand(order.hops, 1, order.limit) for order in active])
        next_s = waiting[0].start_s if waiting else inf
        for order, rate in zip(active, rates, strict=True):
            if rate:
                next_s = min(next_s, now_s + (order.num_bytes - order.moved) / rate)
            next_s = min(next_s, order.cancel_s)
        if next_s == inf:
            return
        for order, rate in zip(active, rates, strict=True):
            order.moved += rate * (next_s - now_s)
            if order.moved >= order.num_bytes * (1 - 1e-12):
                order.moved, order.end_s = order.num_bytes, next_s
            elif order.cancel_s <= next_s:
                order.end_s = next_s
        now_s = next_s
        active = [order for order in active if order.end_s == inf]
        while waiting and waiting[0].start_s <= now_s:
            active.append(waiting.pop(0))


@st.composite
def plays(draw: st.DrawFn) -> list[Order]:
    demands = draw(problems())
    times = st.sampled_from([0.0, 0.5, 1.0, 2.25, 7.0])
    orders = []
    for demand in demands:
        start_s = draw(times)
        cancel_s = start_s + draw(st.sampled_from([inf, inf, 0.31337, 3.14159]))
        num_bytes = draw(st.floats(0.1, 100))
        orders.append(Order(tuple(demand.hops), num_bytes, demand.limit_bytes_per_s, start_s, cancel_s))
    return orders


def play(orders: list[Order]) -> tuple[list[Transfer], dict[int, float]]:
    """The same on a network: the transfers, and when those that arrived did."""
    clock = Clock()
    network = Network(clock)
    transfers: dict[int, Transfer] = {}
    arrived_s: dict[int, float] = {}

    def send(index: int) -> None:
        order = orders[index]
        transfers[index] = network.send(
            Path(order.hops, 0.0), order.num_bytes, lambda _: arrived_s.update({index: clock.now}),
            limit_bytes_per_s=order.limit,
        )  # fmt: skip
        if order.cancel_s < inf:
            clock.at(order.cancel_s, ARRIVAL).callbacks.append(lambda _: network.cancel(transfers[index]))

    for index, order in enumerate(orders):
        clock.at(order.start_s, ARRIVAL).callbacks.append(lambda _, index=index: send(index))
    clock.run_all()
    return [transfers[index] for index in range(len(orders))], arrived_s


@given(plays())
@settings(deadline=None)
def test_the_network_is_the_fluid_model(orders: list[Order]) -> None:
    """Streams, components and one alarm give the times and bytes of solving everything at every event."""
    transfers, arrived_s = play(orders)
    fluid(orders)
    for index, (order, transfer) in enumerate(zip(orders, transfers, strict=True)):
        assert order.moved == pytest.approx(transfer.moved_bytes(LATE_S))
        assert (order.end_s if order.moved == order.num_bytes else None) == pytest.approx(
            arrived_s.get(index)
        )


@given(plays())
@settings(deadline=None)
def test_links_have_carried_what_was_moved(orders: list[Order]) -> None:
    """Bytes are conserved through ends and cancellations; what still waits at a dead link has moved nothing."""
    transfers, _ = play(orders)
    expected: dict[Link, float] = {}
    for transfer in transfers:
        assert 0 <= transfer.moved_bytes(LATE_S) <= transfer.num_bytes
        assert transfer.status != "done" or transfer.moved_bytes(LATE_S) == transfer.num_bytes
        for link, share in transfer.path.hops:
            expected[link] = expected.get(link, 0.0) + share * transfer.moved_bytes(LATE_S)

    assert expected == pytest.approx({link: link.carried_bytes for link in expected})
