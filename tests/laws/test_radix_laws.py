"""The radix cache against a plain tree of pages, and the order that follows it."""

from __future__ import annotations

from functools import partial

from hypothesis import given, settings
from hypothesis import strategies as st

from llmsim.engine.kv.radix import Radix, RadixOptions
from llmsim.engine.request import Request
from llmsim.engine.scheduler import Limits
from llmsim.engine.schedulers.chunked_prefill import ChunkedPrefill
from llmsim.engine.schedulers.lpm import LongestPrefix
from llmsim.measure.records import StepLog
from llmsim.sim.play import make_engine, play

UNIT = 6
"""Tokens of a hash block."""


class Node:
    """A page in the tree."""

    def __init__(self, parent, content):
        self.parent, self.content = parent, content
        self.children = {}
        self.locks = 0
        self.used = 0


class Tree:
    """A radix tree with an edge per page: a leaf that nobody holds and that was used longest ago is forgotten first."""

    def __init__(self, num_pages, page):
        self.root, self.page, self.num_pages = Node(None, None), page, num_pages
        self.clock = self.held_apart = 0
        self.paths = {}

    def tokens(self, req):
        """What the request's prompt consists of, as far as anybody could tell it from others."""
        named = [(key, place) for key in req.hash_ids for place in range(UNIT)][: req.input_tokens]
        own = [(req, place) for place in range(req.input_tokens - len(named))]
        return named + own

    def pages(self, req):
        tokens = self.tokens(req)
        return [tuple(tokens[i : i + self.page]) for i in range(0, len(tokens) - self.page + 1, self.page)]

    def match(self, req):
        node, path = self.root, []
        for content in self.pages(req)[: (req.input_tokens - 1) // self.page]:
            if content not in node.children:
                break
            node = node.children[content]
            path.append(node)
        return path

    def nodes(self, node=None):
        for child in (node or self.root).children.values():
            yield child
            yield from self.nodes(child)

    @property
    def free(self):
        return self.num_pages - self.held_apart - sum(1 for node in self.nodes() if node.locks)

    def admit(self, req):
        path = self.match(req)
        total = -(-req.input_tokens // self.page)
        idle = sum(not node.locks for node in path)
        if total - len(path) + idle > self.free:
            return False
        for node in path:
            node.locks += 1
        self.evict(total - len(path))
        node = path[-1] if path else self.root
        for content in self.pages(req)[len(path) :]:
            if content in node.children:  # a page that was computed twice stays apart
                break
            node.children[content] = Node(node, content)
            node = node.children[content]
            node.locks = 1
            path.append(node)
        self.paths[req] = path
        self.held_apart += total - len(path)
        return True

    def evict(self, wanted):
        while self.num_pages - self.held_apart - sum(1 for _ in self.nodes()) < wanted:
            leaves = [node for node in self.nodes() if not node.locks and not node.children]
            leaf = min(leaves, key=lambda node: node.used)
            del leaf.parent.children[leaf.content]

    def release(self, req):
        self.clock += 1
        path = self.paths.pop(req)
        self.held_apart -= -(-req.input_tokens // self.page) - len(path)
        for node in path:
            node.locks -= 1
            node.used = self.clock


def prompt(number, family, shared, own):
    """A prompt that begins as its family's do, for so many hash blocks, and goes on for ``own`` tokens by itself."""
    req = Request(number, 0.0, shared * UNIT + own, 1)
    req.hash_tokens = UNIT
    shared_ids = [100 * family + block if block else 7 for block in range(shared)]
    req.hash_ids = (*shared_ids, *(10_000 + 100 * number + block for block in range(-(-own // UNIT))))
    return req


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.booleans(), st.integers(0, 3), st.integers(0, 4), st.integers(2, 15), st.integers(0, 99)
        ),
        max_size=40,
    ),
    st.sampled_from([1, 2, 3]),
    st.integers(20, 60),
)
def test_it_is_a_radix_tree_with_leaves_forgotten_by_use(actions, page, num_pages):
    """Requests come and go, several at a time: the same matches, the same room, the same pages left."""
    kv = Radix(num_pages * page, 16, 1000, RadixOptions(page_size=page))
    tree, running = Tree(num_pages, page), []
    for number, (comes, family, shared, own, pick) in enumerate(actions):
        if comes:
            req = prompt(number, family, shared, own)
            found = kv.find(req)
            assert found == page * len(tree.match(req))
            taken = kv.admit(req, req.input_tokens, found)
            assert taken == tree.admit(req)
            if taken:
                req.computed = req.input_tokens
                running.append(req)
        elif running:
            req = running.pop(pick % len(running))
            kv.release(req)
            tree.release(req)
        assert kv.free_blocks == tree.free
        assert kv.num_cached_blocks == sum(1 for node in tree.nodes() if not node.locks)


def serve(requests, scheduler, num_kv_tokens, seats=1):
    """Serve ``requests`` with a radix cache; returns the prompt tokens found in it."""
    log = StepLog()
    engine = make_engine(
        0, log, scheduler, kv_cache=Radix, num_kv_tokens=num_kv_tokens, limits=Limits(seats, 4096, 4096)
    )
    play(requests, [engine], log)
    assert all(req.status == "completed" for req in requests)
    return sum(req.cached_tokens for req in requests)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 5), st.integers(2, 30)), min_size=1, max_size=40))
def test_no_order_has_more_hits(shapes):
    """Theorem 3.1: all there at once, a cache that holds the longest: each distinct token is computed once."""
    requests = [prompt(number, *shape) for number, shape in enumerate(shapes)]
    distinct = {(key, place) for req in requests for key, place in Tree(0, 1).tokens(req)}
    total = sum(req.input_tokens for req in requests)

    hits = serve(requests, LongestPrefix, max(req.input_tokens for req in requests))

    assert hits == total - len(distinct)


def families(count):
    """Families of prompts that come in turns, the worst order for a small cache."""
    return [prompt(number, number % 8, 12, 20) for number in range(count)]


def test_it_finds_more_than_first_come_first_served():
    """Shared prefixes and a cache smaller than all of them: as in the paper (§3), order decides what is found."""
    hits = {
        scheduler: serve(families(96), scheduler, 400, 4) for scheduler in (ChunkedPrefill, LongestPrefix)
    }

    assert hits[LongestPrefix] > 2 * hits[ChunkedPrefill]


def test_many_who_wait_go_by_arrival():
    """Above ``most_sorted`` the order is that of arrival, as in SGLang above 128."""
    never = partial(LongestPrefix, options=LongestPrefix.Options(most_sorted=1))

    assert serve(families(96), never, 400, 4) == serve(families(96), ChunkedPrefill, 400, 4)
