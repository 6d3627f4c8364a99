"""The memories below the KV pools of one fleet pool's replicas."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from llmsim.engine.kv.store import Store
from llmsim.engine.kv.tiers import Tier, Tiers
from llmsim.engine.pipe import Pipe
from llmsim.files.machines import machine_of
from llmsim.spec.hardware import Accelerator
from llmsim.spec.kv_tiers import KVTier
from llmsim.units import GIB, format_bytes, format_si

NVME_READ_BYTES_PER_S, NVME_WRITE_BYTES_PER_S = 6.5e9, 3.5e9
NVME_SOURCE = "one drive, Samsung PM9A3, sequential: heise.de/-4720224"
"""Read on 2026-11-21."""

HOST_LATENCY_S, NVME_LATENCY_S = 1e-5, 1e-4
"""Of a copy, and of a read from flash: assumptions."""

PCIE4_BYTES_PER_S = 3.1508e10
"""16 lanes of PCIe 4: assumed of an accelerator whose host link is not known."""


class TierPlan(NamedTuple):
    """One memory with everything known of it.

    Attributes:
        spec: As the scenario has it.
        read_bytes_per_s, write_bytes_per_s, latency_s: Its links, for one replica.
        source: Where their rates come from.
    """

    spec: KVTier
    read_bytes_per_s: float
    write_bytes_per_s: float
    latency_s: float
    source: str

    def in_words(self) -> tuple[str, str]:
        """(what it is, where its rates come from). Pure query."""
        spec = self.spec
        whose = "for all replicas" if spec.kind == "remote" else "a replica"
        rates = format_si(self.read_bytes_per_s, "B/s")
        if self.write_bytes_per_s != self.read_bytes_per_s:
            rates = f"{rates} up, {format_si(self.write_bytes_per_s, 'B/s')} down"
        prefetch = ", prefetched" if spec.prefetch else ""
        return (
            f"{spec.kind} {format_bytes(spec.size * GIB)} {whose}, {rates}, write-{spec.write}{prefetch}",
            self.source,
        )


class PoolTiers:
    """The tiers of a pool's replicas. Host memory and drives are a replica's own; a remote store is the pool's.

    Args:
        specs: As the scenario has them.
        accelerator, num_devices, node: What a replica runs on.
        token_bytes: Size of a token's KV, over all devices.
    """

    def __init__(
        self,
        specs: Sequence[KVTier],
        accelerator: Accelerator,
        num_devices: int,
        node: str | None,
        token_bytes: float,
    ) -> None:
        self._token_bytes = token_bytes
        self._remote: Store | None = None
        self.plans = [_plan(spec, accelerator, num_devices, node) for spec in specs]

    def of_replica(self, block_size: int) -> Tiers:
        """Those of a new replica, whose KV blocks have ``block_size`` tokens."""
        block_bytes = block_size * self._token_bytes
        return Tiers([self._tier(plan, block_bytes) for plan in self.plans], block_size, block_bytes)

    def in_words(self) -> list[tuple[str, str]]:
        """(what it is, where its rates come from) of each tier. Pure query."""
        return [plan.in_words() for plan in self.plans]

    def _tier(self, plan: TierPlan, block_bytes: float) -> Tier:
        spec = plan.spec
        return Tier(
            spec.kind,
            self._store(spec, block_bytes),
            Pipe(plan.read_bytes_per_s, plan.latency_s),
            Pipe(plan.write_bytes_per_s, plan.latency_s),
            writes_through=spec.write == "through",
            loads_if_faster=spec.load == "if_faster",
            prefetches=spec.prefetch,
            is_host=spec.kind == "host",
        )

    def _store(self, spec: KVTier, block_bytes: float) -> Store:
        if spec.kind == "remote" and self._remote is not None:
            return self._remote
        store = Store(int(spec.size * GIB / block_bytes) if block_bytes else 0)
        if spec.kind == "remote":
            self._remote = store
        return store


def _plan(spec: KVTier, accelerator: Accelerator, num_devices: int, node: str | None) -> TierPlan:
    if spec.kind == "host":
        read = write = num_devices * (accelerator.host_link_bytes_per_s or PCIE4_BYTES_PER_S)
        latency_s = HOST_LATENCY_S
        known = accelerator.host_link_bytes_per_s is not None
        source = (
            f"host links of {num_devices} × {accelerator.name}" if known else "assumed: 16 lanes of PCIe 4"
        )
    elif spec.kind == "nvme":
        read, write, latency_s = NVME_READ_BYTES_PER_S, NVME_WRITE_BYTES_PER_S, NVME_LATENCY_S
        source = NVME_SOURCE
    else:
        machine = machine_of(accelerator, node)
        read = write = machine.out_bytes_per_s(num_devices)
        latency_s = machine.latency_s
        source = f"assumed: {machine.assumed}" if machine.assumed else f"network of node {machine.name}"
    if spec.read_bandwidth and spec.write_bandwidth:
        source = "rates set by the scenario"
    elif spec.read_bandwidth or spec.write_bandwidth:
        source = f"one rate set by the scenario, else {source}"
    return TierPlan(
        spec,
        spec.read_bandwidth or read,
        spec.write_bandwidth or write,
        latency_s if spec.latency_ms is None else spec.latency_ms / 1000,
        source,
    )
