"""How well the fitted curves meet kernels that they were not fitted to; misses are named, not hidden."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from llmsim.calibrate.kernels import KernelRow, kernel_report

CALIBRATION = Path(__file__).parents[2].parent / "shared" / "data" / "calibration"

HELD_BACK_MISSES = {
    ("a100-sxm-80gb", "routed experts", "bf16"),  # tuned for some models' experts, not for others'
    ("h100-sxm", "routed experts", "mxfp4"),
    ("h200-sxm", "routed experts", "mxfp4"),
    ("rtx-pro-6000", "GEMM", "fp4"),  # up to 16 rows stream at half the rate of 64
}
"""Above 8% in the median."""


@pytest.fixture(scope="module")
def rows() -> list[KernelRow]:
    """The whole report."""
    if not CALIBRATION.is_dir():
        pytest.skip(f"{CALIBRATION} is absent")
    return kernel_report(CALIBRATION)


def pooled_median(rows: list[KernelRow]) -> float:
    """Median of the rows' medians, each as often as it has timings."""
    return float(np.median(np.repeat([row.median for row in rows], [row.points for row in rows])))


def held_back(rows: list[KernelRow]) -> list[KernelRow]:
    """All but collectives, whose sizes are few."""
    return [row for row in rows if row.kind == "held back" and row.family != "all-reduce"]


def test_held_back_shapes_are_met_within_eight_per_cent(rows: list[KernelRow]) -> None:
    """Median by accelerator, family and dtype; the misses are the ones listed, and below 13%."""
    misses = {
        (row.accelerator, row.family, row.dtype): row.median for row in held_back(rows) if row.median > 0.08
    }

    assert HELD_BACK_MISSES == set(misses)
    assert max(misses.values()) < 0.13


@pytest.mark.parametrize(
    ("family", "dtype"),
    [
        ("GEMM", "bf16"), ("GEMM", "fp8"), ("prefill attention", "bf16"), ("decode attention", "bf16"),
        ("routed experts", "bf16"), ("routed experts", "fp8"), ("routed experts", "fp4"),
    ],
)  # fmt: skip
def test_every_family_is_met_within_eight_per_cent(rows: list[KernelRow], family: str, dtype: str) -> None:
    """Over all accelerators."""
    mine = [row for row in held_back(rows) if (row.family, row.dtype) == (family, dtype)]

    assert pooled_median(mine) <= 0.08


def test_all_reduces_are_met_within_eight_per_cent(rows: list[KernelRow]) -> None:
    """Both kernels, over all accelerators and group sizes."""
    mine = [row for row in rows if (row.kind, row.family) == ("held back", "all-reduce")]

    assert pooled_median(mine) <= 0.08


@pytest.mark.parametrize(
    ("left_out", "within"), [("h200-sxm", 0.08), ("l40s", 0.12), ("a100-sxm-80gb", 0.16)]
)
def test_an_accelerator_left_out_is_predicted_by_others(
    rows: list[KernelRow], left_out: str, within: float
) -> None:
    """Target 12%: met for H200 and L40S, missed for A100, which has no sister among the others."""
    mine = [row for row in rows if (row.kind, row.accelerator) == ("left out", left_out)]

    assert len(mine) >= 4
    assert pooled_median(mine) <= within


def test_an_h20_needs_its_own_fit(rows: list[KernelRow]) -> None:
    """InferSim's fp8 products: within 8% on held-back shapes, where the Hopper class misses by more than half."""
    own, of_class = (
        next(row for row in rows if (row.kind, row.accelerator, row.family) == (kind, "h20", "GEMM"))
        for kind in ("held back", "other source")
    )

    assert own.median <= 0.08
    assert of_class.median > 0.5


def test_a_chip_nobody_fitted_is_met_by_its_class(rows: list[KernelRow]) -> None:
    """Vidur's A40 (fp16) by the curves of A100 alone, which name neither its SMs nor its bandwidth: within 12%."""
    a40 = next(row for row in rows if (row.kind, row.accelerator) == ("other source", "a40"))

    assert a40.median <= 0.12
