"""Where replicas sit, and the way between them."""

from __future__ import annotations

import doctest
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmsim.errors import ScenarioError
from llmsim.files import catalog
from llmsim.sim import topology as topology_module
from llmsim.sim.clock import Clock
from llmsim.sim.links import Path
from llmsim.sim.network import Network
from llmsim.sim.places import Place
from llmsim.sim.topology import Topology
from llmsim.spec.serving import Pool
from llmsim.spec.topology import Topology as TopologySpec
from llmsim.spec.topology import deal

G = 1e9


def pool(accelerator: str = "h100-sxm", **keys: Any) -> Pool:
    return Pool(accelerator=accelerator, **keys)


def topology(**keys: Any) -> Topology:
    return Topology(TopologySpec.model_validate(keys))


def place(where: Topology, number: int, num_devices: int, **keys: Any) -> Place:
    """A replica on DGX H100, unless ``keys`` say otherwise; there has to be room."""
    found = where.place(pool(**{"node": "dgx-h100"} | keys), number, num_devices)
    assert found is not None
    return found


def names(where: Place) -> list[str]:
    return [server.name for server in where.servers]


def test_machines_fill_up_in_order() -> None:
    """First fit: 4 and 3 devices in one machine, the next 4 in another, 1 in the gap."""
    where = topology()
    places = [place(where, number, size) for number, size in enumerate((4, 3, 4, 1))]

    assert ["dgx-h100/0", "dgx-h100/0", "dgx-h100/1", "dgx-h100/0"] == [names(each)[0] for each in places]
    assert [(0, 1, 2, 3), (4, 5, 6), (0, 1, 2, 3), (7,)] == [each.parts[0].devices for each in places]


def test_a_replica_larger_than_a_machine_spans_several() -> None:
    """Whole empty machines, and the remainder in one that has room."""
    where = topology()
    small, large = place(where, 0, 2), place(where, 1, 20)

    assert ["dgx-h100/0"] == names(small)
    assert ["dgx-h100/1", "dgx-h100/2", "dgx-h100/0"] == names(large)
    assert [8, 8, 4] == [len(part.devices) for part in large.parts]


def test_released_devices_are_taken_again() -> None:
    """What comes and goes leaves no gap."""
    where = topology()
    first = place(where, 0, 8)
    place(where, 1, 8)
    where.release(first)

    assert ["dgx-h100/0"] == names(place(where, 2, 8))
    assert 2 == len(list(where.servers()))


def test_a_retired_machine_takes_nobody() -> None:
    """Its replicas' links die with it; the next replica sits elsewhere."""
    where = topology()
    first, second = place(where, 0, 4), place(where, 1, 4)
    links = where.retire(first.servers[0])

    assert {*first.links(), *second.links(), *first.servers[0].network} == set(links)
    where.release(first)
    assert ["dgx-h100/1"] == names(place(where, 2, 4))


@given(st.lists(st.integers(0, 8), max_size=8), st.integers(1, 30))
def test_dealing_takes_what_is_free(free: list[int], num_devices: int) -> None:
    """All devices asked for, none twice, and a replica that fits in a machine in one only."""
    dealt = deal(free, 8, num_devices)
    if dealt is None:
        assert max(free, default=0) < num_devices if num_devices <= 8 else free.count(8) <= num_devices // 8
        return
    assert num_devices == sum(devices for _, devices in dealt)
    assert all(devices <= free[index] for index, devices in dealt)
    assert len(dealt) == len({index for index, _ in dealt}) == -(-num_devices // 8)


def test_within_a_machine_the_scale_up_link_carries() -> None:
    """Two of TP 2 on NVLink 4: 2 × 450 GB/s, and its latency."""
    where = topology()
    path = where.path(place(where, 0, 2), place(where, 1, 2))

    assert (900 * G, pytest.approx(catalog.link("nvlink4").latency_s)) == (path.bytes_per_s, path.latency_s)


def test_the_slower_side_decides() -> None:
    """From 4 devices to 1: what one takes."""
    where = topology()
    four, one = place(where, 0, 4), place(where, 1, 1)

    assert 450 * G == where.path(four, one).bytes_per_s == where.path(one, four).bytes_per_s


def test_between_islands_it_is_pcie() -> None:
    """NVLink bridges join pairs: the second pair is reached through the host."""
    where = topology()
    places = [place(where, number, 1, accelerator="h100-nvl", node=None) for number in range(3)]

    assert 300 * G == where.path(places[0], places[1]).bytes_per_s
    assert catalog.link("pcie5-x16").bytes_per_s == where.path(places[0], places[2]).bytes_per_s


def test_between_machines_it_is_the_ports() -> None:
    """DGX H100: one port of 400 Gb/s for each device, and the latency of InfiniBand."""
    where = topology()
    places = [place(where, number, 4) for number in range(3)]
    path = where.path(places[0], places[2])

    assert (4 * 50 * G, pytest.approx(catalog.link("infiniband-ndr").latency_s)) == (
        path.bytes_per_s,
        path.latency_s,
    )


def test_machines_whose_devices_share_a_port_share_all_of_it() -> None:
    """g4dn.12xlarge, SpotServe's machine: 50 Gb/s for one T4 as for four."""
    where = topology()
    places = [place(where, number, 3, accelerator="t4", node="g4dn.12xlarge") for number in range(2)]
    single = place(where, 2, 1, accelerator="t4", node="g4dn.12xlarge")

    assert 50e9 / 8 == where.path(*places).bytes_per_s == where.path(single, places[1]).bytes_per_s


def test_replicas_of_a_machine_share_its_ports() -> None:
    """Two transfers out of one machine of 50 Gb/s take twice as long as one; in and out do not disturb."""
    where, clock = topology(), Clock()
    network = Network(clock)
    a, b, far = (
        place(where, number, size, accelerator="t4", node="g4dn.12xlarge")
        for number, size in enumerate((2, 2, 4))
    )
    arrived_s: list[float] = []
    for source, target in ((a, far), (b, far), (far, a)):
        network.send(where.path(source, target), 6.25 * G, lambda _: arrived_s.append(clock.now))
    clock.run_all()

    assert [1, 2, 2] == pytest.approx(arrived_s, rel=1e-4)


@pytest.mark.parametrize("num_machines", [1, 2, 3])
def test_a_replica_on_several_machines_has_all_their_ports(num_machines: int) -> None:
    """Each machine sends what it has to its counterpart: rates add up."""
    where = topology()
    one, other = (place(where, number, 8 * num_machines) for number in range(2))

    assert num_machines * 400 * G == pytest.approx(where.path(one, other).bytes_per_s)


def test_uneven_machines_are_as_fast_as_the_slowest_for_its_share() -> None:
    """12 devices on 8 and 4 send two thirds through the first; its ports decide, and it is not the sum."""
    where = topology()
    uneven, even = place(where, 0, 12), place(where, 1, 16)
    path = where.path(uneven, even)

    assert 400 * G / (8 / 12) == pytest.approx(path.bytes_per_s)


def test_shares_of_the_ways_add_up() -> None:
    """Whatever the sizes: all bytes leave the source and all reach the target, each once."""
    where = topology()
    for number, (size, other_size) in enumerate(((12, 20), (1, 8), (3, 24))):
        source, target = place(where, 2 * number, size), place(where, 2 * number + 1, other_size)
        shares = dict(where.path(source, target).hops)

        assert 1 == pytest.approx(sum(shares.get(link, 0) for link in source.links()))
        assert 1 == pytest.approx(sum(shares.get(link, 0) for link in target.links()))


def test_from_a_place_to_itself_is_no_way() -> None:
    """Nothing moves."""
    where = topology()
    here = place(where, 0, 4)

    assert Path((), 0) == where.path(here, here)


ZONES = {
    "zones": ["east", "west", "north"],
    "links": [
        {"between": ["west", "east"], "bandwidth": "10Gb/s", "round_trip_ms": 60},
        {"between": ["east", "east"], "bandwidth": "100Gb/s", "round_trip_ms": 1},
    ],
}


def test_zones_are_joined_by_their_link() -> None:
    """10 Gb/s and half the round trip, on top of the ports' latency; each direction has its own."""
    where = topology(**ZONES)
    east, west = place(where, 0, 8, zone="east"), place(where, 1, 8, zone="west")
    there, back = where.path(east, west), where.path(west, east)

    assert 1.25 * G == there.bytes_per_s == back.bytes_per_s
    assert pytest.approx(0.030 + catalog.link("infiniband-ndr").latency_s) == there.latency_s
    assert not {link for link, _ in there.hops} & {link for link, _ in back.hops}
    assert there is where.path(east, west)


def test_a_zone_can_limit_its_own_network() -> None:
    """Oversubscribed: 100 Gb/s for all that its machines exchange, not for what stays in a machine."""
    where = topology(**ZONES)
    first, second, third = (place(where, number, size) for number, size in enumerate((4, 4, 8)))

    assert 12.5 * G == where.path(first, third).bytes_per_s
    assert 1800 * G == where.path(first, second).bytes_per_s


def test_zones_without_a_link_exchange_nothing() -> None:
    """The message says what to add."""
    where = topology(**ZONES)
    east, north = place(where, 0, 8, zone="east"), place(where, 1, 8, zone="north")

    with pytest.raises(ScenarioError, match=r"'east' and 'north' exchange data.*between: \[east, north\]"):
        where.path(east, north)


def test_machines_listed_are_all_there_are() -> None:
    """Two machines of 8, in the zone of the group; then there is no room, until one leaves."""
    where = topology(zones=["a", "b"], nodes=[{"name": "rack", "node": "dgx-h100", "count": 2, "zone": "b"}])
    first = where.place(pool(), 0, 8)
    second = where.place(pool(), 1, 8)

    assert first is not None and second is not None
    assert (["rack/0"], "b", ["rack/1"]) == (names(first), first.zone, names(second))
    assert where.place(pool(), 2, 1) is None
    assert where.place(pool(zone="a"), 3, 1) is None
    where.release(first)
    assert where.place(pool(), 4, 1) is not None


def test_a_group_may_have_another_network() -> None:
    """DistServe's testbed (OSDI 2024, §6.1): A100-80GB machines with 25 Gb/s between them."""
    where = topology(nodes=[{"name": "rack", "node": "dgx-a100", "count": 4, "bandwidth": "25Gb/s"}])
    one, other = (where.place(pool("a100-sxm-80gb"), number, size) for number, size in enumerate((1, 8)))

    assert one is not None and other is not None
    assert 3.125 * G == where.path(one, other).bytes_per_s


def test_weights_come_from_the_machines_own_disks() -> None:
    """Each machine reads its part; replicas of one machine share its disks."""
    where = topology(storage=[{"name": "raid", "kind": "disk", "bandwidth": "12GB/s"}])
    large, small, other = place(where, 0, 16), place(where, 1, 4), place(where, 2, 4)

    assert 24 * G == where.path(where.storage("raid", large), large).bytes_per_s
    assert 3.5 * G == where.path(where.storage("disk", small), small).bytes_per_s
    raids = [where.storage("raid", each) for each in (small, other)]
    assert 1 == len({link for raid in raids for part in raid.parts for link in (part.host[0].out,)})


def test_weights_come_from_a_store_over_the_network() -> None:
    """100 Gb/s to one machine and 100 ms to the first byte, as AWS says of S3; two machines read twice that."""
    where = topology()
    one, two = place(where, 0, 8), place(where, 1, 16)
    paths = [where.path(where.storage("object_store", each), each) for each in (one, two)]

    assert [12.5 * G, 25 * G] == pytest.approx([path.bytes_per_s for path in paths])
    assert pytest.approx(0.1, rel=1e-3) == paths[0].latency_s


def test_a_store_may_have_a_limit_and_a_zone() -> None:
    """All readers share it, and the link between the zones."""
    store = {"name": "hub", "kind": "object_store", "bandwidth": "5GB/s", "latency_ms": 10, "zone": "east"}
    where = topology(**ZONES, storage=[store])
    near, far = place(where, 0, 16, zone="east"), place(where, 1, 8, zone="west")
    paths = [where.path(where.storage("hub", each), each) for each in (near, far)]

    assert [5 * G, 1.25 * G] == [path.bytes_per_s for path in paths]
    assert pytest.approx(0.010 + 0.030, rel=1e-3) == paths[1].latency_s
    assert 1 == len({path.hops[0][0] for path in paths})


def test_an_unknown_storage_is_told_with_what_there_is() -> None:
    """The nearest name."""
    where = topology()

    with pytest.raises(ScenarioError, match="no storage is called 'disc'; did you mean 'disk'"):
        where.storage("disc", place(where, 0, 1))


def test_what_is_taken_as_given_is_told() -> None:
    """Machines with the source of their network, storage with that of its rate; assumptions are called so."""
    where = topology()
    here = place(where, 0, 1)
    place(where, 1, 1, accelerator="a40", node=None)
    for name in ("disk", "object_store"):
        where.storage(name, here)
    facts = {fact.label: fact for fact in where.facts()}

    assert (
        "8 devices, 450 GB/s from each to its neighbours, 400 GB/s to other machines"
        == facts["Machine dgx-h100"].text
    )
    assert "docs.nvidia.com" in facts["Machine dgx-h100"].source
    assert facts["Machine 8 × a40"].source.startswith("assumed: ")
    assert facts["Storage disk"].source.startswith("assumed: ")
    assert "Amazon S3" in facts["Storage object_store"].source


def test_a_failed_machine_loses_what_goes_in_and_out() -> None:
    """And nothing else."""
    where, clock = topology(), Clock()
    network = Network(clock)
    dead, near, far, other = (place(where, number, size) for number, size in enumerate((4, 4, 8, 8)))
    fates: dict[str, str] = {}
    for name, source, target in (
        ("in", far, dead),
        ("within", dead, near),
        ("out", near, far),
        ("else", far, other),
    ):
        network.send(
            where.path(source, target), G,
            lambda _, name=name: fates.update({name: "done"}), lost=lambda _, name=name: fates.update({name: "lost"}),
        )  # fmt: skip
    network.fail(where.retire(dead.servers[0]))
    clock.run_all()

    assert {"in": "lost", "within": "lost", "out": "lost", "else": "done"} == fates


def test_a_failed_replica_leaves_its_machine_alone() -> None:
    """Its own links are gone; its neighbour's transfers over the same ports go on."""
    where, clock = topology(), Clock()
    network = Network(clock)
    dead, near, far = (place(where, number, size) for number, size in enumerate((4, 4, 8)))
    fates: list[str] = []
    network.send(
        where.path(dead, far), G, lambda _: fates.append("done"), lost=lambda _: fates.append("lost")
    )
    network.send(where.path(near, far), G, lambda _: fates.append("near"))
    network.fail(dead.links())
    clock.run_all()

    assert ["lost", "near"] == fates


@pytest.mark.parametrize("name", catalog.accelerators())
def test_every_accelerator_has_a_machine_to_sit_in(name: str) -> None:
    """Named or assumed, with a way out of it that carries something."""
    where = topology()
    big = where.place(pool(name), 0, 100)
    other = where.place(pool(name), 1, 1)

    assert big is not None and other is not None
    assert 0 < where.path(big, other).bytes_per_s < float("inf")


def test_the_example_in_the_documentation() -> None:
    """As it prints."""
    assert 0 == doctest.testmod(topology_module).failed


def test_an_instance_is_a_machine_of_its_own():
    """Two virtual machines of one device each share neither a disk nor a network port."""
    topology = Topology(TopologySpec())
    pool = Pool(instance="nc24ads-a100-v4", accelerator="a100-pcie-80gb")
    first, second = (topology.place(pool, index, 1) for index in range(2))

    assert first.parts[0].server is not second.parts[0].server
    assert {1} == {server.type.num_devices for server in topology.servers()}
