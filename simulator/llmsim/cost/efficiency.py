"""How much of its datasheet an accelerator reaches: fitted curves, each file with its source.

An accelerator without a file of its own takes its family's, then the general default, and
:attr:`Efficiency.provenance` says which, for the report's assumptions.
"""

from __future__ import annotations

from functools import cache

from pydantic import Field

from llmsim.errors import InvariantError
from llmsim.files.catalog import read, root
from llmsim.spec.base import Strict
from llmsim.spec.hardware import Accelerator, Family


class Curve(Strict):
    """A family of kernels: how sure its time is."""

    spread: float = Field(
        default=0.1, ge=0, description="standard deviation of log(measured / fitted) over its kernels"
    )


class GemmEfficiency(Curve):
    """Matrix products of one dtype (F8): tiles in waves over the multiprocessors, weights streamed once.

    Time is ``floor_s + max(c, m) + overlap·min(c, m)``, ``c`` the tiles' arithmetic, ``m`` the bytes.
    """

    compute: float = Field(gt=0, le=1, description="share of the dense peak that full tiles sustain")
    memory: float = Field(gt=0, le=1, description="share of the memory bandwidth")
    floor_s: float = Field(ge=0, description="start and drain of a kernel, s")
    overlap: float = Field(default=0.0, ge=0, le=1, description="part of the shorter need that is not hidden")
    fill: float = Field(
        default=0.0, ge=0, description="a tile's prologue and epilogue, as steps of its k loop"
    )
    boost: float = Field(
        default=0.0, ge=0, description="what short kernels reach above `compute`, before clocks fall (power)"
    )
    split: int = Field(
        default=4, ge=1, description="parts a tile's k loop may be split in, to fill a last wave"
    )
    tile_rows: tuple[int, int] = Field(default=(16, 64), strict=False, description="smallest and largest")
    tile_columns: int = Field(default=128, ge=1)


class ExpertEfficiency(Curve):
    """The fused kernel of all routed experts of a layer, timed as :class:`GemmEfficiency`."""

    compute: float = Field(gt=0, le=1)
    memory: float = Field(gt=0, le=1)
    floor_s: float = Field(ge=0)
    overlap: float = Field(default=0.0, ge=0, le=1)
    fresh: float = Field(
        default=1.0, gt=0, le=1, description="share of further tokens that choose experts like fresh draws"
    )


class PrefillEfficiency(Curve):
    """Flash attention over a prompt: share of peak rises as x / (x + half_length), x tokens attended."""

    compute: float = Field(gt=0, le=1)
    floor_s: float = Field(default=0.0, ge=0)
    half_length: float = Field(ge=0)
    overlap: float = Field(default=0.0, ge=0, le=1)
    tail: float = Field(
        default=0.0, ge=0, description="query tiles of 128 rows that one multiprocessor ends after the others"
    )


class StreamEfficiency(Curve):
    """An operator that only moves bytes."""

    memory: float = Field(gt=0, le=1)
    floor_s: float = Field(ge=0)


class DecodeEfficiency(StreamEfficiency):
    """Attention of one new token per sequence over its cached ones."""

    sequence_s: float = Field(
        default=0.0, ge=0, description="start of a sequence's KV head on a multiprocessor, s"
    )


class AllReduceEfficiency(Curve):
    """All-reduce among a number of devices, against the link's bandwidth per direction.

    Messages below ``CUSTOM_BYTES`` take the engine's own one- or two-shot kernel, larger ones NCCL's ring.
    """

    bandwidth: float = Field(gt=0, le=1)
    latency_s: float = Field(ge=0)
    two_shot_s: float = Field(
        ge=0, description="what the second synchronisation of reduce-scatter + gather adds"
    )
    ring_bandwidth: float = Field(gt=0, le=1)
    ring_latency_s: float = Field(ge=0, description="NCCL's, of small messages")
    ring_start_s: float = Field(ge=0, description="NCCL's, of messages large enough for it")
    eager_s: float = Field(ge=0, description="the host's time to start it where no graph replays it")


CUSTOM_BYTES = 8 << 20
"""Messages from here on go to NCCL (vLLM 0.24 ``custom_all_reduce``: ``max_size`` 8 MiB)."""


class LaunchCost(Strict):
    """What it costs the host to start one kernel that no CUDA graph replays."""

    eager_s: float = Field(ge=0)
    graph_tokens: int = Field(ge=0, description="largest batch that graphs are captured for, tokens")


class Fit(Strict):
    """How well one curve meets its measurements."""

    what: str
    points: int
    median_error: float
    p90_error: float
    log_std: float


class Efficiency(Strict):
    """Everything fitted about one accelerator or family."""

    name: str
    date: str = Field(description="when the timings were published or read, ISO")
    accelerators: list[str] = Field(default_factory=list)
    default_for: list[Family] = Field(default_factory=list)
    gemm: dict[str, GemmEfficiency]
    experts: dict[str, ExpertEfficiency]
    prefill: PrefillEfficiency
    decode: DecodeEfficiency
    decode_fp8: DecodeEfficiency | None = None
    elementwise: StreamEfficiency
    sampler: StreamEfficiency
    all_reduce: dict[str, AllReduceEfficiency]
    all_reduce_pcie: dict[str, AllReduceEfficiency] | None = None
    launch: LaunchCost
    sources: list[str]
    fits: list[Fit] = Field(default_factory=list)
    provenance: str = ""

    def gemm_for(self, dtype: str) -> GemmEfficiency:
        """The curve of a dtype; the 16-bit one when it was not measured. Pure query."""
        return self.gemm.get("bf16" if dtype == "fp16" else dtype) or self.gemm["bf16"]

    def experts_for(self, dtype: str, weights: str) -> ExpertEfficiency:
        """The curve of the dtype computed in, or of MXFP4 weights widened; else the 16-bit one. Pure query."""
        names = ("mxfp4" if weights == "mxfp4" and dtype in {"bf16", "fp16"} else dtype, "bf16")
        return next(self.experts[name] for name in names if name in self.experts)

    def decode_for(self, kv_format: str) -> DecodeEfficiency:
        """The curve of a KV-cache format; the 16-bit one when it was not measured. Pure query."""
        return (self.decode_fp8 if kv_format == "fp8" else None) or self.decode

    def all_reduce_for(self, devices: int, *, pcie: bool = False) -> AllReduceEfficiency:
        """The curve of the nearest group size, the larger at a tie. Pure query."""
        curves = (self.all_reduce_pcie if pcie else None) or self.all_reduce
        return curves[min(curves, key=lambda size: (abs(int(size) - devices), -int(size)))]

    def ring_only(self) -> Efficiency:
        """For an engine that has no all-reduce of its own: every message takes NCCL's ring. Pure query."""
        rings = {
            devices: curve.model_copy(
                update={
                    "bandwidth": curve.ring_bandwidth * int(devices) / 2,
                    "latency_s": curve.ring_latency_s,
                    "two_shot_s": 0.0,
                }
            )
            for devices, curve in self.all_reduce.items()
        }
        return self.model_copy(update={"all_reduce": rings})


@cache
def known_efficiencies() -> tuple[Efficiency, ...]:
    """Every efficiency file of the catalogue, by file name. Pure query."""
    paths = sorted((root() / "hardware" / "efficiency").glob("*.yaml"))
    return tuple(Efficiency.model_validate(read(path)) for path in paths)


def efficiency_for(accelerator: Accelerator) -> Efficiency:
    """What is known about an accelerator, or else its class; ``provenance`` tells which. Pure query."""
    files = known_efficiencies()
    for file in files:
        if accelerator.name in file.accelerators:
            return file.model_copy(update={"provenance": f"fitted to kernel timings of {file.name}"})
    for family in (accelerator.family, "other"):
        for file in files:
            if family in file.default_for:
                share = f"{file.gemm['bf16'].spread:.0%}"
                words = (
                    f"assumed: the {family} class, from {file.name}; kernel times within ±{share} (one sigma)"
                )
                return file.model_copy(update={"provenance": words})
    raise InvariantError(f"no efficiency file is the default for '{accelerator.family}' or 'other'")
