"""Which device takes which position of a new configuration: the most bytes stay where they are (SpotServe §3.3).

Devices are mapped in groups of a tensor-parallel degree, or of an instance where that is smaller, so ranks that
talk to each other lie side by side: Kuhn-Munkres within each pair of groups, then between groups.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from llmsim.sim.reparallel.assignment import best_assignment
from llmsim.sim.reparallel.mesh import (
    Configuration,
    Device,
    ModelBytes,
    Position,
    Share,
    reusable_bytes,
    share,
)

Mapped = dict[Device, Position]
Gain = Callable[[Device, Position], float]


def groups_of(devices: Sequence[Device], size: int) -> list[list[Device]]:
    """``devices`` of each instance, ``size`` at a time; what is left over is left out. Pure query."""
    by_instance: dict[str, list[Device]] = {}
    for device in devices:
        by_instance.setdefault(device.instance, []).append(device)
    return [
        mine[first : first + size]
        for mine in by_instance.values()
        for first in range(0, len(mine) - size + 1, size)
    ]


def map_devices(
    config: Configuration,
    devices: Sequence[Device],
    held: Mapping[Device, Share],
    model: ModelBytes,
    contexts: Mapping[int, int],
    tokens: Mapping[int, int],
    *,
    match: bool = True,
) -> Mapped:
    """A position for as many devices as ``config`` takes. Pure query.

    Args:
        devices: Those there are, in order.
        held: What some of them hold now.
        contexts: The context that each new pipeline takes over, where it takes one.
        tokens: KV tokens of each context.
        match: False takes devices in order instead.
    """
    per_instance = min(_per_instance(devices).values(), default=1)
    size = min(config.ranks, per_instance)
    groups = groups_of(devices, size)
    positions = list(config.positions())
    wanted = [positions[first : first + size] for first in range(0, len(positions), size)]
    assert len(groups) >= len(wanted), "a configuration larger than its devices"
    if not match:
        pairs = zip(wanted, groups, strict=False)
        return {device: place for places, group in pairs for place, device in zip(places, group, strict=True)}
    num_layers = len(model.layers)
    shares = {place: share(config, place, num_layers, contexts.get(place.pipeline)) for place in positions}

    def gain(device: Device, place: Position) -> float:
        mine = held.get(device)
        return reusable_bytes(mine, shares[place], model, tokens) if mine else 0.0

    inner = [[_within(places, group, gain) for group in groups] for places in wanted]
    chosen = best_assignment([[gains for gains, _ in row] for row in inner])
    return {
        groups[column][index]: place
        for places, row, column in zip(wanted, inner, chosen, strict=True)
        for place, index in zip(places, row[column][1], strict=True)
    }


def _within(places: Sequence[Position], group: Sequence[Device], gain: Gain) -> tuple[float, list[int]]:
    """The best a group can do in ``places``: bytes, and the device of each place."""
    gains = [[gain(device, place) for device in group] for place in places]
    chosen = best_assignment(gains)
    return sum(row[column] for row, column in zip(gains, chosen, strict=True)), chosen


def _per_instance(devices: Sequence[Device]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for device in devices:
        counts[device.instance] = counts.get(device.instance, 0) + 1
    return counts
