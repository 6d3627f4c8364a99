"""benchmarks/measure_gpu.py as far as it goes without a GPU: its grids, its files, its refusals."""

from __future__ import annotations

import builtins
import csv
import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "measure_gpu.py"
DATA = Path(__file__).parents[3] / "shared" / "data" / "calibration"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("measure_gpu", SCRIPT)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def fake_torch(version: str = "2.9.0+cu128", *, cuda: bool = True) -> ModuleType:
    torch = ModuleType("torch")
    torch.__version__ = version  # type: ignore[attr-defined]
    torch.cuda = SimpleNamespace(is_available=lambda: cuda)  # type: ignore[attr-defined]
    return torch


def row(script: ModuleType, **columns: object) -> dict[str, object]:
    return dict.fromkeys(script.HEADERS["op_gemm.csv"], "x") | columns


@pytest.mark.parametrize(
    "name", ["op_gemm.csv", "op_attn_prefill.csv", "op_attn_decode.csv", "op_allreduce.csv"]
)
def test_files_have_the_columns_of_the_published_tables(script: ModuleType, name: str) -> None:
    """The same header, so that one reader reads both."""
    if not DATA.exists():
        pytest.skip("../shared/data is not beside this checkout")
    with (DATA / name).open() as file:
        published = next(csv.reader(line for line in file if not line.startswith("#")))

    assert published == script.HEADERS[name]


@pytest.mark.parametrize("grid", ["gemm_grid", "prefill_grid", "decode_grid", "message_grid"])
def test_a_quick_grid_comes_first_in_the_full_one(script: ModuleType, grid: str) -> None:
    """A run whose time is up has measured the whole range coarsely; no point comes twice."""
    quick, full = (getattr(script, grid)(quick=quick) for quick in (True, False))

    assert set(quick) <= set(full)
    assert len(set(full)) == len(full) > 2 * len(quick)
    if grid != "message_grid":
        assert quick == full[: len(quick)]


def test_grids_cover_what_the_published_tables_cover(script: ModuleType) -> None:
    """m from 1 to 8192 and widths of 1024 to 16384; prompts of 128 to 16k; contexts of 128 to 128k."""
    ends = {
        "gemm_grid": [(1, 8192), (1024, 16384), (1024, 16384)],
        "prefill_grid": [(1, 32), (128, 16384), (8, 64), (1, 32)],
        "decode_grid": [(1, 512), (128, 131072), (8, 64), (1, 32)],
    }
    for grid, expected in ends.items():
        axes = zip(*getattr(script, grid)(quick=False), strict=True)
        assert expected == [(min(axis), max(axis)) for axis in axes]
    assert (512, 1 << 27) == (min(script.message_grid(quick=False)), max(script.message_grid(quick=False)))


def test_a_point_that_is_there_is_not_measured_again(script: ModuleType, tmp_path: Path) -> None:
    """Rows are kept from run to run; what the time column says does not matter."""
    path = tmp_path / "new" / "op_gemm.csv"
    calls: list[int] = []

    def points(count: int):  # type: ignore[no-untyped-def]
        for m in range(count):
            yield row(script, m=m), lambda m=m: calls.append(m) or 1.5

    assert script.fill(script.Table(path), points(2), float("inf"))
    assert script.fill(script.Table(path), points(3), float("inf"))
    assert [0, 1, 2] == calls
    assert 4 == len(path.read_text().splitlines())
    assert path.read_text().splitlines()[1].endswith(",0,x,x,1.5")


def test_a_run_stops_when_its_time_is_up(script: ModuleType, tmp_path: Path) -> None:
    """Without measuring anything more."""
    points = [(row(script, m=1), lambda: 1 / 0)]

    assert not script.fill(script.Table(tmp_path / "op_gemm.csv"), points, 0.0)


def test_a_point_that_does_not_fit_is_left_out_in_words(
    script: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The others are measured."""

    def fail() -> float:
        raise MemoryError

    points = [(row(script, m=1), fail), (row(script, m=2), lambda: 2.0)]

    assert script.fill(script.Table(tmp_path / "op_gemm.csv"), points, float("inf"))
    assert "left out: op_gemm.csv: m 1: too large\n" == capsys.readouterr().err
    assert 2 == len((tmp_path / "op_gemm.csv").read_text().splitlines())


def test_a_file_with_other_columns_is_refused(script: ModuleType, tmp_path: Path) -> None:
    """Nothing is appended to somebody else's table."""
    (tmp_path / "op_gemm.csv").write_text("m,n,k\n1,2,3\n")

    with pytest.raises(SystemExit, match="its columns are not gpu,engine"):
        script.Table(tmp_path / "op_gemm.csv")
    assert "m,n,k\n1,2,3\n" == (tmp_path / "op_gemm.csv").read_text()


def test_without_torch_it_says_so(script: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """And where to get it."""
    real = builtins.__import__

    def refuse(name: str, *rest: object) -> object:
        if name == "torch":
            raise ImportError
        return real(name, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(SystemExit, match="PyTorch is not installed here"):
        script.torch_with_cuda()


@pytest.mark.parametrize(
    ("torch", "message"),
    [(fake_torch(cuda=False), "no CUDA GPU here"), (fake_torch("2.4.1"), "2.4.1 is too old")],
)
def test_without_a_gpu_it_says_so(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch, torch: ModuleType, message: str
) -> None:
    """Before anything is written."""
    monkeypatch.setitem(sys.modules, "torch", torch)

    with pytest.raises(SystemExit, match=message):
        script.torch_with_cuda()


def test_its_options(script: ModuleType) -> None:
    """Defaults and what is refused."""
    given = script.arguments().parse_args(["--quick", "--gpu", "mine"])

    assert (True, "mine", 10.0, Path("gpu-timings")) == (given.quick, given.gpu, given.minutes, given.out)
    with pytest.raises(SystemExit, match="--minutes -1: give a positive number"):
        script.main(["--minutes", "-1"])


def test_help_needs_nothing_but_python() -> None:
    """It runs outside the package, in isolated mode, where torch is imported only when measuring."""
    done = subprocess.run(
        [sys.executable, "-I", "-S", str(SCRIPT), "--help"], capture_output=True, text=True, check=False
    )

    assert (0, "") == (done.returncode, done.stderr)
    assert "op_device.csv" in done.stdout
