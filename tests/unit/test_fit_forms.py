"""Fits to kernel timings: their formulas are the cost model's, and bad tables are refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from llmsim.calibrate.kernels import fit_accelerator
from llmsim.calibrate.kernels_forms import CUSTOM, DECODE, EXPERTS, GEMM, PREFILL, RING, Tiling, waves
from llmsim.calibrate.kernels_solve import solve
from llmsim.calibrate.kernels_tables import datasheet, read_tables
from llmsim.cost import collectives
from llmsim.cost.attention import AttentionCost
from llmsim.cost.efficiency import efficiency_for
from llmsim.cost.lowering import Lowering
from llmsim.cost.optable import lower
from llmsim.cost.plan import Formats, ParallelPlan
from llmsim.cost.products import wave_rows
from llmsim.errors import UserError
from llmsim.files.catalog import accelerator
from llmsim.spec.model import Attention, DenseFFN, Gemm, LayerGroup, ModelShape, MoEFFN

GPU = accelerator("l40s")
FIT = efficiency_for(GPU)


def lowering(ffn: DenseFFN | MoEFFN | None = None, heads: int = 32, kv_heads: int = 8) -> Lowering:
    """One layer on an L40S."""
    mixer = Attention(num_heads=heads, num_kv_heads=kv_heads, head_dim=128)
    layer = LayerGroup(count=1, mixer=mixer, ffn=ffn or DenseFFN(intermediate_size=4096), norm_parameters=0)
    model = ModelShape(
        name="one", source="made for the test", hidden_size=2048, vocab_size=1000, tied_embeddings=True,
        max_position_embeddings=1 << 17, layers=[layer],
    )  # fmt: skip
    return Lowering(model, GPU, ParallelPlan(), Formats(), FIT, enforce_eager=False)


def columns(dtype: str = "bf16", **numbers: float) -> dict[str, np.ndarray]:
    """One row of a table, with the datasheet."""
    peak = GPU.peak_flops_per_s(dtype)
    assert peak
    return {name: np.array([float(value)]) for name, value in numbers.items()} | datasheet(1, GPU, peak)


@pytest.mark.parametrize("m", [1, 17, 100, 512])
@pytest.mark.parametrize("n", [1000, 4096])
def test_products(m: int, n: int) -> None:
    """The form of a fit and the operator give the same time."""
    curve = FIT.gemm["bf16"]
    tiling = Tiling(curve.tile_rows, curve.tile_columns, curve.split)
    row = columns(m=m, n=n, k=2048, weight_bytes=2)

    form = GEMM.seconds(row | {"waves": waves(row, tiling)}, curve.model_dump())[0]

    assert lowering().gemm(Gemm("one", 2048, n, "ffn"), 1).seconds(m) == pytest.approx(form, rel=1e-12)


@pytest.mark.parametrize("rows", [1, 16, 17, 128, 129, 5000])
def test_waves(rows: int) -> None:
    """The whole table at once counts as one product does."""
    tiling = Tiling((16, 128), 64, 4)
    many = waves({"m": np.array([rows]), "n": np.array([1000]), "num_sms": np.array([142.0])}, tiling)[0]

    assert 2 * 142 * 64 * wave_rows(rows, (16, 128), 16, 4, 142) == pytest.approx(many)


@pytest.mark.parametrize("tokens", [1, 32, 300])
def test_experts(tokens: int) -> None:
    """The same for routed experts."""
    ffn = MoEFFN(num_experts=64, top_k=4, intermediate_size=768)
    row = columns(num_tokens=tokens, hidden=2048, inter=768, topk=4, n_experts=64, moe_tp=1, weight_bytes=2)

    form = EXPERTS.seconds(row, FIT.experts["bf16"].model_dump())[0]

    assert lowering(ffn).experts(ffn, 1).seconds(tokens) == pytest.approx(form, rel=1e-12)


@pytest.mark.parametrize(("new", "cached"), [(64, 0), (1000, 0), (512, 9000)])
def test_prefill(new: int, cached: int) -> None:
    """The same for a prefill chunk; the floor the two kinds of attention share stands in the op table."""
    low = lowering()
    attention = AttentionCost(lower(low)[0].attention, 1, low)
    row = columns(
        new=new, cached=cached, batch=1, n_q_heads=32, n_kv_heads=8, head_dim=128, kv_bytes=2,
        decode_memory=FIT.decode.memory,
    )  # fmt: skip

    form = PREFILL.seconds(row, FIT.prefill.model_dump())[0]

    assert attention.chunk_s(new, cached) + min(low.attention_floors_s) == pytest.approx(form, rel=1e-12)


def test_decode() -> None:
    """The same for decoding sequences."""
    low = lowering()
    attention = AttentionCost(lower(low)[0].attention, 1, low)
    row = columns(kv_len=3000, batch=40, n_q_heads=32, n_kv_heads=8, head_dim=128, kv_bytes=2)

    form = DECODE.seconds(row, FIT.decode.model_dump())[0]
    ours = attention.decode_line(40, [40 * 3000], [40]).first_s + min(low.attention_floors_s)

    assert ours == pytest.approx(form, rel=1e-12)


@pytest.mark.parametrize("size", [1 << 12, 1 << 20, 1 << 26])
def test_all_reduce(size: int) -> None:
    """The same for small and large messages."""
    form = CUSTOM if size < 8 << 20 else RING
    row = columns(message_bytes=size, devices=4)

    ours = collectives.all_reduce(FIT, GPU, 4).seconds(size)

    assert ours == pytest.approx(form.seconds(row, FIT.all_reduce["4"].model_dump())[0], rel=1e-12)


def test_a_fit_finds_the_law_that_made_the_numbers() -> None:
    """Floor and rate of a line, from exact times with one outlier."""
    sizes = np.array([1.0, 10, 100, 1000, 10000, 100000])
    times = 3e-6 + sizes * 2e-9
    times[2] *= 3

    found = solve(lambda p: p[0] + sizes * p[1], times, [1e-5, 1e-8], [1e-9, 1e-12], [1, 1]).parameters

    assert [3e-6, 2e-9] == pytest.approx(list(found), rel=0.02)


def write(folder: Path, name: str, lines: list[str]) -> Path:
    """A table of a user."""
    (folder / name).write_text("\n".join(lines) + "\n")
    return folder


HEAD = "gpu,engine,engine_version,dtype,kernel,m,n,k,latency_us"


def products(scale: float = 1.0) -> list[str]:
    """Products of a made-up card that streams 700 GB/s and computes 200 TFLOP/s."""
    rows = []
    for m in (1, 16, 256, 4096):
        for n, k in ((4096, 16384), (8192, 8192), (16384, 8192), (16384, 16384)):
            seconds = 4e-6 + max(2 * n * k / 700e9, 2 * m * n * k / 200e12)
            rows.append(f"Card,torch,2.9,bfloat16,linear,{m},{n},{k},{seconds * 1e6 * scale:.2f}")
    return [HEAD, *rows]


def test_a_users_table_makes_an_efficiency(tmp_path: Path) -> None:
    """What the tables do not tell is the class's, and the file says so."""
    fitted = fit_accelerator(write(tmp_path, "op_gemm.csv", products()), GPU)

    assert fitted.gemm["bf16"].memory == pytest.approx(700 / 864, rel=0.05)
    assert fitted.gemm["fp8"] == FIT.gemm["fp8"]
    assert "decode" in fitted.sources[1]
    assert 16 == fitted.fits[0].points


def test_times_in_another_unit_are_refused(tmp_path: Path) -> None:
    """Milliseconds in a column of microseconds."""
    with pytest.raises(UserError, match="allows no less than"):
        fit_accelerator(write(tmp_path, "op_gemm.csv", products(1e-3)), GPU)


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    """And the file that lacks it."""
    with pytest.raises(UserError, match=r"op_gemm\.csv: has no column k"):
        read_tables(write(tmp_path, "op_gemm.csv", ["gpu,dtype,m,n,latency_us", "Card,bfloat16,1,1,1"]))


def test_a_negative_time_is_refused_with_its_row(tmp_path: Path) -> None:
    """Its line in the file."""
    rows = products()
    rows[1] = rows[1].rsplit(",", 1)[0] + ",-3"

    with pytest.raises(UserError, match=r"op_gemm\.csv:2: latency_us"):
        fit_accelerator(write(tmp_path, "op_gemm.csv", rows), GPU)


def test_an_empty_folder_and_an_unknown_gpu_are_refused(tmp_path: Path) -> None:
    """With what would be read, and what is there."""
    with pytest.raises(UserError, match=r"op_gemm\.csv"):
        read_tables(tmp_path / "nothing")
    with pytest.raises(UserError, match="only of Card"):
        fit_accelerator(write(tmp_path, "op_gemm.csv", products()), GPU, gpu="Other")
