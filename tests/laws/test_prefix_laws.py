"""Prefix caching against a model that knows every block by itself, and the laws of its blocks."""

from __future__ import annotations

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from llmsim.contracts import poisson_requests, share_prefixes
from llmsim.engine.kv.prefix import PrefixCached
from llmsim.engine.request import Request
from llmsim.engine.scheduler import Limits
from llmsim.engine.schedulers.chunked_prefill import ChunkedPrefill
from llmsim.engine.schedulers.orca import Orca
from llmsim.engine.schedulers.static import Static
from llmsim.engine.schedulers.vllm import VllmPrefillFirst
from llmsim.measure.records import StepLog
from llmsim.sim.play import make_engine, play
from llmsim.sim.routers import PrefixAffinity, RoundRobin

SIZE = 4


def hash_of(req, block):
    """What names KV block ``block`` of ``req``: the hash block its last token is in, and its place in that."""
    unit, end = req.hash_tokens, (block + 1) * SIZE
    named = len(req.hash_ids) * unit
    limit = req.input_tokens if 0 <= named - req.input_tokens < unit else named
    if end > limit:
        return (req, block)
    at = (end - 1) // unit
    return (req.hash_ids[at], block - at * unit // SIZE)


class Model:
    """vLLM's block pool, one block at a time."""

    def __init__(self, num_blocks):
        self.free = list(range(num_blocks))  # the next to be taken first
        self.content = {}  # hash -> block
        self.hashes = {}  # block -> hash
        self.holders = Counter()
        self.tables = {}
        self.nameless_from_now = set()

    def find(self, req):
        hits = []
        for block in range((req.prefill_target - 1) // SIZE):
            if hash_of(req, block) not in self.content:
                break
            hits.append(self.content[hash_of(req, block)])
        return hits

    def admit(self, req, hits, tokens):
        new = -(-tokens // SIZE) - len(hits)
        if new + sum(not self.holders[block] for block in hits) > len(self.free):
            return False
        for block in hits:
            if not self.holders[block]:
                self.free.remove(block)
            self.holders[block] += 1
        self.tables[req] = list(hits)
        self.grow(req, new)
        self.name(req, min(tokens, req.prefill_target))
        return True

    def grow(self, req, count):
        for _ in range(count):
            block = self.free.pop(0)
            self.content.pop(self.hashes.pop(block, None), None)
            self.holders[block] = 1
            self.tables[req].append(block)

    def name(self, req, tokens, *, own=False):
        """Hash blocks at a time: who finds another's copy in one stops there; idle copies of its rest make way."""
        table = self.tables[req]
        for place in range(tokens // SIZE):
            block, name = table[place], hash_of(req, place)
            if block in self.hashes or req in self.nameless_from_now or (name[0] is req and not own):
                continue
            rest = [
                (key, old) for key, old in self.content.items() if key[0] == name[0] and key[1] >= name[1]
            ]
            rest = [(key, old) for key, old in rest if old not in table]
            if any(self.holders[old] for _, old in rest):
                self.nameless_from_now.add(req)
                continue
            for key, old in rest:
                del self.content[key], self.hashes[old]
                self.free.remove(old)
                self.free.insert(0, old)
            self.content[name], self.hashes[block] = block, name

    def release(self, req, written):
        self.name(req, written, own=True)
        self.nameless_from_now.discard(req)
        first = []
        for block in reversed(self.tables.pop(req)):
            self.holders[block] -= 1
            if not self.holders[block]:
                (self.free if block in self.hashes else first).append(block)
        self.free[:0] = first


def run_of(piece):
    """``piece`` and those that go on from it."""
    while piece is not None:
        yield piece
        piece = piece.next


def check_blocks(kv):
    """Free + held = all; counts are what the tables say; nothing is both idle and held."""
    kv._evict()
    chains, held = kv.chains, Counter()
    for req, count in chains.named.items():
        left = count
        for piece in (piece for key in (*req.hash_ids, req) for piece in run_of(chains.pieces.get(key))):
            if left:
                held[piece] += 1
                left -= piece.count
        assert left == 0
    pieces = [piece for first in chains.pieces.values() for piece in run_of(first)]
    assert all(piece.count > 0 and piece.holders == held[piece] for piece in pieces)
    assert {piece for piece in pieces if not piece.holders} == set(chains.queue)
    assert chains.idle == sum(piece.count for piece in chains.queue)
    own = sum(req.blocks - count for req, count in chains.named.items())
    assert kv.free_blocks + own + sum(piece.count for piece in held) == kv.num_blocks
    assert 0 <= kv.num_cached_blocks <= kv.free_blocks


steps = st.lists(
    st.tuples(
        st.sampled_from(["admit", "admit", "admit", "extend", "decode", "finish", "preempt"]),
        st.integers(0, 10**6),
        st.integers(1, 40),
    ),
    max_size=60,
)


def new_request(number, pick, length):
    """A prompt of one of a few families, which part at hash blocks; some hash the output too, some less than all."""
    req = Request(number, 0.0, length, 30)
    req.hash_tokens = [4, 10, 16, 3][pick % 4]
    unit, family, alike = req.hash_tokens, pick % 4, pick // 4 % 6
    count = [-(-length // unit), -(-length // unit), -(-(length + 29) // unit), length // unit // 2][
        pick // 50 % 4
    ]
    ends_inside = count * unit > length and count == -(-length // unit)
    req.hash_ids = tuple(
        100 * family + at
        if at < alike and not (ends_inside and at == count - 1)
        else 10**4 * (number + 1) + at
        for at in range(count)
    )
    return req


@settings(max_examples=300, deadline=None)
@given(steps, st.integers(5, 40))
def test_pieces_are_blocks(actions, num_blocks):
    """Whatever happens: the same hits, the same room, the same content, as with every block by itself."""
    kv, model = PrefixCached(num_blocks * SIZE, SIZE, 1000), Model(num_blocks)
    running, waiting = [], []
    for number, (action, pick, length) in enumerate(actions):
        if action == "admit":
            req = waiting.pop(0) if waiting and pick % 2 else new_request(number, pick, length)
            found, hits = kv.find(req), model.find(req)
            assert found == SIZE * len(hits)
            tokens = min(req.prefill_target, found + 1 + pick % 30)
            taken = kv.admit(req, tokens, found)
            assert taken == model.admit(req, hits, tokens)
            if taken:
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
        assert kv.num_cached_blocks == sum(block in model.hashes for block in model.free)


def step(action, req, kv, model, count):
    """``req`` computes more of its prompt, generates, is done, or loses its place."""
    if action == "extend" and req.computed < req.prefill_target:
        tokens = min(req.prefill_target, req.computed + count)
        new = -(-tokens // SIZE) - req.blocks
        taken = kv.reserve(req, tokens)
        assert taken == (new <= len(model.free))
        if taken:
            model.grow(req, new)
            model.name(req, min(tokens, req.prefill_target))
            req.computed = tokens
    elif action == "decode" and req.computed == req.prefill_target and kv.free_blocks:
        req.kv_tokens = req.kv_tokens or req.prefill_target
        req.generated += 1
        if (req.input_tokens + req.generated - 1) % SIZE == 0:  # room for the token it writes next
            kv.free_blocks -= 1
            req.blocks += 1
            model.grow(req, 1)
    elif action in ("finish", "preempt"):
        written = req.input_tokens + req.generated - 1 if req.kv_tokens else req.computed
        kv.release(req)
        model.release(req, written)
        req.kv_tokens = req.computed = 0
        req.prefill_target = req.input_tokens + req.generated


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(1, 40)), max_size=40), st.integers(12, 40))
def test_a_larger_cache_never_hits_less(prompts, num_blocks):
    """The stack property of LRU: one request after another, what a pool holds a larger one holds too."""
    hits = []
    for extra in (0, 1, 7):
        kv, found = PrefixCached((num_blocks + extra) * SIZE, SIZE, 1000), []
        for number, (pick, length) in enumerate(prompts):
            req = new_request(number, pick, length)
            found.append(kv.find(req))
            assert kv.admit(req, length, found[-1])
            req.computed = length
            kv.release(req)
        hits.append(found)

    assert all(a <= b <= c for a, b, c in zip(*hits, strict=True))


def test_every_scheduler_computes_only_what_is_not_cached():
    """Prompt tokens computed and cached are all prompt tokens; nothing is held at the end; each scheduler has hits."""
    for scheduler in (ChunkedPrefill, VllmPrefillFirst, Orca, Static):
        requests = poisson_requests(3, count=80)
        share_prefixes(requests)
        log = StepLog()
        engine = make_engine(
            0, log, scheduler, kv_cache=PrefixCached, num_kv_tokens=40_000, limits=Limits(64, 1024, 900)
        )
        play(requests, [engine], log)

        cached, prompts = (
            sum(req.cached_tokens for req in requests),
            sum(req.input_tokens for req in requests),
        )
        assert log.column("prefill_tokens").sum() == prompts - cached
        assert cached > 0
        check_blocks(engine.kv)
        assert not engine.kv.chains.named


def test_a_preempted_request_finds_its_own_blocks():
    """What it had computed and generated in full blocks is still there while nobody needs the room."""
    kv, req = PrefixCached(400, SIZE, 1000), Request(0, 0.0, 10, 20)
    assert kv.admit(req, 10, kv.find(req))
    req.kv_tokens, req.generated, req.blocks = 10, 6, 4  # 15 tokens are written
    kv.free_blocks -= 1
    kv.release(req)
    req.kv_tokens, req.prefill_target = 0, 16

    assert kv.find(req) == 12
    assert kv.num_cached_blocks == 3


def test_the_example_of_vllm():
    """`docs/design/prefix_caching.md`: ten blocks of four tokens; requests share 10 and 12 tokens with the first."""
    kv = PrefixCached(40, 4, 1000)
    first, second, third = Request(0, 0.0, 15, 9), Request(1, 0.0, 14, 9), Request(2, 0.0, 29, 9)
    for req, ids in ((first, (1, 2, 3)), (second, (1, 2, 4)), (third, (1, 2, 3))):
        req.hash_tokens, req.hash_ids = 4, ids
    assert kv.find(first) == 0
    assert kv.admit(first, 15, 0)
    assert kv.find(second) == 8
    assert kv.admit(second, 14, 8)
    assert kv.free_blocks == 10 - 4 - 2
    for req in (first, second):
        req.computed = req.input_tokens
        kv.release(req)

    assert kv.find(third) == 12
    assert kv.admit(third, 29, 12)
    assert kv.free_blocks == 10 - 8


def test_a_second_copy_has_no_name():
    """Two requests with one prompt side by side: the second computes its last block again, and names nothing."""
    kv, prompts = PrefixCached(400, SIZE, 1000), [Request(number, 0.0, 8, 4) for number in range(3)]
    for req in prompts:
        req.hash_tokens, req.hash_ids = SIZE, (1, 2)
    first, second, third = prompts
    assert kv.admit(first, 8, kv.find(first))
    assert kv.find(second) == SIZE
    assert kv.admit(second, 8, SIZE)
    assert kv.num_blocks - kv.free_blocks == 3
    check_blocks(kv)
    for req in (second, first):
        req.computed = 8
        kv.release(req)

    assert kv.num_cached_blocks == 2
    assert kv.find(third) == SIZE


def test_affinity_brings_hits():
    """Families of prompts on replicas that cannot hold them all: a home for each saves more than turns do."""
    cached = {}
    for router in (RoundRobin, PrefixAffinity):
        requests, log = poisson_requests(5, count=300, rate_per_s=20.0), StepLog()
        for req in requests:
            req.input_tokens = req.prefill_target = 200 + req.input_tokens
            req.hash_tokens, req.hash_ids = 96, (req.id**2 % 29, 100 + req.id**2 % 29)
        engines = [
            make_engine(
                i, log, ChunkedPrefill, kv_cache=PrefixCached, num_kv_tokens=4000, limits=Limits(8, 512, 1000)
            )
            for i in range(4)
        ]
        play(requests, engines, log, router=router)
        cached[router] = sum(req.cached_tokens for req in requests)

    assert cached[PrefixAffinity] > 1.2 * cached[RoundRobin] > 0
