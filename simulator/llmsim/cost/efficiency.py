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


class GemmEfficiency(Strict):
    """Matrix products of one dtype (F8)."""

    compute: float = Field(gt=0, description="share of the dense peak on full tiles")
    memory: float = Field(gt=0, description="share of the memory bandwidth")
    floor_s: float = Field(ge=0, description="start and drain of a kernel, s")
    split: int = Field(
        default=4, ge=1, description="parts a tile's k loop may be split in, to fill a last wave"
    )


class ExpertEfficiency(Strict):
    """The fused kernel of all routed experts of a layer."""

    compute: float = Field(gt=0)
    memory: float = Field(gt=0)
    floor_s: float = Field(ge=0)
    padding_rows: float = Field(ge=0, description="rows of zeros that an expert's tile holds on average")


class PrefillEfficiency(Strict):
    """Flash attention over a prompt: share of peak rises as x / (x + half_length), x tokens attended."""

    compute: float = Field(gt=0)
    half_length: float = Field(ge=0)


class StreamEfficiency(Strict):
    """An operator that only moves bytes."""

    memory: float = Field(gt=0)
    floor_s: float = Field(ge=0)


class AllReduceEfficiency(Strict):
    """All-reduce among a number of devices, against the link's bandwidth per direction."""

    bandwidth: float = Field(gt=0)
    latency_s: float = Field(ge=0)
    two_shot_s: float = Field(
        ge=0, description="what the second synchronisation of reduce-scatter + gather adds"
    )


class LaunchCost(Strict):
    """What it costs the host to start one kernel that no CUDA graph replays."""

    eager_s: float = Field(ge=0)
    graph_tokens: int = Field(ge=0, description="largest batch that graphs are captured for, tokens")


class HostCost(Strict):
    """Host work between two iterations that the device waits for (F7)."""

    iteration_s: float = Field(ge=0)
    sequence_s: float = Field(ge=0)


class Fit(Strict):
    """How well one curve meets its measurements."""

    what: str
    points: int
    median_error: float


class Efficiency(Strict):
    """Everything fitted about one accelerator or family."""

    name: str
    accelerators: list[str] = Field(default_factory=list)
    default_for: list[Family] = Field(default_factory=list)
    gemm: dict[str, GemmEfficiency]
    experts: dict[str, ExpertEfficiency]
    prefill: PrefillEfficiency
    decode: StreamEfficiency
    elementwise: StreamEfficiency
    sampler: StreamEfficiency
    all_reduce: dict[str, AllReduceEfficiency]
    launch: LaunchCost
    host: HostCost
    sources: list[str]
    fits: list[Fit] = Field(default_factory=list)
    provenance: str = ""

    def gemm_for(self, dtype: str) -> GemmEfficiency:
        """The curve of a dtype; the 16-bit one when it was not measured. Pure query."""
        return self.gemm.get("bf16" if dtype == "fp16" else dtype) or self.gemm["bf16"]

    def experts_for(self, dtype: str) -> ExpertEfficiency:
        """The curve of a dtype; the 16-bit one when it was not measured. Pure query."""
        return self.experts.get("bf16" if dtype == "fp16" else dtype) or self.experts["bf16"]

    def all_reduce_for(self, devices: int) -> AllReduceEfficiency:
        """The curve of the nearest group size, the larger at a tie. Pure query."""
        nearest = min(self.all_reduce, key=lambda size: (abs(int(size) - devices), -int(size)))
        return self.all_reduce[nearest]


@cache
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
                words = f"assumed: the {family} class, from {file.name}"
                return file.model_copy(update={"provenance": words})
    raise InvariantError(f"no efficiency file is the default for '{accelerator.family}' or 'other'")
