"""What has to move to where when a configuration changes, in which order, and how long that takes (SpotServe §3.4).

The KV of contexts that go on comes first, since nothing can resume without it; weights follow layer by layer from
the front, so a stage may start while later ones are still on their way. A layer that would fill a device's
buffer comes later, when others have been let go.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import inf, lcm
from typing import NamedTuple

from llmsim.sim.reparallel.mesh import Device, ModelBytes, Share

Piece = tuple[int, int]
"""(layer, part of it): parts are counted in the smallest shard of both configurations."""


class Move(NamedTuple):
    """Bytes of one layer that a device receives.

    Attributes:
        kv: Whether they are KV of a context, and not weights.
        source: Who sends them; None: storage.
    """

    layer: int
    kv: bool
    source: Device | None
    target: Device
    num_bytes: float


class Rates(NamedTuple):
    """Bytes per second: of an instance's network each way, between its devices, and from storage to it."""

    network: float
    local: float
    storage: float


def moves(
    held: Mapping[Device, Share],
    wanted: Mapping[Device, Share],
    model: ModelBytes,
    tokens: Mapping[int, int],
) -> list[Move]:
    """Everything that a device lacks, from a device that has it, else from storage. Pure query.

    A source in the same instance is preferred, then the instance that has sent least. KV that nobody has is not
    moved: it is computed anew.

    Args:
        held: Now, by every device that can send.
        wanted: In the new configuration.
        tokens: KV tokens of each context.
    """
    unit = lcm(1, *(part.of for part in (*held.values(), *wanted.values())))
    holders, contexts = _holders(held, unit)
    sent: dict[str, float] = defaultdict(float)
    found: list[Move] = []
    for kv in (True, False):
        for device, share in wanted.items():
            mine = held.get(device)
            for layer, part in _pieces(share, unit):
                num_bytes = _bytes(layer, kv, share, model, tokens) / unit
                if not num_bytes or (
                    mine and _has(mine, layer, part, unit, share.context if kv else None, kv)
                ):
                    continue
                known = (
                    contexts.get((share.context, layer, part), []) if kv else holders.get((layer, part), [])
                )
                if kv and not known:
                    continue
                source = min(
                    known, key=lambda d: (d.instance != device.instance, sent[d.instance], d), default=None
                )
                if source and source.instance != device.instance:
                    sent[source.instance] += num_bytes
                found.append(Move(layer, kv, source, device, num_bytes))
    return _merged(found)


def _bytes(layer: int, kv: bool, share: Share, model: ModelBytes, tokens: Mapping[int, int]) -> float:
    """Bytes of a whole layer, or of its KV."""
    if not kv:
        return model.layers[layer]
    return tokens.get(share.context, 0) * model.kv_token if share.context is not None else 0.0


def _pieces(share: Share, unit: int) -> Iterator[Piece]:
    scale = unit // share.of
    for layer in range(share.start, share.end):
        for part in range(share.first * scale, share.last * scale):
            yield layer, part


def _has(share: Share, layer: int, part: int, unit: int, context: int | None, kv: bool) -> bool:
    scale = unit // share.of
    inside = share.start <= layer < share.end and share.first * scale <= part < share.last * scale
    return inside and (not kv or share.context == context)


def _holders(
    held: Mapping[Device, Share], unit: int
) -> tuple[dict[Piece, list[Device]], dict[tuple[int | None, int, int], list[Device]]]:
    """Who has each piece of weights, and of each context's KV."""
    weights: dict[Piece, list[Device]] = defaultdict(list)
    contexts: dict[tuple[int | None, int, int], list[Device]] = defaultdict(list)
    for device, share in held.items():
        for layer, part in _pieces(share, unit):
            weights[layer, part].append(device)
            if share.context is not None:
                contexts[share.context, layer, part].append(device)
    return weights, contexts


def _merged(found: Iterable[Move]) -> list[Move]:
    """Pieces that take the same way together."""
    sums: dict[tuple[int, bool, Device | None, Device], float] = defaultdict(float)
    for move in found:
        sums[move[:4]] += move.num_bytes
    return [Move(*key, num_bytes) for key, num_bytes in sums.items()]


def layer_order(
    plan: Sequence[Move], held: Mapping[Device, Share], model: ModelBytes, buffer_bytes: float = inf
) -> list[int]:
    """Layers in the order their weights move: from the front, but none that overfills a buffer while others fit.

    A device lets go of a layer's old weights when that layer has moved. Pure query.

    Args:
        buffer_bytes: What a device can hold beyond its old weights.
    """
    comes: dict[int, dict[Device, float]] = defaultdict(lambda: defaultdict(float))
    for move in plan:
        if not move.kv:
            comes[move.layer][move.target] += move.num_bytes
    goes: dict[int, dict[Device, float]] = defaultdict(dict)
    for device, share in held.items():
        for layer in range(share.start, share.end):
            goes[layer][device] = model.layers[layer] * (share.last - share.first) / share.of
    used: dict[Device, float] = defaultdict(float)

    def peak(layer: int) -> float:
        return max((used[device] + num_bytes for device, num_bytes in comes[layer].items()), default=0.0)

    left, order = sorted(comes), []
    while left:
        fitting = (layer for layer in left if peak(layer) <= buffer_bytes)
        layer = next(fitting, min(left, key=peak))
        left.remove(layer)
        order.append(layer)
        for device, num_bytes in comes[layer].items():
            used[device] += num_bytes
        for device, num_bytes in goes[layer].items():
            used[device] -= num_bytes
    return order


def arrivals_s(plan: Sequence[Move], order: Sequence[int], rates: Rates) -> dict[tuple[Device, int], float]:
    """When each device has all of each layer that it lacked, from the start of the migration. Pure query.

    An instance sends one move at a time and receives one at a time, each at the network's full rate; its devices'
    exchange among themselves, and what it reads from storage, have rates of their own.
    """
    rank = {layer: position for position, layer in enumerate(order)}
    free: dict[tuple[str, str], float] = defaultdict(float)
    done: dict[tuple[Device, int], float] = {}
    for move in sorted(plan, key=lambda m: (not m.kv, m.layer if m.kv else rank[m.layer])):
        target = move.target.instance
        if move.source is None:
            ways, rate = [("storage", target)], rates.storage
        elif move.source.instance == target:
            ways, rate = [("local", target)], rates.local
        else:
            ways, rate = [("out", move.source.instance), ("in", target)], rates.network
        end_s = max(free[way] for way in ways) + move.num_bytes / rate
        for way in ways:
            free[way] = end_s
        key = move.target, move.layer
        done[key] = max(done.get(key, 0.0), end_s)
    return done


def latest_stop_s(now_s: float, deadline_s: float, migration_s: float) -> float:
    """Until when decoding may go on, so that a migration ends by ``deadline_s``: just in time (SpotServe §4). Pure."""
    return max(now_s, deadline_s - migration_s)
