"""`llmsim calibrate --kernels` on files as benchmarks/measure_gpu.py writes them, of a made-up card's laws."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from llmsim.calibrate.kernels import fit_accelerator
from llmsim.cost.collectives import link_bytes_per_s
from llmsim.cost.efficiency import Efficiency
from llmsim.errors import UserError
from llmsim.files import catalog

CARD = catalog.accelerator("rtx-5090")
PEAK, BANDWIDTH = CARD.peak_flops_per_s("bf16") or 0.0, CARD.memory_bytes_per_s
COMPUTE, MEMORY, FLOOR_S, EAGER_S = 0.6, 0.85, 4e-6, 3.5e-6
LINK = 0.7
GPU = "NVIDIA GeForce RTX 5090"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    """benchmarks/measure_gpu.py, for its grids and columns."""
    path = Path(__file__).parents[2] / "benchmarks" / "measure_gpu.py"
    spec = importlib.util.spec_from_file_location("measure_gpu", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def write(script: ModuleType, folder: Path, dtype: str = "bfloat16", times: float = 1.0) -> Path:
    """Every table of the quick grids; ``times`` is what all times are multiplied by."""
    row = {"gpu": GPU, "engine": "torch", "engine_version": "2.9.0"}
    formats = {"kernel": "k", "attn_dtype": dtype, "kv_dtype": dtype, "head_dim": 128}
    gemm = script.Table(folder / "op_gemm.csv")
    for m, n, k in script.gemm_grid(quick=True):
        need = max(2 * m * n * k / PEAK / COMPUTE, 2 * (n * k + m * (n + k)) / BANDWIDTH / MEMORY)
        gemm.add(
            {**row, "dtype": dtype, "kernel": "k", "m": m, "n": n, "k": k, "latency_us": times * us(need)}
        )
    prefill = script.Table(folder / "op_attn_prefill.csv")
    for batch, length, q, kv in script.prefill_grid(quick=True):
        need = 2 * batch * length * (length + 1) * q * 128 / PEAK / COMPUTE
        heads = {"batch": batch, "seq_len": length, "n_q_heads": q, "n_kv_heads": kv}
        prefill.add({**row, **formats, **heads, "latency_us": times * us(need)})
    decode = script.Table(folder / "op_attn_decode.csv")
    for batch, length, q, kv in script.decode_grid(quick=False)[:120]:
        need = 2 * batch * 128 * (kv * 2 * length + q * 2) / BANDWIDTH / MEMORY
        heads = {"batch": batch, "kv_len": length, "n_q_heads": q, "n_kv_heads": kv}
        decode.add({**row, **formats, **heads, "latency_us": times * us(need)})
    device = script.Table(folder / "op_device.csv")
    for size in script.powers(1 << 14, 1 << 30):
        value = 2 * size / (FLOOR_S + 2 * size / BANDWIDTH / MEMORY) / 1e9
        device.add(of_device("copy", size, value, "GB/s"))
    for quantity, seconds in (("launch_eager", EAGER_S), ("launch_graph", FLOOR_S), ("graph_replay", 7e-6)):
        device.add(of_device(quantity, 0, seconds * 1e6, "us"))
    return folder


def us(need_s: float) -> float:
    """A kernel's microseconds: its start and its need."""
    return 1e6 * (FLOOR_S + need_s)


def of_device(quantity: str, size: int, value: float, unit: str) -> dict[str, object]:
    """A row of op_device.csv."""
    return {
        "gpu": GPU, "torch_version": "2.9.0", "quantity": quantity, "bytes": size, "value": value, "unit": unit,
    }  # fmt: skip


def fitted(folder: Path) -> Efficiency:
    """What comes of the folder; the tables are read once per path."""
    return fit_accelerator(folder, CARD, date="2026-11-21")


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_the_fit_finds_the_cards_laws(script: ModuleType, tmp_path: Path, dtype: str) -> None:
    """In either 16-bit format, cards before Ampere having only one; launches and copies of op_device too."""
    found = fitted(write(script, tmp_path, dtype))

    assert found.decode.memory == pytest.approx(MEMORY, rel=0.02)
    assert found.prefill.compute == pytest.approx(COMPUTE, rel=0.03)
    assert found.gemm["bf16"].memory == pytest.approx(MEMORY, rel=0.05)
    assert found.elementwise.memory == pytest.approx(MEMORY, rel=0.01)
    assert found.elementwise.floor_s == pytest.approx(FLOOR_S, rel=0.02)
    assert found.launch.eager_s == pytest.approx(EAGER_S)
    assert {"GEMM bf16", "prefill attention", "decode attention", "copies"} == {f.what for f in found.fits}


def test_what_was_not_timed_is_said_to_be_borrowed(script: ModuleType, tmp_path: Path) -> None:
    """By section, and by format of the products."""
    borrowed = fitted(write(script, tmp_path)).sources[-1]

    assert all(word in borrowed for word in ("all_reduce", "experts", "gemm fp8", "blackwell-consumer"))
    assert "elementwise" not in borrowed


def test_all_reduces_of_nccl_alone_are_enough(script: ModuleType, tmp_path: Path) -> None:
    """Without the engine's own kernel NCCL's small messages stand for it."""
    table, link = script.Table(write(script, tmp_path) / "op_allreduce.csv"), link_bytes_per_s(CARD)
    for size in script.message_grid(quick=False):
        row = {"gpu": GPU, "impl": "nccl", "version": "2.27", "mode": "", "op": "all_reduce", "n_gpu": 2}
        seconds = 1e-5 + size / link / LINK
        table.add(row | {"message_bytes": size, "src": "x", "latency_us": seconds * 1e6})

    assert fitted(tmp_path).all_reduce["2"].ring_bandwidth == pytest.approx(LINK, rel=0.05)


def scaled(name: str, column: int, factor: float) -> Callable[[Path], None]:
    """Multiplies a column of a table."""

    def change(folder: Path) -> None:
        head, *rows = (folder / name).read_text().splitlines()
        cells = [row.split(",") for row in rows]
        for row in cells:
            row[column] = f"{float(row[column]) * factor:.6g}"
        (folder / name).write_text("\n".join([head, *map(",".join, cells)]) + "\n")

    return change


def recoded(name: str, encoding: str, old: str = "", new: str = "") -> Callable[[Path], None]:
    """Writes a table in another encoding, or with other separators."""

    def change(folder: Path) -> None:
        (folder / name).write_text((folder / name).read_text().replace(old, new) if old else "", encoding)

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (scaled("op_attn_decode.csv", 11, 0.5), "rtx-5090's memory bandwidth allows no less than"),
        (scaled("op_attn_prefill.csv", 11, 0.4), "rtx-5090's peak allows no less than"),
        (scaled("op_gemm.csv", 8, 0.4), "GEMM bf16: "),
        (scaled("op_gemm.csv", 8, 1e-3), "op_gemm.csv:2: latency_us 0.00[0-9]+ is no time"),
        (scaled("op_attn_decode.csv", 11, 200), "decode attention bf16: no timing reaches more than"),
        (scaled("op_device.csv", 4, 2.0), "GB/s, more than rtx-5090's memory can"),
        (recoded("op_gemm.csv", "utf-8", ",", ";"), "its cells are separated by ';', should be by commas"),
        (recoded("op_gemm.csv", "utf-16", "k", "k"), "op_gemm.csv: cannot be read as UTF-8 text"),
        (recoded("op_gemm.csv", "utf-8"), "op_gemm.csv: has no column"),
        (recoded("op_gemm.csv", "utf-8", ",bfloat16,k,", ",bfloat16,"), "line 2 has not as many cells"),
    ],
)
def test_timings_that_no_kernel_can_have_are_refused(
    script: ModuleType, tmp_path: Path, change: Callable[[Path], None], words: str
) -> None:
    """Beyond the datasheet is an error, not an efficiency of 1; a thousandth of it is another unit."""
    change(write(script, tmp_path))

    with pytest.raises(UserError, match=words.replace("(", r"\(")):
        fitted(tmp_path)


def test_a_byte_order_mark_does_no_harm(script: ModuleType, tmp_path: Path) -> None:
    """Spreadsheets write one."""
    recoded("op_gemm.csv", "utf-8-sig", "k", "k")(write(script, tmp_path))

    assert "GEMM bf16" in {fit.what for fit in fitted(tmp_path).fits}
