"""The efficiency files are what the fit makes of the published timings, byte for byte."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from llmsim.calibrate.kernels import fit_all
from llmsim.cost.efficiency import Efficiency, efficiency_for, known_efficiencies
from llmsim.files.catalog import accelerator

ROOT = Path(__file__).parents[2]
FILES = ROOT / "hardware" / "efficiency"
CALIBRATION = ROOT.parent / "shared" / "data" / "calibration"


def test_the_files_are_made_from_the_data_byte_for_byte() -> None:
    """Every file, and no other."""
    if not CALIBRATION.is_dir():
        pytest.skip(f"{CALIBRATION} is absent")

    made = fit_all(CALIBRATION)

    assert sorted(made) == sorted(path.stem for path in FILES.glob("*.yaml"))
    for name, text in made.items():
        assert text == (FILES / f"{name}.yaml").read_text(), name


@pytest.mark.parametrize("file", known_efficiencies(), ids=lambda file: file.name)
def test_every_file_says_where_it_is_from_and_how_sure(file: Efficiency) -> None:
    """Source, date, spreads; of a timed accelerator also points and errors of every family."""
    assert file.sources
    assert file.date
    assert all(curve.spread > 0 for curve in (*file.gemm.values(), *file.experts.values(), file.prefill))
    if file.accelerators:
        assert all(fit.points >= 8 for fit in file.fits)
        assert {"prefill attention", "decode attention"} <= {fit.what for fit in file.fits}


@pytest.mark.parametrize("file", known_efficiencies(), ids=lambda file: file.name)
def test_no_product_is_faster_than_its_peak(file: Efficiency) -> None:
    """Even short ones, before clocks fall."""
    assert all(curve.compute * (1 + curve.boost) <= 1.002 for curve in file.gemm.values())


def test_a_card_whose_peak_was_cut_and_not_its_power_keeps_its_clocks() -> None:
    """InferSim's H20 reaches 93% of its fp8 peak; an H100 at 700 W falls to 70%, but 95% in short kernels."""
    h20, hopper = (efficiency_for(accelerator(name)) for name in ("h20", "h100-pcie"))
    bf16 = hopper.gemm["bf16"]

    assert h20.gemm["fp8"].compute > 0.9 > hopper.gemm["fp8"].compute
    assert h20.gemm["bf16"].boost == 0
    assert h20.gemm["bf16"].compute == pytest.approx(bf16.compute * (1 + bf16.boost), rel=1e-2)


def test_a_class_is_less_sure_than_its_members() -> None:
    """Carrying curves to another chip adds to the spread, and the provenance says so."""
    timed, lent = efficiency_for(accelerator("h200-sxm")), efficiency_for(accelerator("h100-pcie"))

    assert lent.gemm["bf16"].spread > timed.gemm["bf16"].spread
    assert timed.provenance == "fitted to kernel timings of h200-sxm"
    assert lent.provenance.startswith("assumed: the hopper class, from class-hopper")


@pytest.mark.parametrize(
    "name", ["a40", "rtx-a6000", "rtx-3090", "a10", "l4", "t4", "b200-sxm", "b300-sxm", "mi300x"]
)
def test_accelerators_without_timings_get_their_class(name: str) -> None:
    """Every family of the catalogue has one."""
    assert efficiency_for(accelerator(name)).provenance.startswith("assumed: ")


def test_a_pcie_card_of_an_nvlink_class_reduces_over_pcie() -> None:
    """An A10 has the A100's class, but not its links."""
    efficiency = efficiency_for(accelerator("a10"))

    assert efficiency.all_reduce_for(4, pcie=True).latency_s > efficiency.all_reduce_for(4).latency_s


def test_files_are_plain_yaml() -> None:
    """Read without the catalogue's own loader."""
    for path in FILES.glob("*.yaml"):
        assert yaml.safe_load(path.read_text())["name"] == path.stem
