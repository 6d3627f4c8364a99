"""Accelerators, nodes and links: what a machine can do, each number with where it was read.

In a file a number is ``{value: 3.35e+12, source: ID}``, where ``ID`` names an entry of the file's
``sources``. Loading takes the two apart: the field holds the plain number, :meth:`Cited.sources`
says where it came from.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from llmsim.spec.base import Strict
from llmsim.units import Quantity

Family = Literal[
    "volta", "turing", "ampere", "ada", "hopper", "blackwell", "blackwell-consumer", "rubin",
    "cdna2", "cdna3", "cdna4", "tpu", "gaudi", "trainium", "apple", "cpu", "other",
]  # fmt: skip
"""Efficiency class: accelerators of one family share their fitted curves."""

Dtype = Literal["fp32", "tf32", "bf16", "fp16", "fp8", "int8", "fp4"]

MemoryType = Literal[
    "hbm2", "hbm2e", "hbm3", "hbm3e", "hbm4", "gddr6", "gddr6x", "gddr7", "lpddr5", "lpddr5x", "ddr5", "sram"
]

Flops = Annotated[float, Quantity("FLOP/s"), Field(gt=0)]
Bytes = Annotated[float, Quantity("B"), Field(gt=0)]
Bandwidth = Annotated[float, Quantity("B/s"), Field(gt=0)]
Seconds = Annotated[float, Quantity("s"), Field(ge=0)]
Watts = Annotated[float, Quantity("W"), Field(gt=0)]
Price = Annotated[float, Quantity("$/h"), Field(ge=0)]
Count = Annotated[int, Field(gt=0)]


class Sourced(Strict):
    """Where a number was read."""

    citation: str
    read_on: str
    """ISO date."""
    unverified: bool = False
    why: str = ""
    """Why it is unverified, or what was done to the number."""


class Cited(Strict):
    """An entry of the hardware catalogue: plain numbers, and a citation for each."""

    name: str
    aliases: list[str] = Field(default_factory=list)
    notes: str = ""
    citations: dict[str, Sourced] = Field(default_factory=dict)
    """Field name (``peaks.bf16`` for a number inside a mapping) to its source."""

    @model_validator(mode="before")
    @classmethod
    def _take_apart(cls, data: object) -> object:
        """Replace each ``{value, source}`` by its value, and keep the source in ``citations``."""
        if not isinstance(data, dict):
            return data
        data = dict(data)
        listed = data.pop("sources", {})
        if not isinstance(listed, dict):
            raise ValueError("sources: should be a mapping of short names to citations")
        known = {key: Sourced.model_validate(text) for key, text in listed.items()}
        citations: dict[str, Any] = dict(data.get("citations", {}))
        plain = {key: _plain(key, value, known, citations) for key, value in data.items()}
        return plain | {"citations": citations}

    def sources(self) -> dict[str, Sourced]:
        """Where each number was read, by field name. Pure query."""
        return self.citations


def _plain(path: str, value: object, known: dict[str, Sourced], citations: dict[str, Any]) -> object:
    """``value`` without its source, which goes into ``citations`` under ``path``."""
    if path == "citations" or not isinstance(value, dict):
        return value
    if "value" not in value:
        return {key: _plain(f"{path}.{key}", item, known, citations) for key, item in value.items()}
    name = value.get("source")
    if name not in known:
        raise ValueError(f"{path}: source {name!r} is not among the file's sources: {', '.join(known)}")
    remarks = {key: item for key, item in value.items() if key not in {"value", "source"}}
    citations[path] = Sourced.model_validate(known[name].model_dump() | remarks)
    return value["value"]


class Accelerator(Cited):
    """One device as a framework sees it: its peaks, memories, links, power and price.

    Peaks are dense (without sparsity). Rates of links are per direction and device.
    """

    vendor: str
    form: str
    year: int
    family: Family
    memory_type: MemoryType
    peaks: dict[Dtype, Flops] = Field(default_factory=dict)
    """Dense peak by number format, FLOP/s (integer operations for int8). Unpublished ones are absent."""
    memory_bytes: Bytes
    """What the driver reports, where known (the number gpu_memory_utilization multiplies); else nominal."""
    memory_bytes_per_s: Bandwidth
    l2_bytes: Bytes | None = None
    num_sms: Count | None = None
    link_name: str
    """Scale-up link, an entry of the link catalogue."""
    link_bytes_per_s: Bandwidth | None = None
    scale_up_size: Count | None = None
    """Devices that the scale-up link joins in the usual machine."""
    host_link_bytes_per_s: Bandwidth | None = None
    tdp_w: Watts | None = None
    idle_w: Watts | None = None
    """Draw with a model loaded and nothing to do, as measured."""
    usd_per_hour: Price | None = None
    spot_usd_per_hour: Price | None = None
    tco_usd_per_hour: Price | None = None
    """What an hour costs its owner (an estimate, not a list price)."""
    measured_bf16_flops_per_s: Flops | None = None
    """Best matrix product anyone measured (MAMF), a check on the efficiencies."""

    def peak_flops_per_s(self, dtype: str) -> float | None:
        """Dense peak in FLOP/s for fp32 tf32 bf16 fp16 fp8 int8 fp4; None when there is none. Pure query."""
        return {str(key): value for key, value in self.peaks.items()}.get(dtype)


class Link(Cited):
    """An interconnect: one device's full complement of it."""

    kind: Literal["scale-up", "host", "network", "wan"]
    bytes_per_s: Bandwidth | None = None
    """Per direction and device (port, for a network)."""
    latency_s: Seconds | None = None
    """One message of no length, one way, as software sees it."""


class Node(Cited):
    """A machine: some accelerators of one kind, joined by a link, with network ports."""

    accelerator: str
    num_accelerators: Count
    link: str
    """What joins the accelerators inside the node."""
    network_link: str | None = None
    num_network_ports: Count | None = None
    network_bytes_per_s: Bandwidth | None = None
    """Of the whole node, per direction."""
    host_memory_bytes: Bytes | None = None
    usd_per_hour: Price | None = None
    spot_usd_per_hour: Price | None = None


class Instance(Cited):
    """What a provider rents by the hour: some accelerators in one machine, in one region."""

    provider: str
    region: str
    """Where the prices hold; they differ by region and, for spot, by zone and hour."""
    accelerator: str
    num_accelerators: Count
    node: str | None = None
    """The machine, an entry of the node catalogue, where there is one."""
    usd_per_hour: Price | None = None
    """On demand, for the whole instance."""
    spot_usd_per_hour: Price | None = None
    """Interruptible, as it was when the source was written; it moves."""
