"""Times the kernels that decide how fast a GPU serves, and writes them as CSV for `llmsim calibrate --kernels`.

    python measure_gpu.py --out my-gpu              # some minutes, ten at most
    python measure_gpu.py --out my-gpu --quick      # fewer shapes
    python measure_gpu.py --out my-gpu --minutes 30 # stop after that; run again to go on

Needs Python and PyTorch (2.5 or newer) with CUDA, nothing else; copy this one file to the machine. Nothing else should
run on the GPU. A point that is in its file already is not measured again, so an interrupted run goes on.

Files, one row per point, times in microseconds:

    op_gemm.csv          y = x·Wᵀ with x m×k and W n×k; 16-bit, and fp8 (per-tensor scales) where it exists
    op_attn_prefill.csv  causal attention of `batch` prompts of `seq_len` (flash backend of SDPA)
    op_attn_decode.csv   one new token for each of `batch` sequences with `kv_len` cached tokens
    op_allreduce.csv     NCCL all-reduce among n_gpu GPUs, `message_bytes` each; with several GPUs only
    op_device.csv        gpu, torch_version, quantity, bytes, value, unit:
                         `copy` bandwidth in GB/s (bytes read and written, over time), `launch_eager` µs
                         a kernel when the host starts each, `launch_graph` µs a kernel inside a CUDA graph,
                         `graph_replay` µs of host and device to start one graph

How: a series of calls is captured in one CUDA graph, so launches cost what they cost an engine; the time
is the median over replays, between CUDA events, divided by the calls. Operands are random numbers, each
call's own, from a pool several times larger than the L2, and the L2 is written over before every replay:
weights and KV cache are read from memory, as between two layers of a model.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

HEADERS = {
    "op_gemm.csv": ["gpu", "engine", "engine_version", "dtype", "kernel", "m", "n", "k", "latency_us"],
    "op_attn_prefill.csv": [
        "gpu", "engine", "engine_version", "kernel", "attn_dtype", "kv_dtype", "batch", "seq_len",
        "n_q_heads", "n_kv_heads", "head_dim", "latency_us",
    ],
    "op_attn_decode.csv": [
        "gpu", "engine", "engine_version", "kernel", "attn_dtype", "kv_dtype", "batch", "kv_len",
        "n_q_heads", "n_kv_heads", "head_dim", "latency_us",
    ],
    "op_allreduce.csv": [
        "gpu", "impl", "version", "mode", "op", "n_gpu", "message_bytes", "latency_us", "src",
    ],
    "op_device.csv": ["gpu", "torch_version", "quantity", "bytes", "value", "unit"],
}  # fmt: skip
"""The columns of each file; those before the measured one say which point it is."""
MEASURED = {"latency_us", "value", "unit", "src"}

WIDTHS = (1024, 4096, 6144, 8192, 12288, 16384)
HEADS = ((32, 8), (8, 1), (64, 8), (32, 32))
"""Query and KV heads: Llama-3 8B, a part of it under tensor parallelism, 70B, and no grouping."""
HEAD_DIM = 128
REPLAYS = 7
SERIES_US = 3000.0
"""About how long one replay lasts: long beside the resolution of an event (0.5 µs)."""
HOPELESS = 8
"""Failures in a row after which a kernel is taken not to run on the card at all."""
POOL_L2S = 6
"""Size of the operand pool in L2 caches, at least."""


def powers(low: int, high: int) -> list[int]:
    """The powers of two from ``low`` to ``high``."""
    return [1 << i for i in range(low.bit_length() - 1, high.bit_length())]


def gemm_grid(*, quick: bool) -> list[tuple[int, int, int]]:
    """(m, n, k), coarse points first, so that a run that stops early covers the range."""
    coarse = list(itertools.product((1, 16, 64, 256, 1024, 8192), (1024, 4096, 16384), (4096, 16384)))
    return coarse if quick else refine(coarse, itertools.product(powers(1, 8192), WIDTHS, WIDTHS))


def prefill_grid(*, quick: bool) -> list[tuple[int, int, int, int]]:
    """(batch, seq_len, query heads, KV heads), at most 128k tokens in all."""
    coarse = [(b, s, 32, 8) for b, s in itertools.product((1, 8), (128, 1024, 4096, 16384))]
    fine = ((b, s, *h) for h in HEADS for b in powers(1, 32) for s in powers(128, 16384))
    points = coarse if quick else refine(coarse, fine)
    return [point for point in points if point[0] * point[1] <= 1 << 17]


def decode_grid(*, quick: bool) -> list[tuple[int, int, int, int]]:
    """(batch, kv_len, query heads, KV heads), at most 4M cached tokens in all."""
    coarse = [(b, s, 32, 8) for b, s in itertools.product((1, 16, 256), (128, 2048, 16384))]
    fine = ((b, s, *h) for h in HEADS for b in powers(1, 512) for s in powers(128, 131072))
    points = coarse if quick else refine(coarse, fine)
    return [point for point in points if point[0] * point[1] <= 1 << 22]


def message_grid(*, quick: bool) -> list[int]:
    """Bytes of an all-reduce."""
    return powers(512, 1 << 27)[:: 4 if quick else 1]


def refine(coarse: list[Any], fine: Iterable[Any]) -> list[Any]:
    """``coarse``, then what ``fine`` adds."""
    return list(dict.fromkeys([*coarse, *fine]))


class Table:
    """A CSV file that grows by whole rows and knows which points it has.

    Raises:
        SystemExit: The file there has other columns.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.columns = HEADERS[path.name]
        self._keys = [column for column in self.columns if column not in MEASURED]
        self._known: set[tuple[str, ...]] = set()
        if path.exists():
            with path.open(newline="") as file:
                rows = csv.DictReader(line for line in file if not line.startswith("#"))
                if rows.fieldnames != self.columns:
                    sys.exit(
                        f"error: {path}: its columns are not {','.join(self.columns)}; choose another --out"
                    )
                self._known = {self._key(row) for row in rows}
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(",".join(self.columns) + "\n")

    def _key(self, row: dict[str, Any]) -> tuple[str, ...]:
        return tuple(str(row[column]) for column in self._keys)

    def has(self, row: dict[str, Any]) -> bool:
        """Whether the point of ``row`` was measured already."""
        return self._key(row) in self._known

    def add(self, row: dict[str, Any]) -> None:
        """Append ``row``; it is on the disk when this returns."""
        with self.path.open("a", newline="") as file:
            csv.DictWriter(file, self.columns, lineterminator="\n").writerow(row)
        self._known.add(self._key(row))


class Pool:
    """Random numbers to cut operands from; a cut seldom shares bytes with the ones just before."""

    def __init__(self, torch: Any, dtype: Any, num_bytes: int) -> None:
        size = num_bytes // dtype.itemsize
        self._numbers = torch.empty(size, dtype=dtype, device="cuda")
        step = 1 << 26
        for start in range(0, size, step):
            part = torch.randn(min(step, size - start), dtype=torch.float32, device="cuda")
            self._numbers[start : start + step] = part.to(dtype)
        self.size, self._at = size, 0

    def take(self, *shape: int) -> Any:
        """A view of ``shape``, behind the last one. Raises MemoryError when the pool is too small."""
        count = 1
        for length in shape:
            count *= length
        if count > self.size:
            raise MemoryError
        if self._at + count > self.size:
            self._at = 0
        start, self._at = self._at, -(-(self._at + count) // 128) * 128
        return self._numbers[start : start + count].view(*shape)


class Gpu:
    """The device that is measured.

    Attributes:
        torch: The module, imported by the caller: this file is read where there is none.
        name: What the column ``gpu`` says.
    """

    def __init__(self, torch: Any, name: str | None, dtype: str) -> None:
        self.torch = torch
        self.name = name or torch.cuda.get_device_name(0)
        if dtype == "auto":
            native = torch.version.hip or torch.cuda.get_device_capability(0) >= (8, 0)
            dtype = "bfloat16" if native else "float16"  # older cards only emulate bfloat16, slowly
        self.dtype_name, self.dtype = dtype, getattr(torch, dtype)
        properties = torch.cuda.get_device_properties(0)
        l2_bytes = getattr(properties, "L2_cache_size", 0) or (64 << 20)
        self.pool_bytes = min(max(POOL_L2S * l2_bytes, 4 << 30), properties.total_memory // 4)
        self.pool = Pool(torch, self.dtype, self.pool_bytes)
        self._other = torch.empty(2 * l2_bytes, dtype=torch.uint8, device="cuda")
        self._engine = {"gpu": self.name, "engine": "torch", "engine_version": torch.__version__}

    def row(self, **columns: Any) -> dict[str, Any]:
        """A row of a kernel file, its engine filled in."""
        return {**self._engine, **columns}

    def time_us(self, call: Callable[[], Any]) -> float:
        """Median µs of one ``call``, which takes fresh operands from the pool each time."""
        first_us = self._events_us(self._warm(call))
        calls = max(4, min(200, round(SERIES_US / max(first_us, 1.0))))
        graph = self.torch.cuda.CUDAGraph()
        with self.torch.cuda.graph(graph):
            for _ in range(calls):
                call()
        graph.replay()
        return statistics.median(self._cold_us(graph.replay) for _ in range(REPLAYS)) / calls

    def _cold_us(self, run: Callable[[], Any]) -> float:
        """µs of ``run`` with nothing of use in the L2."""
        self._other.zero_()
        return self._events_us(run)

    def _warm(self, call: Callable[[], Any]) -> Callable[[], Any]:
        """``call``, after it ran on a side stream, as capturing asks for."""
        stream = self.torch.cuda.Stream()
        stream.wait_stream(self.torch.cuda.current_stream())
        with self.torch.cuda.stream(stream):
            for _ in range(3):
                call()
        self.torch.cuda.current_stream().wait_stream(stream)
        self.torch.cuda.synchronize()
        return call

    def _events_us(self, run: Callable[[], Any]) -> float:
        """µs of device time between before and after ``run``."""
        start, end = (self.torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        run()
        end.record()
        end.synchronize()
        return 1e3 * start.elapsed_time(end)


Point = tuple[dict[str, Any], Callable[[], float]]
"""A row without its measured column, and what measures that."""


def gemm_points(gpu: Gpu, *, quick: bool) -> Iterator[Point]:
    """Matrix products of the 16-bit format, then of fp8 where the card has it."""
    linear = gpu.torch.nn.functional.linear
    for m, n, k in gemm_grid(quick=quick):

        def call(m: int = m, n: int = n, k: int = k) -> Any:
            return linear(gpu.pool.take(m, k), gpu.pool.take(n, k))

        row = gpu.row(dtype=gpu.dtype_name, kernel="torch.nn.functional.linear", m=m, n=n, k=k)
        yield row, lambda call=call: gpu.time_us(call)
    if gpu.torch.cuda.get_device_capability(0) < (8, 9) or not hasattr(gpu.torch, "_scaled_mm"):
        return
    pool = Pool(gpu.torch, gpu.torch.float8_e4m3fn, gpu.pool_bytes // 2)
    one = gpu.torch.ones((), device="cuda")
    for m, n, k in gemm_grid(quick=quick):

        def call8(m: int = m, n: int = n, k: int = k) -> Any:
            x, weight = pool.take(m, k), pool.take(n, k).t()
            return gpu.torch._scaled_mm(
                x, weight, scale_a=one, scale_b=one, out_dtype=gpu.dtype, use_fast_accum=True
            )

        yield gpu.row(dtype="fp8", kernel="torch._scaled_mm", m=m, n=n, k=k), lambda c=call8: gpu.time_us(c)


def attention_points(gpu: Gpu, grid: Sequence[tuple[int, ...]], *, prefill: bool) -> Iterator[Point]:
    """SDPA through its flash backend; query heads share KV heads without a copy."""
    from torch.nn.attention import SDPBackend, sdpa_kernel

    attend = gpu.torch.nn.functional.scaled_dot_product_attention
    for batch, length, n_q, n_kv in grid:

        def call(b: int = batch, s: int = length, n_q: int = n_q, n_kv: int = n_kv) -> Any:
            q = gpu.pool.take(b, s if prefill else 1, n_q, HEAD_DIM).transpose(1, 2)
            k, v = (gpu.pool.take(b, s, n_kv, HEAD_DIM).transpose(1, 2) for _ in range(2))
            with sdpa_kernel(SDPBackend.FLASH_ATTENTION):
                return attend(q, k, v, is_causal=prefill, enable_gqa=n_q != n_kv)

        row = gpu.row(
            kernel="sdpa_flash", attn_dtype=gpu.dtype_name, kv_dtype=gpu.dtype_name, batch=batch,
            n_q_heads=n_q, n_kv_heads=n_kv, head_dim=HEAD_DIM,
        )  # fmt: skip
        yield row | {"seq_len" if prefill else "kv_len": length}, lambda call=call: gpu.time_us(call)


def device_points(gpu: Gpu, *, quick: bool) -> Iterator[Point]:
    """Copy bandwidth and what launches cost."""
    # Up to a quarter of the pool: then two cuts in a row never overlap, wherever they wrap around.
    for num_bytes in powers(1 << 14, gpu.pool_bytes // 4)[:: 2 if quick else 1]:

        def copy(count: int = num_bytes // gpu.dtype.itemsize) -> Any:
            return gpu.pool.take(count).copy_(gpu.pool.take(count))

        row = {"gpu": gpu.name, "torch_version": gpu.torch.__version__, "quantity": "copy"}
        yield (
            row | {"bytes": num_bytes, "unit": "GB/s"},
            lambda b=num_bytes, call=copy: 2e-3 * b / gpu.time_us(call),
        )
    small = gpu.torch.ones(1, device="cuda")

    def add() -> Any:
        return small.add_(1.0)

    graph = gpu.torch.cuda.CUDAGraph()
    gpu._warm(add)
    with gpu.torch.cuda.graph(graph):
        add()
    floors = {
        "launch_eager": lambda: wall_us(gpu, add),
        "launch_graph": lambda: gpu.time_us(add),
        "graph_replay": lambda: wall_us(gpu, graph.replay),
    }
    for quantity, measure in floors.items():
        row = {"gpu": gpu.name, "torch_version": gpu.torch.__version__, "quantity": quantity}
        yield row | {"bytes": 0, "unit": "us"}, measure


def wall_us(gpu: Gpu, call: Callable[[], Any], count: int = 1000) -> float:
    """Median µs of the clock for each of ``count`` calls in a row, the device waited for at the end."""
    times = []
    for _ in range(REPLAYS):
        gpu.torch.cuda.synchronize()
        start = time.perf_counter()
        for _ in range(count):
            call()
        gpu.torch.cuda.synchronize()
        times.append((time.perf_counter() - start) / count * 1e6)
    return statistics.median(times)


def fill(table: Table, points: Iterable[Point], until_s: float) -> bool:
    """Measure what ``table`` lacks; False when the time was up before."""
    column = "value" if "value" in table.columns else "latency_us"
    failed: dict[str, int] = {}
    for row, measure in points:
        kernel = str(row.get("kernel", row.get("quantity")))
        if table.has(row) or failed.get(kernel, 0) >= HOPELESS:
            continue
        if time.monotonic() > until_s:
            return False
        try:
            table.add(row | {column: round(measure(), 3)})
            failed[kernel] = 0
        except (MemoryError, RuntimeError) as error:  # torch.OutOfMemoryError is a RuntimeError
            words = str(error).strip().splitlines()
            failed[kernel] = failed.get(kernel, 0) + bool(words)
            point = ", ".join(f"{key} {value}" for key, value in row.items() if isinstance(value, int))
            print(
                f"left out: {table.path.name}: {point}: {words[0] if words else 'too large'}", file=sys.stderr
            )
            if failed[kernel] == HOPELESS:
                print(f"left out: all further points of {kernel}: it does not run here", file=sys.stderr)
    return True


def all_reduce_worker(rank: int, n_gpu: int, name: str, out: Path, until_s: float, quick: bool) -> None:
    """One of ``n_gpu`` processes; the first writes what it measures."""
    import torch
    import torch.distributed as dist

    torch.cuda.set_device(rank)
    dist.init_process_group("nccl", rank=rank, world_size=n_gpu)
    table = Table(out / "op_allreduce.csv") if rank == 0 else None
    version = ".".join(map(str, torch.cuda.nccl.version()))
    for num_bytes in message_grid(quick=quick):
        row = {"gpu": name, "impl": "nccl", "version": version, "mode": "", "op": "all_reduce"}
        row |= {"n_gpu": n_gpu, "message_bytes": num_bytes, "src": "measure_gpu.py"}
        wanted = table is not None and not table.has(row) and time.monotonic() < until_s
        flag = torch.tensor([int(wanted)], device="cuda")
        dist.broadcast(flag, 0)
        if not flag.item():
            continue
        numbers = torch.zeros(num_bytes // 2, dtype=torch.float16, device="cuda")
        latency_us = all_reduce_us(torch, dist, numbers)
        if table is not None:
            table.add(row | {"latency_us": round(latency_us, 3)})
    dist.destroy_process_group()


def all_reduce_us(torch: Any, dist: Any, numbers: Any, calls: int = 20) -> float:
    """Median µs of one all-reduce among calls in a row."""
    times = []
    for _ in range(REPLAYS + 1):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        dist.barrier()
        start.record()
        for _ in range(calls):
            dist.all_reduce(numbers)
        end.record()
        end.synchronize()
        times.append(1e3 * start.elapsed_time(end) / calls)
    return statistics.median(times[1:])


def measure_all_reduce(torch: Any, gpu: Gpu, out: Path, until_s: float, *, quick: bool) -> None:
    """All-reduce among 2, 4 and 8 of the machine's GPUs."""
    os.environ.setdefault("MASTER_ADDR", "127.0.0.1")
    os.environ.setdefault("MASTER_PORT", "29511")
    for n_gpu in (2, 4, 8):
        if n_gpu <= torch.cuda.device_count():
            arguments = (n_gpu, gpu.name, out, until_s, quick)
            torch.multiprocessing.spawn(all_reduce_worker, arguments, nprocs=n_gpu)
            print(f"{out / 'op_allreduce.csv'}: {n_gpu} GPUs done, or as far as the time went", flush=True)


def arguments() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("gpu-timings"), help="folder of the CSV files")
    parser.add_argument("--gpu", help="what the column gpu says; the driver's name by default")
    parser.add_argument("--minutes", type=float, default=10.0, help="stop after about that (default 10)")
    parser.add_argument("--quick", action="store_true", help="fewer shapes")
    parser.add_argument("--dtype", choices=["auto", "bfloat16", "float16"], default="auto")
    return parser


def torch_with_cuda() -> Any:
    """PyTorch. Raises SystemExit, in words, where it or a GPU is missing."""
    try:
        import torch
    except ImportError:
        sys.exit("error: PyTorch is not installed here; see https://pytorch.org/get-started, with CUDA")
    if not torch.cuda.is_available():
        sys.exit("error: PyTorch finds no CUDA GPU here: run this on the machine of the card to be measured")
    if tuple(map(int, torch.__version__.split(".")[:2])) < (2, 5):
        sys.exit(
            f"error: PyTorch {torch.__version__} is too old for attention with shared KV heads: 2.5 or newer"
        )
    return torch


def main(words: Sequence[str] | None = None) -> None:
    """Measures every family in turn, each with an equal part of the time that is left."""
    given = arguments().parse_args(words)
    if given.minutes <= 0:
        sys.exit(f"error: --minutes {given.minutes:g}: give a positive number")
    torch = torch_with_cuda()
    gpu, quick = Gpu(torch, given.gpu, given.dtype), given.quick
    families: dict[str, Callable[[], Iterable[Point]]] = {
        "op_device.csv": lambda: device_points(gpu, quick=quick),
        "op_gemm.csv": lambda: gemm_points(gpu, quick=quick),
        "op_attn_prefill.csv": lambda: attention_points(gpu, prefill_grid(quick=quick), prefill=True),
        "op_attn_decode.csv": lambda: attention_points(gpu, decode_grid(quick=quick), prefill=False),
    }
    end_s = time.monotonic() + 60 * given.minutes
    left = len(families) + (torch.cuda.device_count() > 1)
    for name, points in families.items():
        until_s = time.monotonic() + (end_s - time.monotonic()) / left
        done = fill(Table(given.out / name), points(), until_s)
        print(f"{given.out / name}: {'done' if done else 'time is up; run again to go on'}", flush=True)
        left -= 1
    if torch.cuda.device_count() > 1:
        measure_all_reduce(torch, gpu, given.out, end_s, quick=quick)


if __name__ == "__main__":
    main()
