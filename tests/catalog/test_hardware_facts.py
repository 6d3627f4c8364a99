"""Published figures of well-known cards, each typed in here from the vendor's own words."""

from __future__ import annotations

import pytest

from llmsim.files import catalog

T = 1e12
GIB = 2**30

FACTS = {
    # bf16 (fp16 before Ampere) dense, fp8 dense, bandwidth, one direction of the link
    "h100-sxm": (989.4 * T, 1978.9 * T, 3.35 * T, 450e9),
    "h200-sxm": (989.4 * T, 1978.9 * T, 4.8 * T, 450e9),
    "h100-pcie": (756 * T, 1513 * T, 2.0 * T, None),
    "a100-sxm-80gb": (312 * T, None, 2.039 * T, 300e9),
    "a100-sxm-40gb": (312 * T, None, 1.555 * T, 300e9),
    "v100-sxm-16gb": (125 * T, None, 0.9 * T, 150e9),
    "t4": (65 * T, None, 0.32 * T, None),
    "l4": (121 * T, 242 * T, 0.3 * T, None),
    "l40s": (362 * T, 733 * T, 0.864 * T, None),
    "rtx-4090": (165.2 * T, 330.3 * T, 1.008 * T, None),
    "rtx-4090-d": (147.09 * T, 294.18 * T, 1.008 * T, None),
    "h200-nvl": (835 * T, 1671 * T, 4.8 * T, 450e9),
    "h20-3e": (148 * T, 296 * T, 4.8 * T, 450e9),
    "b200-sxm": (2250 * T, 4500 * T, 7.672 * T, 900e9),
    "mi300x": (1307.4 * T, 2614.9 * T, 5.3 * T, 448e9),
    "mi355x": (2500 * T, 5000 * T, 8.0 * T, 535.5e9),
    "tpu-v5e": (197 * T, None, 0.819 * T, 200e9),
    "tpu-v6e": (918 * T, None, 1.638 * T, 400e9),
}

REPORTED_GIB = {
    "h100-sxm": 79.2,
    "a100-sxm-80gb": 79.25,
    "h200-sxm": 139.8,
    "b200-sxm": 178.35,
    "l4": 22.03,
    "t4": 14.6,
}
"""What CUDA reports as total memory, in GiB."""


@pytest.mark.parametrize("name", FACTS)
def test_16_bit_peak(name: str) -> None:
    """The 16-bit peak is the dense figure of the datasheet."""
    item = catalog.accelerator(name)

    assert FACTS[name][0] == pytest.approx(
        item.peak_flops_per_s("bf16") or item.peak_flops_per_s("fp16"), rel=2e-3
    )


@pytest.mark.parametrize("name", [name for name, fact in FACTS.items() if fact[1]])
def test_fp8_peak(name: str) -> None:
    """The fp8 peak is the dense figure of the datasheet."""
    assert FACTS[name][1] == pytest.approx(catalog.accelerator(name).peak_flops_per_s("fp8"), rel=2e-3)


@pytest.mark.parametrize("name", FACTS)
def test_bandwidth(name: str) -> None:
    """Memory bandwidth is the datasheet's."""
    assert FACTS[name][2] == pytest.approx(catalog.accelerator(name).memory_bytes_per_s, rel=2e-3)


@pytest.mark.parametrize("name", [name for name, fact in FACTS.items() if fact[3]])
def test_scale_up_link(name: str) -> None:
    """The link is counted in one direction (vendors print both added up)."""
    assert FACTS[name][3] == catalog.accelerator(name).link_bytes_per_s


@pytest.mark.parametrize("name", REPORTED_GIB)
def test_reported_memory(name: str) -> None:
    """Memory is what the driver reports, a little less than the name says."""
    assert REPORTED_GIB[name] == pytest.approx(catalog.accelerator(name).memory_bytes / GIB, abs=0.06)


@pytest.mark.parametrize("name", ["v100-sxm-16gb", "t4"])
def test_no_bf16_before_ampere(name: str) -> None:
    """Volta and Turing have no bf16 peak; the figure is fp16."""
    assert catalog.accelerator(name).peak_flops_per_s("bf16") is None


@pytest.mark.parametrize("name", ["a100-sxm-80gb", "a10g", "rtx-3090"])
def test_no_fp8_before_ada(name: str) -> None:
    """Ampere has no fp8 peak, although some tables print its int8 rate there."""
    assert catalog.accelerator(name).peak_flops_per_s("fp8") is None


def test_an_mi250x_is_two_dies() -> None:
    """One die has half of everything the module has."""
    module, die = catalog.accelerator("mi250x"), catalog.accelerator("mi250x-gcd")

    assert module.memory_bytes == 2 * die.memory_bytes
    assert module.memory_bytes_per_s == 2 * die.memory_bytes_per_s
    assert module.peaks == {dtype: 2 * peak for dtype, peak in die.peaks.items()}


def test_a_card_without_a_dense_peak_still_loads() -> None:
    """Cerebras publishes a sparse figure only: no peak is better than a wrong one."""
    assert {} == catalog.accelerator("cerebras-wse-3").peaks


def test_a_dgx_h100_has_eight_cards_and_3200_gigabits() -> None:
    """DGX H100: eight H100 on NVLink 4 and eight ports of 400 Gb/s."""
    node = catalog.node("dgx-h100")

    assert ("h100-sxm", 8, 400e9) == (node.accelerator, node.num_accelerators, node.network_bytes_per_s)


NETWORKS_GBPS = {
    "g4dn.12xlarge": 50,  # SpotServe's testbed
    "p4d.24xlarge": 400,  # AWS: four of 100 Gb/s
    "p5.48xlarge": 3200,  # AWS: 32 EFA devices
    "nd96asr-v4": 1600,  # Orca's testbed; Azure: 200 Gb/s of HDR for each of eight
    "nd96amsr-a100-v4": 1600,
    "nd96isr-h100-v5": 3200,
    "dgx-a100": 1600,
    "dgx-h100": 3200,
}


@pytest.mark.parametrize("name", NETWORKS_GBPS)
def test_networks_of_published_systems(name: str) -> None:
    """The network of the whole node, in bits as vendors and papers print it."""
    assert NETWORKS_GBPS[name] * 1e9 / 8 == catalog.node(name).network_bytes_per_s
