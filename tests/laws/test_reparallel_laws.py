"""Reconfiguring a mesh: mappings are the best there are, what moves is exactly what is missing."""

from __future__ import annotations

from itertools import permutations
from math import inf

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmsim.sim.reparallel.assignment import best_assignment
from llmsim.sim.reparallel.choose import Space, choose
from llmsim.sim.reparallel.mapping import map_devices
from llmsim.sim.reparallel.mesh import (
    Configuration,
    Device,
    ModelBytes,
    Share,
    reusable_bytes,
    share,
)
from llmsim.sim.reparallel.migration import Rates, arrivals_s, latest_stop_s, layer_order, moves

LAYERS = 12
MODEL = ModelBytes([8.0 + layer for layer in range(LAYERS)], kv_token=0.5)
RATES = Rates(network=2.0, local=8.0, storage=1.0)

gains = st.integers(1, 4).flatmap(
    lambda rows: st.integers(rows, 5).flatmap(
        lambda columns: st.lists(
            st.lists(st.integers(0, 9), min_size=columns, max_size=columns), min_size=rows, max_size=rows
        )
    )
)


def devices(instances: int, per_instance: int = 2, start: int = 0) -> list[Device]:
    """Devices of instances ``start`` and on."""
    return [Device(f"i{i}", g) for i in range(start, start + instances) for g in range(per_instance)]


def placed(config: Configuration, where: list[Device], *, with_context: bool = True) -> dict[Device, Share]:
    """``config`` on ``where``, in order; pipeline d has context d."""
    pairs = zip(config.positions(), where, strict=False)
    return {d: share(config, p, LAYERS, p.pipeline if with_context else None) for p, d in pairs}


configs = st.builds(
    Configuration, st.integers(1, 3), st.sampled_from([1, 2, 3, 4]), st.sampled_from([1, 2, 4]), st.just(4)
)


@given(gains)
def test_the_assignment_is_the_best_there_is(table: list[list[int]]) -> None:
    rows, columns = len(table), len(table[0])
    chosen = best_assignment(table)
    best = max(sum(table[r][c] for r, c in enumerate(order)) for order in permutations(range(columns), rows))

    assert len(set(chosen)) == rows
    assert sum(table[r][c] for r, c in enumerate(chosen)) == best


@given(
    st.sampled_from([(1, 2, 2), (2, 1, 2), (1, 4, 1), (2, 2, 1)]),
    st.sampled_from([(1, 1, 2), (2, 2, 1), (1, 2, 2)]),
)
def test_no_mapping_keeps_more_bytes(old: tuple[int, int, int], new: tuple[int, int, int]) -> None:
    """Against every permutation that keeps tensor-parallel ranks side by side."""
    before, after = Configuration(*old, 4), Configuration(*new, 4)
    here = devices(3)[1:] + devices(1)[:1]
    held = placed(before, here)
    tokens, contexts = {0: 10, 1: 30}, {0: 1} if old[0] > 1 else {0: 0}
    usable = devices(2, start=1)
    mapped = map_devices(after, usable, held, MODEL, contexts, tokens)

    def kept(mapping: dict[Device, object]) -> float:
        return sum(
            reusable_bytes(held[d], share(after, p, LAYERS, contexts.get(p.pipeline)), MODEL, tokens)
            for d, p in mapping.items()
            if d in held
        )

    positions = list(after.positions())
    every = (
        dict(zip(order, positions, strict=True))
        for order in permutations(usable, len(positions))
        if after.ranks == 1
        or all(order[i].instance == order[i + 1].instance for i in range(0, len(order), 2))
    )
    assert kept(mapped) == pytest.approx(max(map(kept, every)))
    assert sorted(mapped.values()) == positions


@settings(max_examples=60)
@given(configs, configs, st.integers(0, 3), st.booleans())
def test_what_moves_is_what_is_missing(
    before: Configuration, after: Configuration, lost: int, match: bool
) -> None:
    """Bytes are conserved, nothing that is there already moves, and what is nowhere comes from storage."""
    count = max(before.num_devices, after.num_devices) // 2 + 4
    here = devices(count)
    held = {d: s for d, s in placed(before, here).items() if d.instance not in {f"i{i}" for i in range(lost)}}
    usable = [d for d in here if d.instance not in {f"i{i}" for i in range(lost)}]
    tokens = {d: 7 + d for d in range(before.pipelines)}
    contexts = {d: d for d in range(min(before.pipelines, after.pipelines))}
    mapped = map_devices(after, usable, held, MODEL, contexts, tokens, match=match)
    wanted = {d: share(after, p, LAYERS, contexts.get(p.pipeline)) for d, p in mapped.items()}
    plan = moves(held, wanted, MODEL, tokens)

    for device, part in wanted.items():
        needs = sum(MODEL.layers[part.start : part.end]) / part.of
        has = reusable_bytes(held[device], part._replace(context=None), MODEL, {}) if device in held else 0.0
        comes = sum(m.num_bytes for m in plan if m.target == device and not m.kv)
        assert has + comes == pytest.approx(needs)
    for move in plan:
        assert move.num_bytes > 0
        assert move.target in wanted
        assert move.source is None or move.source in held
        assert move.source != move.target
    kv = sum(m.num_bytes for m in plan if m.kv)
    all_kv = sum(tokens[c] * MODEL.kv_token * LAYERS for c in contexts.values())
    assert kv <= all_kv * (1 + 1e-9)
    if not lost:
        stays = sum(
            reusable_bytes(held[d], s, MODEL, tokens) - reusable_bytes(held[d], s, MODEL, {})
            for d, s in wanted.items()
            if d in held
        )
        assert kv + stays == pytest.approx(all_kv)
        assert all(m.source for m in plan)


@given(configs, st.integers(0, 5))
def test_the_same_configuration_in_the_same_place_moves_nothing(config: Configuration, spare: int) -> None:
    here = devices(config.num_devices // 2 + 2 + spare)
    held = placed(config, here)
    tokens = dict.fromkeys(range(config.pipelines), 100)
    contexts = {d: d for d in range(config.pipelines)}
    mapped = map_devices(config, here, held, MODEL, contexts, tokens)
    wanted = {d: share(config, p, LAYERS, p.pipeline) for d, p in mapped.items()}

    assert moves(held, wanted, MODEL, tokens) == []


@given(configs, configs, st.floats(1.0, 100.0))
def test_arrivals_are_no_faster_than_the_wires_and_no_slower_than_one_after_another(
    before: Configuration, after: Configuration, buffer_bytes: float
) -> None:
    here = devices(max(before.num_devices, after.num_devices) // 2 + 3)
    held = placed(before, here)
    wanted = placed(after, here[::-1])
    wanted = {
        d: s._replace(context=s.context if s.context in range(before.pipelines) else None)
        for d, s in wanted.items()
    }
    plan = moves(held, wanted, MODEL, dict.fromkeys(range(before.pipelines), 20))
    order = layer_order(plan, held, MODEL, buffer_bytes)
    done = arrivals_s(plan, order, RATES)
    end_s = max(done.values(), default=0.0)

    assert sorted(order) == sorted({m.layer for m in plan if not m.kv})
    assert layer_order(plan, held, MODEL, inf) == sorted(order)
    for instance in {d.instance for d in here}:
        received = sum(
            m.num_bytes for m in plan if m.source and m.target.instance == instance != m.source.instance
        )
        sent = sum(
            m.num_bytes for m in plan if m.source and m.source.instance == instance != m.target.instance
        )
        assert end_s >= max(received, sent) / RATES.network * (1 - 1e-9)
    assert end_s <= sum(m.num_bytes for m in plan) / min(RATES) * (1 + 1e-9)


def test_a_full_buffer_puts_layers_off_until_room_is_made() -> None:
    """Two devices swap halves of four layers: from the front, each would hold three halves at its peak."""
    model = ModelBytes([10.0] * 4, 0.0)
    one, other = Device("a", 0), Device("b", 0)
    held = {one: Share(0, 2, 0, 1, 1), other: Share(2, 4, 0, 1, 1)}
    wanted = {one: Share(2, 4, 0, 1, 1), other: Share(0, 2, 0, 1, 1)}
    plan = moves(held, wanted, model, {})

    assert layer_order(plan, held, model) == [0, 1, 2, 3]
    assert layer_order(plan, held, model, 10.0) == [0, 2, 1, 3]


@given(st.integers(1, 64), st.floats(0.01, 10.0), st.integers(1, 24))
def test_a_choice_fits_and_keeps_the_rate_where_anything_does(
    num_devices: int, rate: float, least: int
) -> None:
    space = Space(layers=24, most_ranks=8, most_batch=4, least_devices=least, batches=True)

    def latency(stages: int, ranks: int, batch: int) -> float:
        return (1 + batch / 8) * (24 / ranks**0.7 + 0.1 * stages)

    choice = choose(num_devices, rate, space, latency)
    every = [
        (latency(p, m, b), (num_devices // (p * m)) * b / latency(p, m, b))
        for p, m in space.pipelines(num_devices)
        for b in (1, 2, 4)
    ]
    if choice is None:
        assert num_devices < least or not every
        return
    assert choice.config.num_devices <= num_devices
    assert choice.config.stages * choice.config.ranks >= least
    fast = [latency_s for latency_s, per_s in every if per_s >= rate]
    if fast:
        assert choice.latency_s == min(fast)
        assert choice.per_s >= rate
    else:
        assert choice.per_s == max(per_s for _, per_s in every)


def test_decoding_goes_on_until_just_in_time() -> None:
    assert latest_stop_s(100.0, 130.0, 12.0) == 118.0
    assert latest_stop_s(100.0, 130.0, 45.0) == 100.0
