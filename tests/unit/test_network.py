"""Transfers over shared links: closed forms, cancellations, failures, order."""

from __future__ import annotations

import doctest
from collections.abc import Callable
from itertools import permutations
from math import inf

import pytest

from llmsim.errors import InvariantError
from llmsim.sim import network as network_module
from llmsim.sim.clock import ARRIVAL, Clock
from llmsim.sim.links import Link, Path
from llmsim.sim.max_min import Demand, max_min_rates
from llmsim.sim.network import Network
from llmsim.sim.transfers import Transfer


class Bench:
    """A network, and when each transfer arrived or was lost."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.network = Network(self.clock)
        self.arrived_s: dict[str, float] = {}
        self.lost_bytes: dict[str, float] = {}

    def send(self, name: str, path: Path, num_bytes: float, **options: float) -> Transfer:
        """Note the fate of a transfer under ``name``."""
        return self.network.send(
            path,
            num_bytes,
            lambda _: self.arrived_s.update({name: self.clock.now}),
            lost=lambda transfer: self.lost_bytes.update({name: transfer.moved_bytes(self.clock.now)}),
            **options,
        )

    def at(self, time_s: float, act: Callable[[], object]) -> None:
        """Do something at ``time_s``, as an arrival would."""
        self.clock.at(time_s, ARRIVAL).callbacks.append(lambda _: act())

    def run(self) -> dict[str, float]:
        """To the end; when everything arrived."""
        self.clock.run_all()
        return self.arrived_s


@pytest.fixture
def bench() -> Bench:
    return Bench()


def link(bytes_per_s: float, latency_s: float = 0.0) -> Link:
    return Link("link", bytes_per_s, latency_s)


def test_one_alone_takes_bytes_over_the_narrowest_link_and_the_latencies(bench: Bench) -> None:
    """The closed form, which Path.seconds also gives."""
    path = Path.through(link(4, 0.25), link(2, 0.5), link(8))
    bench.send("a", path, 6)

    assert {"a": 6 / 2 + 0.75} == bench.run()
    assert 6 / 2 + 0.75 == path.seconds(6)


def test_no_bytes_take_the_latency(bench: Bench) -> None:
    """Even on a link that carries nothing, and nothing is told from within send."""
    bench.send("a", Path.through(link(0, 0.25)), 0)
    bench.send("b", Path((), 0), 7)

    assert {} == bench.arrived_s
    assert {"a": 0.25, "b": 0} == bench.run()


@pytest.mark.parametrize("count", [1, 2, 7, 100])
def test_equal_flows_over_one_link_end_together(bench: Bench, count: int) -> None:
    """n of them take n times as long as one."""
    shared = link(2)
    for index in range(count):
        bench.send(str(index), Path.through(link(10), shared), 6)

    assert [3 * count] * count == pytest.approx(list(bench.run().values()))


def test_an_end_speeds_the_others(bench: Bench) -> None:
    """Three of 1, 2 and 3 bytes over 1 byte/s: at thirds until 3, at halves until 5, alone until 6."""
    shared = Path.through(link(1))
    for size in (1, 2, 3):
        bench.send(str(size), shared, size)

    assert {"1": 3, "2": 5, "3": 6} == pytest.approx(bench.run())


def test_a_start_slows_the_others(bench: Bench) -> None:
    """Alone for 1 s, then at half the rate."""
    shared = Path.through(link(2))
    bench.send("a", shared, 4)
    bench.at(1, lambda: bench.send("b", shared, 4))

    assert {"a": 3, "b": 4} == bench.run()


def test_the_parking_lot(bench: Bench) -> None:
    """One flow over three links of 1, 2 and 3, and one on each: the first link decides, the rest is taken.

    Bertsekas and Gallager 1992, §6.5.2: rates 1/2 on the long way, and 1/2, 3/2, 5/2 beside it.
    """
    links = [link(1), link(2), link(3)]
    rates = max_min_rates([Demand(Path.through(*way).hops) for way in [links, *([each] for each in links)]])

    assert [0.5, 0.5, 1.5, 2.5] == rates


def test_a_limit_leaves_the_rest_to_others(bench: Bench) -> None:
    """One that may have 1 of 4 byte/s leaves 3."""
    shared = Path.through(link(4))
    bench.send("slow", shared, 3, limit_bytes_per_s=1)
    bench.send("fast", shared, 9)

    assert {"slow": 3, "fast": 3} == bench.run()


def test_a_limit_holds_where_there_are_no_links(bench: Bench) -> None:
    """A copy within a place can be limited too."""
    bench.send("a", Path((), 0.5), 6, limit_bytes_per_s=2)

    assert {"a": 3.5} == bench.run()


def test_parallel_links_add_up(bench: Bench) -> None:
    """Spread over two links of 1 byte/s each by halves, one transfer has 2 bytes/s."""
    ports = [link(1), link(1)]
    bench.send("a", Path(tuple((port, 0.5) for port in ports), 0), 6)

    assert {"a": 3} == bench.run()
    assert [3, 3] == [port.carried_bytes for port in ports]


def test_both_directions_are_their_own(bench: Bench) -> None:
    """Full duplex: two links, one for each direction."""
    there, back = Path.through(link(1)), Path.through(link(1))
    bench.send("there", there, 5)
    bench.send("back", back, 5)

    assert {"there": 5, "back": 5} == bench.run()


def test_a_cancelled_transfer_leaves_its_share(bench: Bench) -> None:
    """It has moved what it moved, is told nothing, and time does not wait for the end it would have had."""
    line = link(2)
    shared = Path.through(line)
    gone = bench.send("gone", shared, 1000)
    bench.send("a", shared, 4)
    bench.at(1, lambda: bench.network.cancel(gone))

    assert {"a": 2.5} == bench.run()
    assert ("cancelled", 1) == (gone.status, gone.moved_bytes(99))
    assert (2.5, 5) == (bench.clock.now, line.carried_bytes)


def test_cancelling_at_the_moment_of_the_end_comes_too_late(bench: Bench) -> None:
    """Completions are first; and cancelling twice, or what has arrived, does nothing."""
    transfer = bench.send("a", Path.through(link(1)), 3)
    for _ in range(2):
        bench.at(3, lambda: bench.network.cancel(transfer))

    assert {"a": 3} == bench.run()
    assert "done" == transfer.status


def test_what_is_still_arriving_can_be_cancelled(bench: Bench) -> None:
    """Its bytes have been sent; nobody is told of them."""
    transfer = bench.send("a", Path.through(link(1, latency_s=5)), 3)
    bench.at(4, lambda: bench.network.cancel(transfer))

    assert {} == bench.run()
    assert ("cancelled", 3) == (transfer.status, transfer.moved_bytes(9))


def test_a_moved_byte_can_be_asked_for_at_any_time(bench: Bench) -> None:
    """Half of 2 bytes/s from the start, all of it from 4 on."""
    shared = Path.through(link(2))
    transfer = bench.send("a", shared, 10)
    bench.send("b", shared, 4)
    seen: list[tuple[float, float]] = []
    for time_s in (0, 1, 4, 5):
        bench.at(
            time_s,
            lambda: seen.append((transfer.moved_bytes(bench.clock.now), bench.network.bytes_per_s(transfer))),
        )
    bench.run()

    assert [(0, 1), (1, 1), (4, 2), (6, 2)] == seen
    assert 0 == bench.network.bytes_per_s(transfer)


def test_a_link_that_fails_loses_what_is_on_it(bench: Bench) -> None:
    """Moving or arriving: each is told what it had moved; whoever shared other links goes faster."""
    dead, other = link(8), link(2, latency_s=10)
    moving = bench.send("moving", Path.through(dead, other), 100)
    arriving = bench.send("arriving", Path.through(dead, link(9, latency_s=10)), 3)
    bench.send("a", Path.through(other), 4)
    bench.at(1, lambda: bench.network.fail([dead]))

    assert {"a": 2.5 + 10} == bench.run()
    assert {"moving": 1, "arriving": 3} == bench.lost_bytes
    assert ["lost", "lost"] == [moving.status, arriving.status]


def test_sending_over_a_dead_link_is_lost_at_once(bench: Bench) -> None:
    """With nothing moved; not from within send, and not when it was cancelled before."""
    dead = link(1)
    bench.network.fail([dead])
    bench.send("a", Path.through(dead), 3)
    bench.network.cancel(bench.send("b", Path.through(dead), 3))

    assert {} == bench.lost_bytes
    bench.run()
    assert {"a": 0} == bench.lost_bytes


def test_a_loss_nobody_is_told_of_is_a_mistake(bench: Bench) -> None:
    """Whoever waited would wait for ever."""
    wire = link(1)
    bench.network.send(Path.through(wire), 3, lambda _: None)

    with pytest.raises(InvariantError, match="nobody to tell"):
        bench.network.fail([wire])


@pytest.mark.parametrize(("num_bytes", "limit"), [(-1, 1), (float("nan"), 1), (1, 0)])
def test_impossible_transfers_are_refused(bench: Bench, num_bytes: float, limit: float) -> None:
    """With the numbers."""
    with pytest.raises(InvariantError, match="a transfer of"):
        bench.send("a", Path.through(link(1)), num_bytes, limit_bytes_per_s=limit)


def test_a_link_may_change(bench: Bench) -> None:
    """2 bytes/s for 1 s, nothing for 3 s, then 4 bytes/s."""
    wire = link(2)
    bench.send("a", Path.through(wire), 10)
    bench.at(1, lambda: bench.network.set_capacity(wire, 0))
    bench.at(4, lambda: bench.network.set_capacity(wire, 4))

    assert {"a": 6} == bench.run()


def test_a_link_that_never_limits_joins_nobody(bench: Bench) -> None:
    """Two transfers over one have all of their own links; until it gets a capacity."""
    wide = link(inf)
    for index in range(2):
        bench.send(str(index), Path.through(wide, link(1)), 4)
    bench.send("free", Path.through(wide), 100)
    bench.at(2, lambda: bench.network.set_capacity(wide, 1))

    assert {"free": 0, "0": 6, "1": 6} == bench.run()
    assert 108 == wide.carried_bytes


@pytest.mark.parametrize("bytes_per_s", [-1, inf, float("nan")])
def test_impossible_capacities_are_refused(bench: Bench, bytes_per_s: float) -> None:
    """With the number."""
    with pytest.raises(InvariantError, match="link link cannot carry"):
        bench.network.set_capacity(link(1), bytes_per_s)


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_the_order_of_sending_changes_no_time(bench: Bench, order: tuple[int, ...]) -> None:
    """All at one moment: each arrives when it does in any order, and equal ones in the order sent."""
    wide, narrow = link(4), link(1)
    sends = [
        ("a", Path.through(wide, narrow), 2),
        ("b", Path.through(wide), 5),
        ("c", Path.through(narrow), 2),
    ]
    for index in order:
        bench.send(*sends[index])

    assert {"a": 4, "b": 5 / 3.5, "c": 4} == pytest.approx(bench.run())
    assert [sends[i][0] for i in order if i != 1] == [name for name in bench.arrived_s if name != "b"]


def test_what_follows_an_end_starts_at_once(bench: Bench) -> None:
    """A chain of a thousand transfers, each sent when the one before arrived, loses no time."""
    path = Path.through(link(8))
    left = iter(range(999))

    def follow(_: Transfer | None = None) -> None:
        if next(left, None) is not None:
            bench.network.send(path, 2, follow)

    bench.network.send(path, 2, follow)
    bench.clock.run_all()

    assert 250 == bench.clock.now


def test_a_thousand_transfers_are_solved_in_time() -> None:
    """Over 64 nodes, all at once: everything arrives, not before the busiest port could carry it."""
    bench = Bench()
    ports = [[Link(f"{way} {i}", 1e9) for i in range(64)] for way in ("up", "down")]
    for index in range(1000):
        path = Path.through(ports[0][index % 64], ports[1][(index * 7 + index // 64 + 1) % 64])
        bench.send(str(index), path, 1e6 * (1 + index % 10))
    arrived_s = bench.run()

    assert 1000 == len(arrived_s)
    assert max(port.carried_bytes for side in ports for port in side) / 1e9 <= max(arrived_s.values()) * (
        1 + 1e-9
    )


def test_the_example_in_the_documentation() -> None:
    """As it prints."""
    assert 0 == doctest.testmod(network_module).failed
