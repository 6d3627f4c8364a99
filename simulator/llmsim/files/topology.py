"""What a scenario's fleet asks of its machines that they cannot give."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from llmsim.errors import CatalogError
from llmsim.files import catalog
from llmsim.files.servers import server_type
from llmsim.spec.base import Place
from llmsim.spec.scenario import Scenario
from llmsim.spec.serving import Pool
from llmsim.spec.topology import NodeGroup, Topology, deal


def groups_for(pool: Pool, topology: Topology, zone: str | None = None) -> list[NodeGroup]:
    """The machines of ``topology`` that replicas of ``pool`` may sit in, in order. Pure query.

    Args:
        pool: Names the accelerator, and perhaps the node and the zone.
        topology: Lists the machines.
        zone: A zone to look in instead of the pool's own.

    Raises:
        CatalogError: A name that the catalogue does not know.
    """
    accelerator = catalog.accelerator(pool.accelerator).name
    node = None if pool.node is None else catalog.node(pool.node).name
    zone = zone or pool.zone
    return [
        group
        for group in topology.nodes
        if catalog.node(group.node).accelerator == accelerator
        and node in (None, catalog.node(group.node).name)
        and zone in (None, group.zone or topology.default_zone)
    ]


def placement_conflicts(scenario: Scenario) -> Iterator[tuple[Place, str]]:
    """Pools that the machines listed in the topology have no room for; unknown names are passed over."""
    topology = scenario.topology
    if not topology.nodes:
        return
    with suppress(CatalogError):
        free = {group.name: [_size(group)] * group.count for group in topology.nodes}
        for index, pool in enumerate(scenario.fleet):
            groups = groups_for(pool, topology)
            if not groups:
                yield ("fleet", index), _no_machines(pool, topology)
                continue
            placed = sum(_take(groups, free, pool) for _ in range(pool.replicas))
            if placed < pool.replicas:
                yield ("fleet", index, "replicas"), _no_room(pool, groups, placed)


def num_devices(pool: Pool) -> int:
    """Accelerators of one replica, the least that ``tensor_parallel_size: auto`` may take. Pure query."""
    if pool.stages:
        return sum(stage.tensor_parallel_size for stage in pool.stages)
    size = pool.tensor_parallel_size
    stages = len(pool.pipeline_layers or ()) or pool.pipeline_parallel_size
    ranks = pool.data_parallel_size * pool.prefill_context_parallel_size
    return (size if isinstance(size, int) else 1) * stages * ranks


def _size(group: NodeGroup) -> int:
    return catalog.node(group.node).num_accelerators


def _take(groups: list[NodeGroup], free: dict[str, list[int]], pool: Pool) -> bool:
    """Place one replica in the first group with room, changing ``free``; whether there was one."""
    for group in groups:
        parts = deal(free[group.name], _size(group), num_devices(pool))
        if parts is not None:
            for machine, devices in parts:
                free[group.name][machine] -= devices
            return True
    return False


def _no_machines(pool: Pool, topology: Topology) -> str:
    what = pool.node or f"machine with {catalog.accelerator(pool.accelerator).name}"
    where = f" in zone '{pool.zone}'" if pool.zone else ""
    listed = ", ".join(
        f"'{group.name}' ({group.count} × {group.node}"
        + (f" in {group.zone or topology.default_zone})" if topology.zones else ")")
        for group in topology.nodes
    )
    return f"topology.nodes has no {what}{where}, only {listed}; add some, or change the pool"


def _no_room(pool: Pool, groups: list[NodeGroup], placed: int) -> str:
    machines = " and ".join(f"{group.count} × {group.node}" for group in groups)
    size = server_type(pool.accelerator, groups[0].node).num_devices
    return (
        f"{pool.replicas} replicas with {num_devices(pool)} devices each need more than {machines} (of {size}) "
        f"have left: there is room for {placed}; lower it, or raise the count in topology.nodes"
    )
