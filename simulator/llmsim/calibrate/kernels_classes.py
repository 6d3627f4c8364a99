"""Which accelerators were timed, and which classes stand for the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

from llmsim.calibrate.kernels_fit import Curves, Member, fit_all_reduce, fit_curves
from llmsim.calibrate.kernels_infersim import with_infersim
from llmsim.calibrate.kernels_tables import Tables, read_tables
from llmsim.files.catalog import accelerator

READ_ON = "2026-11-21"
"""When the published timings were read; they name no date of their own."""

AICONFIGURATOR = (
    "NVIDIA aiconfigurator_core 0.12.0 (PyPI, Apache-2.0): kernel times of vLLM {version} on {gpu}:"
    " matrix products, attention, all-reduce, fused experts"
)
SERVING_SIM = (
    "casys-kaist/LLMServingSim@5daddb21 profiler/perf (MIT): Llama-3.1-8B layers, vLLM 0.19.0, {gpu}"
)
INFERSIM = (
    "alibaba/InferSim@f2293dab bench_data (Apache-2.0): DeepGEMM fp8 products, FlashAttention 3 and FlashInfer"
    " attention, H20"
)
LAUNCH = "launches: vLLM's graphs up to 512 tokens, about 5 us a launch in PyTorch"
STREAMS = "elementwise and sampler: " + SERVING_SIM.format(gpu="RTX 4090 and RTX PRO 6000")
MAMF = "stas00/ml-engineering@744d01e1 (CC-BY-SA-4.0), best matrix product found: "


@dataclass(frozen=True)
class Timed:
    """An accelerator with timings.

    Attributes:
        gpu: Its name in the tables.
        accelerators: Catalogue entries of the same chip; the first is the one that was timed.
        parent: The class that lends it what was not timed.
        keeps_clocks: Whether its clocks never fall under load: its peak was cut, its power was not. Products
            that were not timed then keep up what the class reaches in short bursts.
    """

    gpu: str
    accelerators: tuple[str, ...]
    parent: str
    source: str
    keeps_clocks: bool = False

    @property
    def name(self) -> str:
        """The catalogue's name of the timed one."""
        return self.accelerators[0]


TIMED = (
    Timed(
        "A100-SXM4-80GB",
        ("a100-sxm-80gb", "a100-sxm-40gb", "a800-sxm-80gb"),
        "ampere",
        AICONFIGURATOR.format(version="0.14.0", gpu="A100-SXM4-80GB"),
    ),
    Timed(
        "H100-SXM-80GB",
        ("h100-sxm", "h800-sxm"),
        "hopper",
        AICONFIGURATOR.format(version="0.24.0", gpu="H100-SXM-80GB"),
    ),
    Timed(
        "H200-SXM-141GB",
        ("h200-sxm",),
        "hopper",
        AICONFIGURATOR.format(version="0.24.0", gpu="H200-SXM-141GB"),
    ),
    Timed("L40S", ("l40s",), "ada", AICONFIGURATOR.format(version="0.24.0", gpu="L40S")),
    Timed(
        "RTX-PRO-6000-Blackwell-Server",
        ("rtx-pro-6000",),
        "blackwell-consumer",
        AICONFIGURATOR.format(version="0.24.0", gpu="RTX-PRO-6000-Blackwell-Server"),
    ),
    Timed("RTX4090", ("rtx-4090",), "ada", SERVING_SIM.format(gpu="RTX 4090")),
    Timed("H20", ("h20", "h20-3e"), "hopper", INFERSIM, keeps_clocks=True),
)

PCIE = ("L40S", "RTX-PRO-6000-Blackwell-Server")
"""Those whose all-reduce crossed PCIe; all others' crossed NVLink."""


@dataclass(frozen=True)
class Kind:
    """A class of accelerators.

    Attributes:
        members: Timed accelerators whose curves are fitted together.
        families: Families of the catalogue it is the default for.
        factors: ``section.key`` to what the members' coefficient is multiplied by.
        why: Where the factors come from.
        transfer: Spread that carrying kernels over adds, where leaving one out cannot tell.
    """

    name: str
    members: tuple[str, ...]
    families: tuple[str, ...]
    factors: Mapping[str, float] = field(default_factory=dict)
    why: str = ""
    transfer: float = 0.0


H100_MAMF = {"bf16": 794.5 / 989.4, "fp8": 1402.6 / 1978.9}
"""Share of peak of the best product found on an H100 SXM."""

HOPPER = ("H100-SXM-80GB", "H200-SXM-141GB")

KINDS = (
    Kind("ampere", ("A100-SXM4-80GB",), ("ampere",)),
    Kind("hopper", HOPPER, ("hopper",)),
    Kind("ada", ("L40S", "RTX4090"), ("ada",)),
    Kind("blackwell-consumer", ("RTX-PRO-6000-Blackwell-Server",), ("blackwell-consumer",)),
    Kind(
        "blackwell",
        (*HOPPER, "RTX-PRO-6000-Blackwell-Server"),
        ("blackwell", "rubin"),
        {
            "gemm.bf16.compute": 1745 / 2250 / H100_MAMF["bf16"],
            "gemm.fp8.compute": 3353.3 / 4500 / H100_MAMF["fp8"],
            "experts.compute": 1745 / 2250 / H100_MAMF["bf16"],
            "prefill.compute": 1745 / 2250 / H100_MAMF["bf16"],
            "prefill.half_length": 2250 / 148 / (989.4 / 132),
        },
        MAMF
        + "B200 78% of its bf16 peak and B300 75% of its fp8 peak where H100 reaches 80% and 71%; half_length grows"
        " with arithmetic per multiprocessor, whose exponentials stay as slow",
        transfer=0.15,
    ),
    Kind(
        "cdna",
        HOPPER,
        ("cdna2", "cdna3", "cdna4"),
        {
            "gemm.compute": 0.599 / H100_MAMF["bf16"],
            "experts.compute": 0.599 / H100_MAMF["bf16"],
            "prefill.compute": 0.599 / H100_MAMF["bf16"],
            **dict.fromkeys(("gemm.memory", "experts.memory", "decode.memory", "decode_fp8.memory"), 0.8),
            **dict.fromkeys(("gemm.floor_s", "decode.floor_s", "all_reduce.latency_s"), 2.0),
        },
        MAMF
        + "MI300X 51%, MI325X 60%, MI355X 68% of peak; 0.8 of Hopper's share of bandwidth and twice its floors:"
        " an assumption",
        transfer=0.3,
    ),
    Kind(
        "systolic",
        HOPPER,
        ("tpu", "gaudi", "trainium"),
        {
            **dict.fromkeys(("decode.memory", "decode_fp8.memory"), 0.8),
            **dict.fromkeys(("gemm.floor_s", "decode.floor_s", "all_reduce.latency_s"), 2.0),
        },
        MAMF
        + "Gaudi 2 97%, Gaudi 3 74% of peak, about H100's; 0.8 of its share of bandwidth in attention and twice"
        " its floors: an assumption",
        transfer=0.4,
    ),
    Kind(
        "general",
        ("A100-SXM4-80GB",),
        ("volta", "turing", "apple", "cpu", "other"),
        {
            **dict.fromkeys(("gemm.compute", "experts.compute", "prefill.compute"), 0.8),
            **dict.fromkeys(("gemm.memory", "experts.memory", "decode.memory"), 0.95),
        },
        "four fifths of A100's share of peak: an assumption",
        transfer=0.4,
    ),
)

LEFT_OUT = {
    "H200-SXM-141GB": ("H100-SXM-80GB",),
    "L40S": ("RTX4090", "RTX-PRO-6000-Blackwell-Server"),
    "A100-SXM4-80GB": ("L40S", "RTX-PRO-6000-Blackwell-Server", "RTX4090"),
}
"""Leave-one-out: the accelerator, and the others that then stand for it.

Ampere, Ada and Blackwell's graphics chips multiply with the same warp-wide instructions, Hopper with
asynchronous ones of four warps (FlashAttention 2 and 3 differ in just that)."""


@cache
def curves_of(folder: Path, gpus: tuple[str, ...], only: bool | None = None) -> Curves:
    """The curves of some timed accelerators together; their all-reduces only if one link carried them."""
    tables = read_tables(folder)
    group = members(gpus, tables)
    curves = fit_curves(group, only=only)
    across = [gpu for gpu in gpus if gpu not in PCIE]
    if len(across) == len(gpus) or not across:
        return curves
    return replace(curves, reduces=fit_all_reduce(members(across, tables), only=only))


def member(gpu: str, tables: Tables) -> Member:
    """A timed accelerator with its datasheet. Pure query."""
    name = next(timed.name for timed in TIMED if timed.gpu == gpu)
    return Member(gpu, accelerator(name), with_infersim(tables, gpu))


def members(gpus: Sequence[str], tables: Tables) -> list[Member]:
    """Several of them. Pure query."""
    return [member(gpu, tables) for gpu in gpus]
