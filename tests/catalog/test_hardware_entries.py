"""Every file of the hardware catalogue loads, carries its sources, and makes physical sense."""

from __future__ import annotations

import re
from collections import Counter
from datetime import date
from itertools import pairwise
from typing import Any

import pytest

from llmsim.files import catalog
from llmsim.spec.hardware import Accelerator, Cited

ACCELERATORS = catalog.accelerators()
NODES = catalog.names("node")
LINKS = catalog.names("link")
INSTANCES = catalog.names("instance")
LOAD = {
    "accelerator": catalog.accelerator,
    "node": catalog.node,
    "link": catalog.link,
    "instance": catalog.instance,
}

FASTEST_BYTES_PER_S = {
    # widest device of the type: bits x Gb/s per pin / 8, with 1% for rounding in datasheets
    "hbm2": 6 * 1024 * 2.4e9 / 8,
    "hbm2e": 8 * 1024 * 3.6e9 / 8,
    "hbm3": 8 * 1024 * 6.4e9 / 8,
    "hbm3e": 8 * 1024 * 9.6e9 / 8,
    "hbm4": 8 * 2048 * 11e9 / 8,
    "gddr6": 384 * 20e9 / 8,
    "gddr6x": 384 * 24e9 / 8,
    "gddr7": 512 * 32e9 / 8,
    "lpddr5": 1024 * 6.4e9 / 8,
    "lpddr5x": 1024 * 9.6e9 / 8,
    "ddr5": 12 * 64 * 8.8e9 / 8,
}

HALVED_ACCUMULATION = {"rtx-3090", "rtx-4090", "rtx-4090-d", "rtx-5090"}
"""GeForce cards multiply 16-bit floats at half rate when they sum in fp32, and int8 at full rate."""


def entries() -> list[Cited]:
    """Every accelerator, node, link and instance type."""
    found: list[Cited] = [catalog.accelerator(name) for name in ACCELERATORS]
    return [*found, *map(catalog.node, NODES), *map(catalog.link, LINKS), *map(catalog.instance, INSTANCES)]


def numbers_in(content: dict[str, Any], path: str = "") -> list[str]:
    """The places of a plain mapping that hold a number."""
    found: list[str] = []
    for key, value in content.items():
        where = f"{path}.{key}" if path else key
        if isinstance(value, dict):
            found += numbers_in(value, where)
        elif isinstance(value, int | float) and key != "year":
            found.append(where)
    return found


def ratio(item: Accelerator, dtype: str, base: str) -> float | None:
    """How many times faster ``dtype`` is than ``base``; None where one of them has no peak."""
    fast, slow = item.peak_flops_per_s(dtype), item.peak_flops_per_s(base)
    return fast / slow if fast and slow else None


def test_there_are_at_least_45_accelerators() -> None:
    """The catalogue holds at least 45 accelerators."""
    assert len(ACCELERATORS) >= 45


@pytest.mark.parametrize(
    "family", ["volta", "blackwell", "cdna2", "cdna4", "tpu", "gaudi", "trainium", "apple", "cpu"]
)
def test_each_family_is_there(family: str) -> None:
    """V100 to B300, MI250X to MI355X, TPU, Gaudi, Trainium, Apple and CPUs each have an entry."""
    assert family in {catalog.accelerator(name).family for name in ACCELERATORS}


@pytest.mark.parametrize("item", entries(), ids=lambda item: item.name)
def test_every_number_has_a_source(item: Cited) -> None:
    """Each number resolves to a citation."""
    content = item.model_dump(exclude={"citations"}, exclude_none=True)

    assert set(numbers_in(content)) == set(item.sources())


@pytest.mark.parametrize("item", entries(), ids=lambda item: item.name)
def test_every_source_says_when_and_why(item: Cited) -> None:
    """A source has a citation and a date that is past; an unverified one says why."""
    for cited in item.sources().values():
        assert len(cited.citation) >= 10
        assert date(2024, 1, 1) <= date.fromisoformat(cited.read_on) <= date.today()
        assert cited.why or not cited.unverified


@pytest.mark.parametrize("kind", list(LOAD))
def test_names_are_the_stems(kind: catalog.Kind) -> None:
    """An entry is called as its file is."""
    load = LOAD[kind]

    assert catalog.names(kind) == [load(name).name for name in catalog.names(kind)]


@pytest.mark.parametrize("name", [*ACCELERATORS, *NODES, *LINKS, *INSTANCES])
def test_names_are_lower_case_with_dashes(name: str) -> None:
    """Names are lower case with dashes (instance types keep the dot of their provider)."""
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*(\.\d+xlarge)?", name)


@pytest.mark.parametrize("kind", list(LOAD))
def test_aliases_are_unique(kind: catalog.Kind) -> None:
    """No two entries of a kind answer to one spelling, and no entry lists one twice."""
    load = LOAD[kind]
    spellings = Counter(
        re.sub(r"[^a-z0-9+/]", "", spelling.lower())
        for name in catalog.names(kind)
        for spelling in {name, *load(name).aliases}
    )

    assert [] == [spelling for spelling, count in spellings.items() if count > 1]


@pytest.mark.parametrize("name", ACCELERATORS)
def test_fp8_is_once_or_twice_bf16(name: str) -> None:
    """fp8 is once or twice bf16; four times is the figure with sparsity."""
    factor = ratio(catalog.accelerator(name), "fp8", "bf16")

    assert factor is None or min(abs(factor - 1), abs(factor - 2)) <= 0.12


@pytest.mark.parametrize("name", ACCELERATORS)
def test_int8_is_at_most_twice_bf16(name: str) -> None:
    """int8 is at most twice bf16, except where bf16 is held at half rate."""
    factor = ratio(catalog.accelerator(name), "int8", "bf16")

    assert factor is None or factor <= (4.04 if name in HALVED_ACCUMULATION else 2.03)


@pytest.mark.parametrize("name", ACCELERATORS)
def test_fp4_is_one_to_four_and_a_half_times_fp8(name: str) -> None:
    """fp4 lies between fp8 and 4.5 times fp8."""
    factor = ratio(catalog.accelerator(name), "fp4", "fp8")

    assert factor is None or 1 <= factor <= 4.5


@pytest.mark.parametrize("name", ACCELERATORS)
def test_tf32_is_at_most_bf16_and_at_least_fp32(name: str) -> None:
    """Peaks fall with the width of the format: bf16 is at least tf32, and tf32 at least fp32 (to 1%)."""
    item = catalog.accelerator(name)
    peaks = [item.peak_flops_per_s(dtype) for dtype in ("bf16", "tf32", "fp32")]
    known = [peak for peak in peaks if peak is not None]

    assert all(wide >= 0.99 * narrow for wide, narrow in pairwise(known))


@pytest.mark.parametrize("name", ACCELERATORS)
def test_bandwidth_is_within_the_memory_type(name: str) -> None:
    """No device reads faster than the widest one of its memory type."""
    item = catalog.accelerator(name)

    assert item.memory_bytes_per_s <= 1.01 * FASTEST_BYTES_PER_S.get(item.memory_type, float("inf"))


@pytest.mark.parametrize("name", ACCELERATORS)
def test_a_peak_is_reached_only_with_reuse(name: str) -> None:
    """A matrix peak needs 30 to 1,000 operations per byte: outside, a unit is wrong (SRAM machines aside)."""
    item = catalog.accelerator(name)
    peak = item.peak_flops_per_s("bf16") or item.peak_flops_per_s("fp16")

    assert item.memory_type == "sram" or peak is None or 30 <= peak / item.memory_bytes_per_s <= 1000


@pytest.mark.parametrize("name", ACCELERATORS)
def test_nobody_measured_more_than_the_peak(name: str) -> None:
    """The best measured matrix product is below the peak and above a third of it."""
    item = catalog.accelerator(name)
    measured, peak = item.measured_bf16_flops_per_s, item.peak_flops_per_s("bf16")

    assert measured is None or (peak is not None and peak / 3 <= measured <= peak)


@pytest.mark.parametrize("name", ACCELERATORS)
def test_spot_costs_no_more_than_on_demand(name: str) -> None:
    """An interruptible device is never dearer than an on-demand one."""
    item = catalog.accelerator(name)

    assert item.spot_usd_per_hour is None or item.spot_usd_per_hour <= (item.usd_per_hour or 0)


@pytest.mark.parametrize("name", ACCELERATORS)
def test_idle_draws_less_than_the_limit(name: str) -> None:
    """Idle power is below the power limit."""
    item = catalog.accelerator(name)

    assert item.idle_w is None or item.idle_w < (item.tdp_w or float("inf"))


@pytest.mark.parametrize("name", ACCELERATORS)
def test_the_scale_up_link_exists(name: str) -> None:
    """An accelerator's link is in the catalogue and at least as fast as what the device has of it."""
    item = catalog.accelerator(name)
    known = catalog.link(item.link_name)

    assert (item.link_bytes_per_s or 0) <= 1.01 * (known.bytes_per_s or 0)


@pytest.mark.parametrize("name", NODES)
def test_nodes_name_what_exists(name: str) -> None:
    """A node's accelerator and links are in the catalogue under exactly those names."""
    node = catalog.node(name)

    assert node.accelerator in ACCELERATORS
    assert node.link in LINKS
    assert node.network_link is None or node.network_link in LINKS


@pytest.mark.parametrize("name", [name for name in NODES if catalog.node(name).num_network_ports])
def test_ports_add_up_to_the_network(name: str) -> None:
    """The ports of a node times the rate of one give the node's network rate."""
    node = catalog.node(name)
    port = catalog.link(node.network_link or "").bytes_per_s or 0

    assert node.network_bytes_per_s == pytest.approx((node.num_network_ports or 0) * port)


@pytest.mark.parametrize("name", INSTANCES)
def test_instances_name_what_exists(name: str) -> None:
    """An instance's accelerator is in the catalogue, and its node, where it has one, is the same machine."""
    item = catalog.instance(name)

    assert item.accelerator in ACCELERATORS
    if item.node is not None:
        node = catalog.node(item.node)
        assert (item.accelerator, item.num_accelerators) == (node.accelerator, node.num_accelerators)


@pytest.mark.parametrize("name", INSTANCES)
def test_spot_instances_are_cheaper(name: str) -> None:
    """Interruptible capacity costs less than the same on demand; at no less, none is listed."""
    item = catalog.instance(name)

    assert item.usd_per_hour is not None
    assert item.spot_usd_per_hour is None or item.spot_usd_per_hour < item.usd_per_hour


@pytest.mark.parametrize(
    ("big", "small"),
    [("p3.16xlarge", "p3.2xlarge"), ("p3.8xlarge", "p3.2xlarge"), ("p5.48xlarge", "p5.4xlarge")],
)
def test_a_provider_charges_by_the_accelerator(big: str, small: str) -> None:
    """AWS prices the sizes of one family in proportion to their accelerators."""
    large, little = catalog.instance(big), catalog.instance(small)

    assert (large.usd_per_hour or 0) / large.num_accelerators == pytest.approx(little.usd_per_hour)
