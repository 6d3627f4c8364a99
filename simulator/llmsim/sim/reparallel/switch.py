"""From the pipelines there are to those of another configuration: who stays, who moves, what that takes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import inf

from llmsim.sim.reparallel.mapping import map_devices
from llmsim.sim.reparallel.mesh import Configuration, Device, ModelBytes, Position, Share, overlap, share
from llmsim.sim.reparallel.migration import Move, Rates, arrivals_s, layer_order, moves


@dataclass(frozen=True)
class Tactics:
    """How a pool goes from one configuration to the next.

    Attributes:
        adapts: Whether the configuration is chosen anew; otherwise only the number of pipelines changes.
        keeps_pipelines: Whether pipelines that can stay as they are serve on.
        from_peers: Whether weights come from devices that have them; otherwise all from storage.
        keeps_contexts: Whether KV moves with its requests.
        keeps_tokens: Whether an interrupted request keeps the tokens it has; otherwise it starts from its prompt.
        matches: Whether devices are mapped by the bytes they can keep.
        progressive: Whether a pipeline begins when its own bytes are there, not when all have moved.
    """

    adapts: bool = True
    keeps_pipelines: bool = True
    from_peers: bool = True
    keeps_contexts: bool = True
    keeps_tokens: bool = True
    matches: bool = True
    progressive: bool = True


@dataclass(frozen=True)
class Pipeline:
    """A copy of the model on its devices.

    Attributes:
        stages, ranks: Its shape.
        devices: Who takes which position in it.
        tokens: KV tokens of its requests.
    """

    stages: int
    ranks: int
    devices: Mapping[Device, Position]
    tokens: int = 0

    def shares(self, num_layers: int, context: int | None) -> dict[Device, Share]:
        """What each device holds. Pure query."""
        config = Configuration(1, self.stages, self.ranks, 1)
        return {
            device: share(config, place, num_layers, context if self.tokens else None)
            for device, place in self.devices.items()
        }


@dataclass(frozen=True)
class Arrival:
    """A pipeline of the new configuration that was not there before.

    Attributes:
        devices: Who takes which position in it.
        context: The old pipeline whose requests it goes on with; None without one.
        ready_s: When its bytes are there, from the start of the migration.
        has_kv: Whether all KV of its context is among them, or stays in place.
    """

    devices: Mapping[Device, Position]
    context: int | None
    ready_s: float
    has_kv: bool = True


@dataclass(frozen=True)
class Switch:
    """All that a change of configuration takes.

    Attributes:
        stay: Old pipelines that serve on.
        arrivals: New ones.
        plan: What moves.
        seconds: Until the last byte is there.
    """

    stay: Sequence[int]
    arrivals: Sequence[Arrival]
    plan: Sequence[Move] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        """Until the last pipeline has its bytes. Pure query."""
        return max((arrival.ready_s for arrival in self.arrivals), default=0.0)


def plan_switch(
    config: Configuration | None,
    usable: Sequence[Device],
    old: Mapping[int, Pipeline],
    model: ModelBytes,
    rates: Rates,
    tactics: Tactics,
    *,
    senders: Sequence[Device] | None = None,
    decode_s: float = 0.0,
    buffer_bytes: float = inf,
) -> Switch:
    """What it takes to get from ``old`` to ``config`` on ``usable``. Pure query.

    Pipelines that can stay whole do, those with the most KV first; new ones take over the contexts of those that
    stop, the furthest first.

    Args:
        config: None stops everything.
        senders: Devices that last long enough to send; None: all of ``old``'s.
        decode_s: One iteration: a stage is reached when those before it have computed.
        buffer_bytes: What a device can hold beyond its old weights.
    """
    if config is None:
        return Switch([], [])
    there = set(usable)
    by_tokens = sorted(old, key=lambda number: -old[number].tokens)
    whole = [n for n in by_tokens if old[n].devices.keys() <= there and _same_shape(old[n], config)]
    stay = whole[: config.pipelines] if tactics.keeps_pipelines else []
    busy = {device for number in stay for device in old[number].devices}
    new = config._replace(pipelines=config.pipelines - len(stay))
    stopping = [n for n in by_tokens if n not in stay and old[n].tokens and tactics.keeps_contexts]
    contexts = dict(enumerate(stopping[: new.pipelines]))
    tokens = {number: old[number].tokens for number in old}
    held: dict[Device, Share] = {}
    for number, pipeline in old.items():
        held |= pipeline.shares(len(model.layers), number)
    free = [device for device in usable if device not in busy]
    mapped = map_devices(new, free, held, model, contexts, tokens, match=tactics.matches)
    wanted = {d: share(new, p, len(model.layers), contexts.get(p.pipeline)) for d, p in mapped.items()}
    able = held.keys() if senders is None else set(senders) | set(mapped)
    sources = {d: s for d, s in held.items() if d in able} if tactics.from_peers else {}
    plan = moves(sources, wanted, model, tokens)
    cut_off = _cut_off(plan, sources, wanted, model, tokens)
    plan = [move for move in plan if not (move.kv and wanted[move.target].context in cut_off)]
    done = arrivals_s(plan, layer_order(plan, held, model, buffer_bytes), rates)
    last_s = max(done.values(), default=0.0)
    arrivals = []
    for index in range(new.pipelines):
        devices = {d: p._replace(pipeline=0) for d, p in mapped.items() if p.pipeline == index}
        own_s = max(
            (s - devices[d].stage * decode_s / new.stages for (d, _), s in done.items() if d in devices),
            default=0.0,
        )
        ready_s = max(0.0, own_s) if tactics.progressive else last_s
        context = contexts.get(index)
        arrivals.append(Arrival(devices, context, ready_s, has_kv=context not in cut_off))
    return Switch(stay, arrivals, plan)


def _cut_off(
    plan: Sequence[Move],
    held: Mapping[Device, Share],
    wanted: Mapping[Device, Share],
    model: ModelBytes,
    tokens: Mapping[int, int],
) -> set[int]:
    """Contexts that part of the KV is nowhere of any more: they are of no use."""
    found: dict[int, float] = defaultdict(float)
    for device, part in wanted.items():
        if part.context is not None:
            found[part.context] += sum(m.num_bytes for m in plan if m.kv and m.target == device)
            if device in held and held[device].context == part.context:
                layers, common = overlap(held[device], part)
                found[part.context] += common * len(layers) * tokens[part.context] * model.kv_token
    whole = len(model.layers) * model.kv_token
    return {context for context, size in found.items() if size < tokens[context] * whole * (1 - 1e-9)}


def _same_shape(pipeline: Pipeline, config: Configuration) -> bool:
    return (pipeline.stages, pipeline.ranks) == (config.stages, config.ranks)
