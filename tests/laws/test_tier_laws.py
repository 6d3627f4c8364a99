"""Memories below the KV pool: what they keep, what they cost, and that they never change what is right."""

from __future__ import annotations

from functools import partial
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_prefix_laws import SIZE, Model, check_blocks, hash_of, new_request, step, steps
from tier_runs import AT_ONCE, TOKEN_BYTES, UNLIMITED, alike, cached, made_of, pool, serve, tier

from llmsim.contracts import KVCacheContract, outcome, require_same
from llmsim.engine.kv.prefix import PrefixCached
from llmsim.engine.kv.store import Store
from llmsim.engine.request import Request
from llmsim.engine.schedulers.chunked_prefill import ChunkedPrefill
from llmsim.engine.schedulers.orca import Orca
from llmsim.engine.schedulers.static import Static
from llmsim.engine.schedulers.vllm import VllmPrefillFirst
from llmsim.sim.play import A_LINE


class BlockByBlock:
    """A store that knows each block by itself: the dictionary that :class:`Store` has to equal."""

    def __init__(self, capacity):
        self.capacity, self.clock, self.used_at = capacity, 0, {}

    def put(self, key, count):
        self.clock += 1
        for place in range(count):
            self.used_at.setdefault((key, place), 0)
        self.touch(key)
        while len(self.used_at) > self.capacity:
            del self.used_at[min(self.used_at, key=lambda block: (self.used_at[block], -block[1]))]

    def touch(self, key):
        self.clock += 1
        for block in self.used_at:
            if block[0] == key:
                self.used_at[block] = self.clock


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(st.booleans(), st.integers(0, 6), st.integers(1, 9)), max_size=40), st.integers(0, 30)
)
def test_a_store_is_its_blocks(actions, capacity):
    """Whatever comes in and is used: the blocks that are there are those of the dictionary, and never too many."""
    store, model = Store(capacity), BlockByBlock(capacity)
    for is_put, key, count in actions:
        if is_put:
            had = store.blocks.get(key, 0)
            _, new = store.put([(key, count)])
            assert new == max(0, count - had)
            lost = store.trim()
            assert all(count >= store.blocks.get(each, 0) for each, count in lost)
            model.put(key, max(count, had))
        else:
            store.touch(key)
            model.touch(key)
        assert {(key, place) for key, count in store.blocks.items() for place in range(count)} == set(
            model.used_at
        )
        assert store.used == sum(store.blocks.values()) <= store.capacity


class Remembering(Model):
    """vLLM's block pool, which also knows every name that there ever was."""

    def __init__(self, num_blocks):
        super().__init__(num_blocks)
        self.ever = set()

    def name(self, req, tokens, *, own=False):
        super().name(req, tokens, own=own)
        self.ever |= set(self.content)


def ever_named(req, model):
    """Blocks from the start of ``req`` that were named at some time."""
    places = range((req.prefill_target - 1) // SIZE)
    return next((place for place in places if hash_of(req, place) not in model.ever), len(places))


@settings(max_examples=200, deadline=None)
@given(steps, st.integers(5, 40), st.sampled_from([0, 3, 12, UNLIMITED]))
def test_nothing_is_found_that_was_not_computed(actions, num_blocks, room):
    """Below a pool that forgets: what is found was computed, and all of it if the host has room without end.

    No tier ever holds more than it can, and the pool's own blocks add up as they do without tiers.
    """
    kv = pool(lambda: [tier("host", room), tier("nvme", room)])(num_blocks * SIZE, SIZE, 1000)
    model = Remembering(num_blocks)
    running, waiting = [], []
    for number, (action, pick, length) in enumerate(actions):
        if action == "admit":
            req = waiting.pop(0) if waiting and pick % 2 else new_request(number, pick, length)
            found, hits = kv.find(req), model.find(req)
            most = SIZE * ever_named(req, model)
            assert SIZE * len(hits) <= found <= most
            assert found == most or room != UNLIMITED
            tokens = min(req.prefill_target, found + 1 + pick % 30)
            taken = kv.admit(req, tokens, found)
            assert taken == model.admit(req, hits, tokens)
            if taken:
                assert req.computed == found
                running.append(req)
                req.computed = tokens
        elif running:
            req = running[pick % len(running)]
            step(action, req, kv, model, length)
            if action in ("finish", "preempt"):
                running.remove(req)
                waiting += [req] if action == "preempt" else []
        check_blocks(kv)
        assert kv.free_blocks == len(model.free)
        for each in kv.tiers.tiers:
            assert each.store.used == sum(each.store.blocks.values()) <= each.store.capacity


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 10**6), st.integers(1, 40)), max_size=40),
    st.integers(12, 30),
    st.sampled_from(["back", "through"]),
)
def test_a_larger_host_never_hits_less(prompts, num_blocks, write):
    """One request after another, what a host's memory holds a larger one holds too."""
    hits = []
    for room in (0, 5, 12, 60, UNLIMITED):
        host = made_of(partial(tier, "host", room, writes_through=write == "through"))
        kv, found = pool(host)(num_blocks * SIZE, SIZE, 1000), []
        for number, (pick, length) in enumerate(prompts):
            req = new_request(number, pick, length)
            found.append(kv.find(req))
            assert kv.admit(req, length, found[-1])
            req.computed = length
            req.stop_at = req.output_tokens = req.generated = 1
            kv.release(req)
        hits.append(found)

    assert all(a <= b for small, large in pairwise(hits) for a, b in zip(small, large, strict=True))


@pytest.mark.parametrize("scheduler", [ChunkedPrefill, VllmPrefillFirst, Orca, Static])
def test_a_host_without_limits_is_a_pool_without_limits(scheduler):
    """Room without end, links that take no time: the same hits, decisions and times as a pool that never forgets."""
    runs = [
        serve(alike(3, 300, rate_per_s=4.0), [kv_cache], tokens, scheduler=scheduler)
        for kv_cache, tokens in (
            (PrefixCached, 10**6),
            (pool(lambda: [tier("host")]), 24_000),
            (pool(lambda: [tier("host", 50), tier("nvme", writes_through=True)]), 24_000),
        )
    ]
    plain, _ = serve(alike(3, 300, rate_per_s=4.0), [PrefixCached], 24_000, scheduler=scheduler)
    (record, _), *others = runs

    assert cached(plain) < cached(record)
    for other, engines in others:
        assert cached(other) == cached(record)
        assert sum(each.hit_blocks for each in engines[0].kv.tiers.tiers) > 0
        require_same(outcome(other), outcome(record), "a tier without limits is a larger pool")


KINDS = {
    "back": lambda: [tier("host", 80, 2e7), tier("nvme", 200, 1e7)],
    "through": lambda: [tier("host", 300, 2e7, writes_through=True), tier("nvme", 200, 1e7)],
    "prefetch": lambda: [tier("host", 80, 2e7), tier("remote", 900, 5e6, prefetches=True)],
    "if_faster": lambda: [
        tier("host", 80, 2e7, loads_if_faster=True),
        tier("nvme", 900, 1e7, loads_if_faster=True),
    ],
    "mixed": lambda: [
        tier("host", 80, 2e7),
        tier("nvme", 100, 1e7, writes_through=True, prefetches=True),
        tier("remote", 900, 5e6, prefetches=True),
    ],
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("scheduler", [ChunkedPrefill, VllmPrefillFirst, Orca])
@pytest.mark.parametrize("stages", [1, 2])
def test_fast_forward_equals_stepping(kind, scheduler, stages):
    """Links with a queue, a pool under pressure: the same decisions and times, however often the engine looks."""
    for tokens in (1200, 4000):
        runs = [
            serve(
                alike(11), [pool(KINDS[kind])], tokens, scheduler=scheduler, stages=stages, fast_forward=fast
            )
            for fast in (True, False)
        ]
        (fast, engines), (slow, stepped) = runs

        require_same(outcome(fast), outcome(slow), "fast-forward equals stepping")
        for one, other in zip(engines[0].kv.tiers.tiers, stepped[0].kv.tiers.tiers, strict=True):
            assert (one.hit_blocks, one.read_blocks, one.written_blocks) == (
                other.hit_blocks,
                other.read_blocks,
                other.written_blocks,
            )
        assert sum(each.hit_blocks for each in engines[0].kv.tiers.tiers) > 0


class TestTiered(KVCacheContract):
    kv_cache = pool(KINDS["mixed"])


@pytest.mark.parametrize("through", [False, True])
def test_fast_forward_equals_stepping_where_replicas_share(through):
    """What one forgets while it only decodes reaches the other at the same moment, however often it looks."""
    runs = []
    for fast in (True, False):
        store = Store(2000)
        tiers = made_of(
            partial(tier, "host", 60, 2e7),
            partial(tier, "remote", rate=5e6, store=store, writes_through=through, prefetches=True),
        )
        runs.append(serve(alike(12, 200, rate_per_s=12.0), [pool(tiers)] * 2, 1500, fast_forward=fast))
    (fast, engines), (slow, _) = runs

    require_same(outcome(fast), outcome(slow), "fast-forward equals stepping")
    assert all(engine.kv.tiers.tiers[1].read_blocks for engine in engines)


@pytest.mark.parametrize("write", [False, True])
def test_a_slower_link_makes_users_wait(write):
    """Mean time to first token rises as the link slows; nobody is lost, whatever it is."""
    means = []
    for rate in (AT_ONCE, 1e8, 1e6, 1e4):
        host = made_of(partial(tier, "host", rate=rate, writes_through=write))
        record, _ = serve(alike(5, 150), [pool(host)], 3000)
        assert all(req.status == "completed" for req in record.requests)
        means.append(sum(req.first_token_s - req.arrival_s for req in record.requests))

    assert all(fast < slow for fast, slow in pairwise(means))


A, B, C = (tuple(range(start, start + 8)) for start in (0, 100, 200))
"""Prompts of 512 tokens, by their hashes."""

FOUND = 496 * TOKEN_BYTES
"""Bytes of what can be found of one: all but its last block."""


def one_after_another(prompts):
    """Prompts of 512 tokens that never meet, with one token of output."""
    requests = [Request(number, 100.0 * number, 512, 1) for number in range(len(prompts))]
    for req, ids in zip(requests, prompts, strict=True):
        req.hash_tokens, req.hash_ids = 64, ids
    return requests


def ttft(tiers, layers=1):
    """Of prompts A, B and A again, on a pool that holds one of them."""
    record, _ = serve(one_after_another([A, B, A]), [pool(tiers, layers)], 512)
    assert [req.cached_tokens for req in record.requests] == [0, 0, 496]
    return [req.first_token_s - req.arrival_s for req in record.requests]


def prefill_s(tokens, computed):
    """One iteration over ``tokens`` of a prompt, ``computed`` having gone before."""
    return A_LINE.chunk_s(tokens, computed) + A_LINE.tokens_s(tokens, 1, 1)


def test_a_prefix_in_host_memory_costs_its_load():
    """31 of 32 blocks come up, the last is computed."""
    link = 1e6
    times = ttft(lambda: [tier("host", rate=link, write_rate=AT_ONCE)])

    assert times == pytest.approx([prefill_s(512, 0)] * 2 + [FOUND / link + prefill_s(16, 496)])


def test_write_back_costs_the_room_it_makes():
    """What is in the way goes down first, 32 blocks each time; the other direction of the link is free."""
    link = 1e6
    times = ttft(lambda: [tier("host", rate=AT_ONCE, write_rate=link)])
    down_s = 512 * TOKEN_BYTES / link

    assert times == pytest.approx(
        [prefill_s(512, 0), down_s + prefill_s(512, 0), down_s + prefill_s(16, 496)]
    )


def test_write_through_makes_nobody_wait_to_write():
    """What a request made is copied once it has ended: later ones find the room free."""
    link = 1e6
    times = ttft(lambda: [tier("host", rate=link, writes_through=True)])

    assert times == pytest.approx([prefill_s(512, 0)] * 2 + [FOUND / link + prefill_s(16, 496)])


@pytest.mark.parametrize("through", [False, True])
def test_what_is_there_is_not_written_again(through):
    """A, B and A again, and a prompt without hashes: 32 blocks of each go down once, as far as their room was taken."""
    host = made_of(partial(tier, "host", writes_through=through))
    _, engines = serve(one_after_another([A, B, A, (), A]), [pool(host)], 512)
    [below] = engines[0].kv.tiers.tiers

    assert below.written_blocks == below.store.used == 3 * 32
    assert below.read_blocks == below.hit_blocks == 2 * 31


def test_the_slower_of_two_links_sets_the_pace():
    """From the drive through host memory, block behind block: the slower link counts."""
    link, drive = 1e6, 2e5
    times = ttft(lambda: [tier("host", 0, link), tier("nvme", rate=drive, writes_through=True)])

    assert times[2] == pytest.approx(FOUND / drive + prefill_s(16, 496))


def test_what_is_computed_sooner_is_not_loaded():
    """With ``if_faster``, a link below the rate of computing leaves it alone, and one above it is taken."""
    even = FOUND / prefill_s(496, 0)
    for link, cached_tokens in ((0.99 * even, 0), (1.01 * even, 496)):
        host = made_of(partial(tier, "host", rate=link, writes_through=True, loads_if_faster=True))
        record, _ = serve(one_after_another([A, B, A]), [pool(host)], 512)
        assert record.requests[2].cached_tokens == cached_tokens


@pytest.mark.parametrize("link", [1e6, 1e9])
def test_layer_by_layer_hides_the_shorter(link):
    """Ten layers, each loaded while the one before is computed: one layer's share of the shorter is left over."""
    times = ttft(lambda: [tier("host", rate=link, write_rate=AT_ONCE)], layers=10)
    load_s, computed_s = FOUND / link, prefill_s(16, 496)
    in_turns = load_s / 10 + computed_s / 10 + 9 * max(load_s / 10, computed_s / 10)

    assert times[2] == pytest.approx(in_turns)


def test_prefetch_leaves_the_host_link_only():
    """While a request waits for room its blocks come up from the drive; without, it waits for that as well."""
    link, drive, waits = 1e7, 4e5, {}
    for prefetches in (False, True):
        requests = one_after_another([A, B, C, (), A])
        requests[3].output_tokens = requests[3].stop_at = 380
        requests[4].arrival_s = requests[3].arrival_s + 0.1
        tiers = made_of(
            partial(tier, "host", 40, link, write_rate=AT_ONCE),
            partial(tier, "nvme", rate=drive, writes_through=True, prefetches=prefetches),
        )
        record, _ = serve(requests, [pool(tiers)], 912)
        before, last = record.requests[3:]
        assert last.cached_tokens == 496
        waits[prefetches] = last.first_token_s - before.finish_s

    assert waits[False] == pytest.approx(FOUND / drive + prefill_s(16, 496))
    assert waits[True] == pytest.approx(FOUND / link + prefill_s(16, 496))


def test_replicas_share_a_remote_store():
    """What one replica wrote another finds; with stores of their own they do not."""
    shared = Store(UNLIMITED)
    found = {}
    for name, store in (("own", None), ("shared", shared)):
        tiers = made_of(partial(tier, "host", 4), partial(tier, "remote", store=store, writes_through=True))
        record, _ = serve(one_after_another([A, A, B, B]), [pool(tiers)] * 2, 512)
        found[name] = [req.cached_tokens for req in record.requests]

    assert found == {"own": [0, 0, 0, 0], "shared": [0, 496, 0, 496]}
